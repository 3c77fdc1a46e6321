"""LoRA adapters in PEFT's format: a model and its adapter become one checkpoint.

Each adapted weight becomes W + scaling·B·A, computed in float32 as PEFT's `merge_and_unload` does
on the CPU (Hu et al. 2021; scaling is alpha/r, or alpha/sqrt(r) with `use_rslora`). The new
weights are in a file of their own; the others are links to the base's files.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from merger.kernels.dispatch import combine
from merger.kernels.numpy_kernels import unpack
from patientdx.errors import InputError, MergeError
from patientdx.storage.file_digests import hash_file

from .adapter_names import match_adapted_tensors
from .adapter_vocabulary import (
    adapted_companion_files,
    adapted_config,
    has_vocabulary_rows,
    resized_rows,
)
from .checkpoint import CONFIG, INDEX, Checkpoint
from .headers import Slot, TensorInfo, compose_header, read_header
from .values import Values

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_OUTPUT = "lm_head.weight"
_PART = re.compile(r"(.+)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B)(?:\.weight)?")
# Options of kinds of LoRA whose weights need more than A and B.
_UNSUPPORTED_OPTIONS = (
    *("use_dora", "lora_bias", "use_qalora", "layer_replication", "trainable_token_indices"),
    *("use_bdlora", "alora_invocation_tokens", "arrow_config", "megatron_config", "kasa_config"),
    *("monteclora_config", "velora_config"),
)
# Initializations that change the base.
_UNSUPPORTED_STARTS = ("pissa", "olora", "corda", "loftq", "lora_ga")
_NUMBERS = 1 << 23  # of a delta that are computed at a time
_REMEDY = "merge it with PEFT (merge_and_unload), save that, and name the folder"


@dataclass(frozen=True)
class Delta:
    """The change of a weight: `scaling`·B·A in float32, or its transpose if `transposed`.

    `rounded` says that it is rounded to the weight's dtype first, as PEFT does for embeddings.
    """

    a: NDArray[np.float32]
    b: NDArray[np.float32]
    scaling: float
    transposed: bool
    rounded: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the weight."""
        shape = (self.b.shape[0], self.a.shape[1])
        return (shape[1], shape[0]) if self.transposed else shape

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows `start` to `stop` of the change."""
        b = self.b if self.transposed else self.b[start:stop]
        product = b @ (self.a[:, start:stop] if self.transposed else self.a)
        scaled = product * np.float32(self.scaling)
        return np.ascontiguousarray(scaled.T if self.transposed else scaled)


class WholeWeight(NamedTuple):
    """A weight that an adapter saves whole, in place of the base's."""

    values: Values
    shape: tuple[int, ...]


def apply_adapter(base: Checkpoint, adapter: Path, into: Path) -> Checkpoint:
    """Adds a LoRA adapter to the base, in a new folder `into` that links the files of the base.

    Raises InputError for an adapter that cannot be read or is of another kind, MergeError for one
    that belongs to another model.
    """
    deltas, replaced = _read_adapter(adapter)
    names = match_adapted_tensors([*deltas, *replaced], base.tensors)
    deltas = {names[name]: delta for name, delta in deltas.items()}
    replaced = {names[name]: weight for name, weight in replaced.items()}
    _drop_copy_of_embeddings(base, replaced)
    _check(base, adapter, deltas, replaced)
    shapes = {name: weight.shape for name, weight in replaced.items()}
    config = adapted_config(base.config, resized_rows(base, adapter, shapes))
    files = adapted_companion_files(base, adapter, shapes)
    try:
        into.mkdir()
        links = {file: f"base-{at}.safetensors" for at, file in enumerate(base.files)}
        for file, name in links.items():
            (into / name).symlink_to(file.resolve())
        _write(base, deltas, replaced, into / "adapted.safetensors")
        listed = {name: links[info.file] for name, info in base.tensors.items()}
        listed |= dict.fromkeys((*deltas, *replaced), "adapted.safetensors")
        index = {"metadata": {}, "weight_map": listed}  # transformers needs both
        (into / INDEX).write_text(json.dumps(index), encoding="utf-8")
        (into / CONFIG).write_text(json.dumps(config), encoding="utf-8")
        for name, content in files.items():
            (into / name).write_bytes(content)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise MergeError(f"{into}: cannot be written: {reason}", hint="free some space") from error
    return Checkpoint.open(into)


def adapter_digest(adapter: Path) -> str:
    """The sha256 over an adapter's configuration and weights. Raises InputError."""
    digest = hashlib.sha256()
    _read_config(adapter)
    for path in (adapter / _CONFIG, _weights_file(adapter)):
        try:
            digest.update(bytes.fromhex(hash_file(path)))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise InputError(f"{path}: cannot be read: {reason}", hint="copy it again") from None
    return digest.hexdigest()


def _read_adapter(adapter: Path) -> tuple[dict[str, Delta], dict[str, WholeWeight]]:
    """The changes of weights by name, and the weights that are replaced."""
    config = _read_config(adapter)
    pairs: dict[str, dict[str, NDArray[np.float32]]] = {}
    replaced: dict[str, WholeWeight] = {}
    for info in read_header(_weights_file(adapter)):
        name = info.name.removeprefix(_PREFIX)
        match = _PART.fullmatch(name)
        values = _read_values(info)
        if match:
            array = unpack(values).astype(np.float32).reshape(info.shape)
            pairs.setdefault(match.group(1), {})[match.group(2)] = array
        elif "lora_" in name:
            raise _unsupported(adapter, f"the tensor {info.name}")
        else:
            weight = name.replace(".modules_to_save", "").replace(".base_layer", "")
            replaced[weight] = WholeWeight(values, info.shape)
    deltas = {f"{module}.weight": _delta(adapter, module, pair, config)
              for module, pair in pairs.items()}  # fmt: skip
    return deltas, replaced


