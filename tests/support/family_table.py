"""Makes the table of model families from the installed transformers.

    python tests/support/family_table.py merger/families/families.json

Every class that generates text, from text, images or speech, is built on the meta device with the
defaults of its configuration but few layers, a different number for each stack. Its tensors, as
transformers would save them, then show which numbered modules follow which key of config.json,
and the lists of as many entries in its configuration are those that have one entry per layer.
"""

import json
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_MAPPINGS = ("CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", "SPEECH_SEQ_2_SEQ")
_COUNT = re.compile(
    r"(?:num_|n_)?(?:hidden_)?layers?$|depth$|(?:speech_|t2u_)?(?:encoder|decoder)_layers$"
    r"|num_(?:encoder|decoder)_layers$|(?:encoder|decoder)_num_(?:hidden_)?layers$|n_layers?$"
    r"|num_blocks$|num_global_layers$|conf_num_hidden_layers$|num_nextn_predict_layers$"
    r"|aligner_num_add_layers$|num_timestamp_prediction_layers$"
)
# Masks and frequencies that older releases saved, where classes name them as not to be loaded.
_MASKS = (
    *("attn.bias", "attn.masked_bias", "attn.causal_mask", "crossattention.bias"),
    *("attention.bias", "attention.masked_bias", "encoder.version", "decoder.version"),
)
_INDEX = re.compile(r"_(?:idxs|indices|indexes)$")
_INDICES = ("mlp_only_layers", "hybrid_layer_ids", "cross_attention_layers", "moe_layers")
_LISTS = ("no_rope_layers",)
_NO_LISTS = ("supported_aspect_ratios", "kv_source_layers")
# Settings without which a configuration's defaults make no model.
_HEADS: dict[str, Any] = {"head_dim": 64}
_NEEDED: dict[str, dict[str, Any]] = {
    "hunyuan_v1_dense": _HEADS,
    "hunyuan_v1_moe": {**_HEADS, "moe_topk": 1, "num_experts": 2},
    "hunyuan_vl_text": _HEADS,
    "ministral": _HEADS,
    "nemotron": {**_HEADS, "num_key_value_heads": 8},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1},
    "reformer": {"is_decoder": True},
    "moonshine_streaming": {"num_key_value_heads": 8},
}
_NUMBERED = re.compile(r"(.+?)\.(\d+)\.")


def classes_by_type() -> dict[str, list[Any]]:
    """The classes that generate text, by the model type of their configuration."""
    import transformers
    from transformers.models.auto import modeling_auto

    types: dict[str, list[Any]] = {}
    for mapping in _MAPPINGS:
        for names in getattr(modeling_auto, f"MODEL_FOR_{mapping}_MAPPING_NAMES").values():
            for name in names if isinstance(names, list | tuple) else [names]:
                kind = getattr(transformers, name)
                classes = types.setdefault(kind.config_class.model_type, [])
                if kind not in classes:
                    classes.append(kind)
    return types


def describe_type(classes: list[Any]) -> dict[str, Any] | None:
    """The row of a model type; None if no small model of it can be built."""
    row: dict[str, Any] = {}
    default = default_config(classes[0])
    for kind in classes:
        model = small_model(kind, default)
        if model is not None:
            _add(row, describe_model(model))
    if not row:
        return None
    row["classes"] = sorted(kind.__name__ for kind in classes)
    row["ties_by_default"] = default_tie(default)
    row["counts"] = {".".join(path): value for path, value in counts_in(default).items()}
    row["spellings"] = spellings_of(type(default))
    return row


def default_config(kind: Any) -> Any:
    """The configuration of a class, with its defaults where they make a model."""
    needed = _NEEDED.get(kind.config_class.model_type, {})
    return kind.config_class(**needed)


def default_tie(config: Any) -> bool:
    """Whether the head is tied where config.json is silent."""
    return bool(getattr(config, "tie_word_embeddings", False))


def spellings_of(kind: Any) -> dict[str, str]:
    """Other names of keys that the configuration class reads."""
    mapped = getattr(kind, "attribute_map", {})
    return {key: to for key, to in sorted(mapped.items()) if _COUNT.match(key) or "layer" in key}


