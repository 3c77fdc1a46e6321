"""Loads the live model whose weights a merge then replaces."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merger.planning.merge_plan import MergePlan
from patientdx.errors import ModelError
from patientdx.models.settings import ModelSettings
from patientdx.models.torch.loading import LoadedModel, load

from .torch_weights import copy_mapped_weights

_WEIGHTS = (".safetensors", ".safetensors.index.json")


def load_live_model(
    plan: MergePlan, files: Mapping[str, bytes], settings: ModelSettings
) -> LoadedModel:
    """The base of a plan as transformers loads it, with the vocabulary rows of the output.

    `files` replace those of the base, except for config.json. Raises ModelError.
    """
    if settings.quantize != "none":
        raise ModelError(
            "the weights of a quantized model cannot be swapped",
            hint="leave the quantisation out, or write the merge and load that",
        )
    with tempfile.TemporaryDirectory(prefix="patientdx-live-") as scratch:
        folder = Path(scratch)
        _lay_out(plan.inputs[plan.base].folder, files, folder)
        loaded = load(folder, settings)
        _resize(loaded.model, {task.name: task.shape for task in plan.tensors})
        copy_mapped_weights(loaded.model)
    return loaded


def _lay_out(base: Path, files: Mapping[str, bytes], into: Path) -> None:
    """Copies the base's folder with other files; weights, which are large, are linked."""
    for file in base.iterdir():
        if file.name.endswith(_WEIGHTS):
            (into / file.name).symlink_to(file.resolve())
        elif file.is_file():
            shutil.copyfile(file, into / file.name)
    for name, content in files.items():
        if name != "config.json" and Path(name).name == name:
            (into / name).write_bytes(content)


def _resize(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Resizes the embeddings to the rows of the merge, tied or not; values are written later."""
    rows = model.get_input_embeddings().weight
    for name, tensor in model.named_parameters():
        if tensor is rows and name in shapes and shapes[name][0] != rows.shape[0]:
            model.resize_token_embeddings(shapes[name][0], mean_resizing=False)
            return
