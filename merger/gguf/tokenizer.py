"""The tokenizer beside a model as metadata of a GGUF file."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from merger.vocabulary.token_table import damaged
from patientdx.errors import MergeError

from .byte_level import byte_level_remark, describe_byte_level
from .container import Metadata, Value
from .sentencepiece import describe_merges, describe_pieces, merges_remark
from .token_list import TokenKind
from .tokenizer_files import TokenizerFiles

_SPECIAL = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


class TokenizerFacts(NamedTuple):
    """The metadata of a tokenizer, and remarks on what llama.cpp does differently."""

    metadata: Metadata
    remarks: tuple[str, ...]


def describe_tokenizer(
    files: TokenizerFiles, config: Mapping[str, Any], rows: int
) -> TokenizerFacts:
    """The metadata of the tokenizer in a model's folder, for so many rows of embeddings.

    Raises MergeError for a tokenizer that llama.cpp would read differently, and for files that are
    not laid out as their libraries write them.
    """
    try:
        return _describe_tokenizer(files, config, rows)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
        # These come of entries that are missing or of another kind, anywhere in the files.
        raise damaged(files.folder, "its tokenizer files are not laid out as expected") from None


def _describe_tokenizer(
    files: TokenizerFiles, config: Mapping[str, Any], rows: int
) -> TokenizerFacts:
    remark: str | None = None
    model = files.tokenizer.get("model") or {}
    if model.get("type", "BPE" if "merges" in model else "") == "BPE":
        if _is_byte_level(files.tokenizer):
            metadata, remark = describe_byte_level(files, rows), byte_level_remark(files)
        else:
            metadata, remark = describe_merges(files, rows), merges_remark(files.tokenizer)
    elif files.tokenizer:
        raise MergeError(
            f"this merge's tokenizer cannot be written as GGUF: it is {model.get('type')}, not BPE",
            hint="merge without --gguf",
        )
    elif files.sentencepiece is not None:
        metadata = describe_pieces(files, files.sentencepiece, rows)
    else:
        raise MergeError(
            "a GGUF file holds its tokenizer, and the base has no tokenizer.json or "
            "tokenizer.model",
            hint="save one by AutoTokenizer.from_pretrained(BASE).save_pretrained(BASE), or merge "
            "without --gguf",
        )
    metadata = {**metadata, **_special_ids(files, config, metadata), **_template(files)}
    return TokenizerFacts(metadata, (remark,) if remark else ())


def _is_byte_level(tokenizer: Mapping[str, Any]) -> bool:
    decoder = tokenizer.get("decoder") or {}
    parts = [decoder, *decoder.get("decoders", ())]
    return any(part.get("type") == "ByteLevel" for part in parts)


def _template(files: TokenizerFiles) -> Metadata:
    template = files.chat_template()
    return {"tokenizer.chat_template": template} if template else {}


def _special_ids(files: TokenizerFiles, config: Mapping[str, Any], metadata: Metadata) -> Metadata:
    """The ids of special tokens, and which of them are put around a text."""
    ids = _ids_by_text(metadata)
    special: dict[str, int] = {}
    for name in _SPECIAL:
        text = files.special_token(name)
        number = ids.get(text) if text is not None else _first(config.get(f"{name}_token_id"))
        if number is not None and number in ids.values():
            special[name] = number
    values: dict[str, Value] = {
        f"tokenizer.ggml.{_SPECIAL[name]}_token_id": number for name, number in special.items()
    }
    ends = _whole_numbers(files.generation.get("eos_token_id", config.get("eos_token_id")))
    others = [number for number in ends if number != special.get("eos")]
    if others and "eos" in special:
        values["tokenizer.ggml.eot_token_id"] = others[0]
    for name, added in zip(("bos", "eos"), _tokens_around(files), strict=True):
        if added is not None and ids.get(added) != special.get(name):
            raise MergeError(
                f"this merge's tokenizer cannot be written as GGUF: it puts `{added}` around "
                f"texts, which is not its {name} token",
                hint="merge without --gguf",
            )
        values[f"tokenizer.ggml.add_{name}_token"] = added is not None
    return values


def _ids_by_text(metadata: Metadata) -> dict[str, int]:
    texts, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    assert isinstance(texts, list)
    assert isinstance(kinds, np.ndarray)
    used = kinds != TokenKind.UNUSED
    return {text: number for number, text in enumerate(texts) if used[number]}


def _tokens_around(files: TokenizerFiles) -> tuple[str | None, str | None]:
    """The tokens that are put before and after a text."""
    before, after = _tokens_of_template(files.tokenizer)
    if not files.tokenizer:  # as transformers loads a tokenizer.model
        before = files.special_token("bos")
    for name, present in (("bos", before), ("eos", after)):
        wanted = files.settings.get(f"add_{name}_token")
        if isinstance(wanted, bool):
            text = (present or files.special_token(name)) if wanted else None
            before, after = (text, after) if name == "bos" else (before, text)
    return before, after


def _tokens_of_template(tokenizer: Mapping[str, Any]) -> tuple[str | None, str | None]:
    processor = tokenizer.get("post_processor") or {}
    processors = processor.get("processors", [processor] if processor else [])
    before: str | None = None
    after: str | None = None
    for part in processors:
        if part.get("type") == "ByteLevel":
            continue
        if part.get("type") != "TemplateProcessing":
            raise MergeError(
                "this merge's tokenizer cannot be written as GGUF: it has the post-processor "
                f"{part.get('type')}",
                hint="merge without --gguf",
            )
        pieces = [next(iter(piece.items())) for piece in part["single"]]
        place = [kind for kind, _ in pieces].index("Sequence")
        before = _only(pieces[:place]) or before
        after = _only(pieces[place + 1 :]) or after
    return before, after


def _only(pieces: Sequence[tuple[str, Mapping[str, Any]]]) -> str | None:
    if len(pieces) > 1:
        raise MergeError(
            "this merge's tokenizer cannot be written as GGUF: it puts several tokens around texts",
            hint="merge without --gguf",
        )
    return str(pieces[0][1]["id"]) if pieces else None


def _whole_numbers(value: Any) -> list[int]:
    values = value if isinstance(value, list) else [value]
    return [number for number in values if isinstance(number, int)]


def _first(value: Any) -> int | None:
    return next(iter(_whole_numbers(value)), None)
