"""Which tensors of a model are embeddings, head, copies of them, and buffers."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .layers import look_up, parts_of
from .table import find_family

_EMBEDDINGS = re.compile(r"(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings|shared)\.weight$")
_HEAD = re.compile(r"(?:^|\.)(?:lm_head|embed_out|proj_out|output_projection)\.weight$")
_TIE = "tie_word_embeddings"


def ties_embeddings(config: Mapping[str, Any], names: Iterable[str] = ()) -> bool:
    """Whether a model's head is a copy of its embeddings, by config.json and the tensors' `names`.

    The key may stand in the configuration of the text part. Where config.json is silent the
    family's default counts; for a family that the table lacks, a model with embeddings and
    without a head is tied.
    """
    family = find_family(config)
    text = next((part for key, part in parts_of(config) if key == "text_config"), {})
    for place in (config, text):
        if isinstance(place.get(_TIE), bool):
            return bool(place[_TIE])
    if family.known:
        return family.ties_by_default
    known = list(names)
    return bool(embedding_tensors(config, known)) and not head_tensors(config, known)


def untie_embeddings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration whose model has a head of its own, at the top and in that of the text."""
    text = config.get("text_config")
    parts = {"text_config": {**text, _TIE: False}} if isinstance(text, Mapping) else {}
    return {**config, **parts, _TIE: False}


def skipped_tensors(config: Mapping[str, Any], names: Iterable[str]) -> frozenset[str]:
    """The buffers among tensors that are computed on loading, so that no file needs them."""
    family = find_family(config)
    families = [family, *(find_family(part) for _, part in parts_of(config))]
    return frozenset(name for name in names if any(own.skips(name) for own in families))


def unread_tensors(config: Mapping[str, Any], names: Iterable[str]) -> frozenset[str]:
    """The weights among tensors that transformers does not read, such as MTP layers."""
    family = find_family(config)
    beyond = _layers_beyond(config)
    return frozenset(
        name
        for name in names
        if family.leaves_unread(name) or (beyond is not None and beyond.search(name))
    )


def tied_copies(config: Mapping[str, Any], names: Iterable[str]) -> frozenset[str]:
    """The tensors that are copies of others if the model ties: head, embeddings of a decoder."""
    copies = set(find_family(config).tied)
    known = set(names)
    return frozenset((copies & known) | head_tensors(config, known))


def embedding_tensors(config: Mapping[str, Any], names: Iterable[str]) -> frozenset[str]:
    """The tensors that hold a row for each token of the vocabulary."""
    return _matching(find_family(config).embeddings, _EMBEDDINGS, names)


def head_tensors(config: Mapping[str, Any], names: Iterable[str]) -> frozenset[str]:
    """The weights of the output layer; empty if they are only in the embeddings, or if none is."""
    return _matching(find_family(config).head, _HEAD, names)


def _matching(own: Iterable[str], usual: re.Pattern[str], names: Iterable[str]) -> frozenset[str]:
    known = frozenset(names)
    listed = frozenset(own)
    bare = frozenset(name.partition(".")[2] for name in listed)
    return (listed | bare) & known or frozenset(name for name in known if usual.search(name))


def _layers_beyond(config: Mapping[str, Any]) -> re.Pattern[str] | None:
    """The pattern of layers after the last one, which predict further tokens (DeepSeek, GLM)."""
    extra = config.get("num_nextn_predict_layers") or look_up(
        config, ("text_config", "num_nextn_predict_layers")
    )
    count = config.get("num_hidden_layers") or look_up(config, ("text_config", "num_hidden_layers"))
    if not isinstance(extra, int) or not isinstance(count, int) or extra < 1:
        return None
    numbers = "|".join(str(count + n) for n in range(extra))
    return re.compile(rf"(?:^|\.)layers\.(?:{numbers})\.")
