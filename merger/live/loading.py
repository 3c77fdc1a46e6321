"""Loads the live model whose weights a merge then replaces."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merger.checkpoints.checkpoint import CONFIG
from merger.families.layers import parts_of
from merger.families.tensors import embedding_tensors, head_tensors
from merger.planning.merge_plan import MergePlan
from patientdx.errors import ModelError
from patientdx.models.settings import ModelSettings
from patientdx.models.torch.loading import LoadedModel, load, load_without_weights

from .conversion import Shapes
from .live_parameters import WRITE_INSTEAD, embedding_rows, find_live_parameters
from .torch_weights import copy_mapped_weights

_TIE = "tie_word_embeddings"
_WEIGHTS = (".safetensors", ".safetensors.index.json")


def load_live_model(
    plan: MergePlan, files: Mapping[str, bytes], settings: ModelSettings
) -> LoadedModel:
    """The base of a plan as transformers loads it, with the vocabulary rows of the output.

    `files` replace those of the base, except for config.json. Before the weights are loaded, the
    places of all tensors are looked up in the model without weights. Raises ModelError, and
    MergeError where the model needs other tensors than the plan makes.
    """
    if settings.quantize != "none":
        raise ModelError(
            "the weights of a quantized model cannot be swapped",
            hint="leave the quantisation out, or write the merge and load that",
        )
    shapes = {task.name: task.shape for task in plan.tensors}
    base = plan.inputs[plan.base].folder
    empty = _load_empty(base)
    _resize(empty, shapes)
    find_live_parameters(empty, shapes)
    with tempfile.TemporaryDirectory(prefix="patientdx-live-") as scratch:
        folder = Path(scratch)
        _lay_out(base, files, folder)
        _write_config(plan, folder / CONFIG)
        loaded = load(folder, settings)
        _resize(loaded.model, shapes)
        copy_mapped_weights(loaded.model)
    return loaded


def _load_empty(base: Path) -> Any:
    try:
        model = load_without_weights(base)
    except ModelError as error:
        raise ModelError(str(error), hint=WRITE_INSTEAD) from error
    if getattr(model.config, "rescale_every", 0):
        raise ModelError(
            f"{base}: {model.config.model_type} changes its weights while it runs",
            hint=WRITE_INSTEAD,
        )
    return model


def _lay_out(base: Path, files: Mapping[str, bytes], into: Path) -> None:
    """Copies the base's folder with other files; weights, which are large, are linked."""
    for file in base.iterdir():
        if file.name.endswith(_WEIGHTS):
            (into / file.name).symlink_to(file.resolve())
        elif file.is_file():
            shutil.copyfile(file, into / file.name)
    for name, content in files.items():
        if name != CONFIG and Path(name).name == name:
            (into / name).write_bytes(content)


def _write_config(plan: MergePlan, path: Path) -> None:
    """The base's configuration, which does not tie where the plan has a head of its own.

    The base may tie it to the embeddings where another input does not.
    """
    config = dict(plan.inputs[plan.base].config)
    names = [task.name for task in plan.tensors]
    if head_tensors(config, names) and embedding_tensors(config, names):
        parts = {key: dict(part) | {_TIE: False} for key, part in parts_of(config) if _TIE in part}
        config |= {_TIE: False, **parts}
    path.write_text(json.dumps(config), encoding="utf-8")


def _resize(model: Any, shapes: Shapes) -> None:
    """Resizes the embeddings to the rows of the merge, tied or not; values are written later."""
    rows = embedding_rows(model, shapes)
    if rows not in {None, model.get_input_embeddings().weight.shape[0]}:
        model.resize_token_embeddings(rows, mean_resizing=False)