def counts_in(config: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    """The keys of a configuration that hold a number of layers, with their values."""
    counts: dict[tuple[str, ...], int] = {}
    for key, value in config.to_dict().items():
        if _COUNT.fullmatch(key) and isinstance(value, int) and not isinstance(value, bool):
            counts[(*path, key)] = value
    for key, part in parts_of(config):
        counts |= counts_in(part, (*path, key))
    return counts


def parts_of(config: Any) -> Iterator[tuple[str, Any]]:
    """The configurations inside of a configuration."""
    from transformers import PreTrainedConfig

    for key, value in sorted(vars(config).items()):
        if isinstance(value, PreTrainedConfig):
            yield key.removeprefix("_"), value


def small_model(kind: Any, default: Any) -> Any | None:
    """A model of a class on the meta device, with distinct numbers of layers if possible."""
    import torch

    counts = [path for path, value in counts_in(default).items() if value > 0]
    distinct = {path: n for n, path in enumerate(counts, 7)}
    even = {path: 8 + 2 * n for n, path in enumerate(counts)}
    for numbers in (distinct, even, {path: 12 + 12 * n for n, path in enumerate(counts)}, {}):
        try:
            config = _configure(default, numbers)
            with torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return kind(config)
        except Exception as error:  # noqa: BLE001 - classes check their settings in many ways
            last = error
    print(f"{kind.__name__}: {type(last).__name__} {str(last)[:100]}", file=sys.stderr)
    return None


def _configure(default: Any, counts: Mapping[tuple[str, ...], int]) -> Any:
    """A configuration of a class with numbers of layers, its parts included."""
    own: dict[str, Any] = dict(_NEEDED.get(default.model_type, {}))
    own |= {path[0]: n for path, n in counts.items() if len(path) == 1}
    for key, part in parts_of(default):
        inner = {path[1:]: n for path, n in counts.items() if path[0] == key and len(path) > 1}
        if inner or part.model_type in _NEEDED:
            own[key] = _configure(part, inner)
    return type(default)(**own)


def describe_model(model: Any) -> dict[str, Any]:
    """Stacks, tied and skipped tensors of a model, by its names on disk and in memory."""
    live: dict[str, Any] = dict(model.state_dict())
    saved = saved_names(model, live)
    counts = counts_in(model.config)
    stacks = {}
    for prefix, length in (numbered(live) | numbered(saved)).items():
        keys = [path for path, n in counts.items() if n == length]
        if len(keys) == 1:
            stacks[prefix] = ".".join(keys[0])
    on_disk: dict[int, str] = {id(tensor): name for name, tensor in saved.items()}
    disk_name: dict[str, str] = {
        name: on_disk.get(id(tensor), name) for name, tensor in live.items()
    }
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    ignored = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
    masks = {re.escape(name) for name in _MASKS if any(re.search(p, name) for p in ignored)}
    lists, indices = _layer_lists(model.config, counts)
    return {
        "base": model.base_model_prefix or "",
        "stacks": stacks,
        "tied": {disk_name.get(to, to): disk_name.get(by, by) for to, by in tied.items()},
        "embeddings": _weight_names(model, "get_input_embeddings", disk_name),
        "head": _weight_names(model, "get_output_embeddings", disk_name),
        "skipped": sorted(masks | set(_transient_buffers(model, {*saved, *live}))),
        "unread": sorted(p for p in ignored if not any(re.search(p, name) for name in _MASKS)),
        "lists": lists,
        "indices": indices,
    }


def saved_names(model: Any, live: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a model by the names that `save_pretrained` writes."""
    from transformers.core_model_loading import revert_weight_conversion

    try:
        return dict(revert_weight_conversion(model, dict(live)))
    except Exception as error:  # noqa: BLE001 - conversions compute, some not on meta tensors
        print(f"{type(model).__name__}: not reverted, {error}"[:120], file=sys.stderr)
        return dict(live)


def numbered(names: Iterable[str]) -> dict[str, int]:
    """The length of each outermost stack of numbered modules."""
    lengths: dict[str, int] = {}
    for name in names:
        match = _NUMBERED.match(name)
        if match:
            prefix = match.group(1)
            lengths[prefix] = max(lengths.get(prefix, 0), int(match.group(2)) + 1)
    return lengths


def _weight_names(model: Any, getter: str, disk_name: Mapping[str, str]) -> list[str]:
    """The names on disk of the weight of the embeddings or of the head."""
    try:
        wanted = getattr(model, getter)()
    except (NotImplementedError, AttributeError):
        return []
    modules = model.named_modules(remove_duplicate=False)
    names = [f"{path}.weight" for path, module in modules if module is wanted]
    return sorted({disk_name[name] for name in names if name in disk_name})


def _transient_buffers(model: Any, names: set[str]) -> Iterator[str]:
    """Patterns of the buffers that are computed on loading, which match no tensor of `names`."""
    for path, module in model.named_modules():
        for buffer in module._non_persistent_buffers_set:
            end = f"{path}.{buffer}".split(".")[-2:]
            pattern = r"\.".join(r"\d+" if part.isdigit() else part for part in end)
            if not any(re.search(rf"(?:^|\.){pattern}$", name) for name in names):
                yield pattern


def _layer_lists(
    config: Any, counts: Mapping[tuple[str, ...], int]
) -> tuple[dict[str, str], dict[str, str]]:
    """The keys of lists with an entry per layer, and of lists of layers, with the count's key."""
    lists: dict[str, str] = {}
    indices: dict[str, str] = {}

    def walk(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, (*path, str(key)))
        elif isinstance(value, list | tuple):
            near = {p: n for p, n in counts.items() if p[:-1] == path[: len(p) - 1]}
            same = [p for p, n in near.items() if n == len(value)]
            if path[-1] in _INDICES or (path[-1] not in _LISTS and _INDEX.search(path[-1])):
                main = [p for p in near if not p[-1].startswith("num_nextn")]
                if main:
                    indices[".".join(path)] = ".".join(main[0])
            elif len(same) == 1 and path[-1] not in _NO_LISTS:
                lists[".".join(path)] = ".".join(same[0])

    walk(config.to_dict(), ())
    return lists, indices


def _add(row: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict):
            row[key] = {**value, **row.get(key, {})}
        elif isinstance(value, list):
            row[key] = sorted({*row.get(key, ()), *value})
        else:
            row.setdefault(key, value)


def make_table() -> dict[str, Any]:
    """The rows of all model types that transformers can build, by model type."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers

    transformers.logging.set_verbosity_error()
    rows = {}
    for model_type, classes in sorted(classes_by_type().items()):
        try:
            row = describe_type(classes)
        except Exception as error:  # noqa: BLE001 - a class without usable defaults has no row
            print(f"{model_type}: {type(error).__name__} {str(error)[:100]}", file=sys.stderr)
            continue
        if row:
            rows[model_type] = row
    return rows


def write_table(path: Path, rows: Mapping[str, Any]) -> None:
    """Writes the table, a line for each model type."""
    import transformers

    lines = [f" {json.dumps(key)}: {json.dumps(row)}" for key, row in rows.items()]
    head = f'{{"transformers": "{transformers.__version__}", "families": {{\n'
    path.write_text(head + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    write_table(Path(sys.argv[1]), make_table())
