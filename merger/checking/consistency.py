"""Whether a model's config.json, tensors and tokenizer agree with each other."""

from collections.abc import Mapping
from typing import Any

from merger.checkpoints.checkpoint import Checkpoint
from merger.families.layers import (
    ModelStack,
    layer_indices,
    layer_stacks,
    look_up,
    per_layer_lists,
)
from merger.families.table import find_family
from merger.families.tensors import (
    embedding_tensors,
    head_tensors,
    ties_embeddings,
    unread_tensors,
)
from merger.families.vocabulary_size import vocabulary_size
from merger.vocabulary.problems import vocabulary_problems


def find_contradictions(model: Checkpoint) -> list[str]:
    """What does not agree in a model's folder, a sentence each; empty if all does."""
    return [
        *_layer_problems(model),
        *_list_problems(model.config),
        *_head_problems(model),
        *_row_problems(model),
    ]


def find_vocabulary_problems(model: Checkpoint) -> list[str]:
    """What does not agree between the tokenizer of a model's folder and its embeddings."""
    names = embedding_tensors(model.config, model.tensors)
    rows = min((model.tensors[name].shape[0] for name in names), default=0)
    return vocabulary_problems(model.folder, model.config, rows)


def _layer_problems(model: Checkpoint) -> list[str]:
    unread = unread_tensors(model.config, model.tensors)
    names = [name for name in model.tensors if name not in unread]
    return [
        f"config.json has {stack.length} layers (`{'.'.join(stack.count)}`), and the file holds "
        f"{_describe_layers(stack)} of {stack.prefix}"
        for stack in layer_stacks(model.config, names)
        if stack.numbers != frozenset(range(stack.length))
    ]


def _describe_layers(stack: ModelStack) -> str:
    numbers = sorted(stack.numbers)
    if numbers == list(range(len(numbers))):
        return f"{len(numbers)}"
    missing = sorted(set(range(stack.length)) - stack.numbers)
    return f"no layer {missing[0]}" if missing else f"layers up to {numbers[-1]}"


def _list_problems(config: Mapping[str, Any]) -> list[str]:
    """Lists with an entry per layer that are too short, and numbers of layers that do not exist."""
    problems = []
    for key, count in per_layer_lists(config).items():
        entries, layers = look_up(config, key), look_up(config, count)
        if isinstance(layers, int) and len(entries) < layers:
            problems.append(
                f"config.json has {layers} layers, and `{'.'.join(key)}` has {len(entries)} entries"
            )
    for key, count in layer_indices(config).items():
        layers = look_up(config, count)
        numbers = [n for n in look_up(config, key) if isinstance(n, int)]
        if isinstance(layers, int) and max(numbers, default=-1) >= layers:
            problems.append(
                f"config.json has {layers} layers, and `{'.'.join(key)}` names {max(numbers)}"
            )
    return problems


def _head_problems(model: Checkpoint) -> list[str]:
    """A class that generates text without an output layer."""
    family = find_family(model.config)
    generates = set(model.config.get("architectures") or ()) & set(family.classes)
    if not generates or not family.head or ties_embeddings(model.config, model.tensors):
        return []
    if head_tensors(model.config, model.tensors):
        return []
    return [f"config.json ties no embeddings, and the file holds no {family.head[0]}"]


def _row_problems(model: Checkpoint) -> list[str]:
    rows = {model.tensors[name].shape[0] for name in embedding_tensors(model.config, model.tensors)}
    size = vocabulary_size(model.config)
    problems = []
    if size is not None and len(rows) == 1 and rows != {size}:
        problems.append(
            f"config.json has {size:,} vocabulary rows, and the embeddings have {min(rows):,}"
        )
    return problems
