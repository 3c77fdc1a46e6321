"""The table of families, and the family of a configuration."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from .family import Family, KeyPath, LayerStack

_FILE = "families.json"


def find_family(config: Mapping[str, Any]) -> Family:
    """The family of a config.json.

    For a type that the table lacks it is a Family without facts, whose `known` is False: then
    stacks are found by their tensors and counts in the configuration (`merger.families.layers`),
    embeddings and head by their usual names (`merger.families.tensors`), and nothing is tied unless
    config.json says so.
    """
    model_type = str(config.get("model_type", ""))
    return family_table().get(model_type) or Family(model_type, known=False)


@cache
def family_table() -> Mapping[str, Family]:
    """All families by model type."""
    text = files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    rows = json.loads(text)["families"]
    return MappingProxyType({key: _read_family(key, row) for key, row in rows.items()})


def _read_family(model_type: str, row: Mapping[str, Any]) -> Family:
    return Family(
        model_type,
        classes=tuple(row["classes"]),
        stacks=tuple(LayerStack(prefix, _path(key)) for prefix, key in row["stacks"].items()),
        embeddings=tuple(row["embeddings"]),
        head=tuple(row["head"]),
        tied=MappingProxyType(row["tied"]),
        ties_by_default=row["ties_by_default"],
        skipped=tuple(row["skipped"]),
        unread=tuple(row["unread"]),
        per_layer_lists=_paths(row["lists"]),
        layer_indices=_paths(row["indices"]),
        default_counts=MappingProxyType({_path(key): n for key, n in row["counts"].items()}),
        spellings=MappingProxyType(row["spellings"]),
    )


def _path(key: str) -> KeyPath:
    return tuple(key.split("."))


def _paths(keys: Mapping[str, str]) -> Mapping[KeyPath, KeyPath]:
    return MappingProxyType({_path(key): _path(count) for key, count in keys.items()})