def _weights_file(adapter: Path) -> Path:
    """The file of an adapter's weights. Raises InputError if there is none."""
    if not (adapter / _WEIGHTS).is_file():
        pickle = (adapter / "adapter_model.bin").exists()
        why = "its weights are a pickle, which can run code" if pickle else "it has no weights"
        raise InputError(f"{adapter}: {why}", hint=f"save the adapter as {_WEIGHTS}")
    return adapter / _WEIGHTS


def _read_config(adapter: Path) -> dict[str, Any]:
    path = adapter / _CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{path}: cannot be read", hint="is this a PEFT adapter?") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else None
        raise _unsupported(adapter, f"of the kind {kind}")
    for key in _UNSUPPORTED_OPTIONS:
        if config.get(key):
            raise _unsupported(adapter, f"`{key}`")
    initialization = str(config.get("init_lora_weights")).lower()
    if initialization.startswith(_UNSUPPORTED_STARTS):
        raise _unsupported(adapter, f"begun by `{initialization}`, which changes the base")
    return config


def _unsupported(adapter: Path, what: str) -> InputError:
    return InputError(f"{adapter}: only plain LoRA is read here, and this has {what}", hint=_REMEDY)


def _read_values(info: TensorInfo) -> Values:
    data = np.fromfile(info.file, np.uint8, info.nbytes, offset=info.offset)
    return Values(data, info.dtype)


def _delta(
    adapter: Path, module: str, pair: Mapping[str, NDArray[np.float32]], config: Mapping[str, Any]
) -> Delta:
    embedding = "lora_embedding_A" in pair
    a, b = (pair.get(f"lora_embedding_{side}" if embedding else f"lora_{side}") for side in "AB")
    if a is None or b is None or a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
        raise InputError(f"{adapter}: A and B of {module} do not fit", hint="copy it again")
    alpha = _by_pattern(config.get("alpha_pattern"), module, config.get("lora_alpha", 8))
    rank = a.shape[0]
    scaling = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    turned = embedding or bool(config.get("fan_in_fan_out"))
    return Delta(a, b, scaling, turned, rounded=embedding)


def _by_pattern(patterns: Any, module: str, default: float) -> float:
    """The value of the first pattern that a module's name ends with, as PEFT looks it up."""
    for key, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({key})$", module):
            return float(value)
    return float(default)


def _drop_copy_of_embeddings(base: Checkpoint, replaced: dict[str, WholeWeight]) -> None:
    """Drops an output layer that is tied in the base, and that PEFT saved beside the embeddings."""
    output = replaced.get(_OUTPUT)
    if output is None or _OUTPUT in base.tensors:
        return
    for name, weight in replaced.items():
        if name != _OUTPUT and has_vocabulary_rows(base, name):
            same = np.array_equal(weight.values.data, output.values.data)
            if same and weight.shape == output.shape:
                del replaced[_OUTPUT]
                return


def _check(
    base: Checkpoint,
    adapter: Path,
    deltas: Mapping[str, Delta],
    replaced: Mapping[str, WholeWeight],
) -> None:
    for name in (*deltas, *replaced):
        info = base.tensors.get(name)
        if info is None:
            raise MergeError(
                f"{adapter}: adapts {name}, which {base.folder} does not have",
                hint="name the model that the adapter was trained on",
            )
        whole = replaced[name].shape if name in replaced else info.shape
        rows = 1 if has_vocabulary_rows(base, name) else 0  # these may be more or fewer
        adapted = deltas[name].shape if name in deltas else whole
        if whole[rows:] != info.shape[rows:] or adapted != whole:
            raise MergeError(
                f"{adapter}: does not fit the shape of {name} in {base.folder}",
                hint="name the model that the adapter was trained on",
            )


def _write(
    base: Checkpoint,
    deltas: Mapping[str, Delta],
    replaced: Mapping[str, WholeWeight],
    path: Path,
) -> None:
    names = [*deltas, *(name for name in replaced if name not in deltas)]
    slots = [
        Slot(name, base.tensors[name].dtype, (replaced if name in replaced else deltas)[name].shape)
        for name in names
    ]
    head, _ = compose_header(slots, {"format": "pt"})
    with path.open("xb") as stream:
        stream.write(head)
        for name in names:
            for part in _parts(base, name, deltas.get(name), replaced.get(name)):
                stream.write(part.data.data)


def _parts(
    base: Checkpoint, name: str, delta: Delta | None, replaced: WholeWeight | None
) -> Iterator[Values]:
    """The new numbers of a weight, in blocks of rows."""
    original = base.values(name)
    if replaced is not None:
        original = Values.empty(replaced.values.size, original.dtype)
        combine([replaced.values], [1.0], original)
    if delta is None:
        yield original
        return
    rows, width = delta.shape
    step = max(_NUMBERS // width, 1)
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        out = Values.empty((stop - start) * width, original.dtype)
        added = Values.from_array(delta.rows(start, stop))
        if delta.rounded:
            exact, added = added, Values.empty(added.size, original.dtype)
            combine([exact], [1.0], added)
        combine([original.part(start * width, stop * width), added], [1.0, 1.0], out)
        yield out
