"""Reads the pieces of a SentencePiece model, a protocol buffer, without its library.

The message ModelProto (sentencepiece_model.proto) has a SentencePiece in each field 1, whose field
1 is its text; the id of a piece is its place. All other fields are passed over.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from .token_table import HIGHEST_ID, TokenTable, damaged, index_tokens

_PIECE = 1  # the field of ModelProto, and within it the field of the text
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_LONGEST_VARINT = 10


def read_sentencepiece_model(path: Path, data: bytes) -> TokenTable:
    """The pieces of a model whose bytes are `data`. Raises MergeError if they are no such model."""
    try:
        pieces = [
            _text_of_piece(piece)
            for field, piece in _fields(memoryview(data))
            if field == _PIECE and piece is not None
        ]
    except (ValueError, IndexError):
        raise damaged(path, "not a SentencePiece model") from None
    if not pieces or len(pieces) > HIGHEST_ID:
        raise damaged(path, "a SentencePiece model without pieces")
    digest = hashlib.sha256(data).hexdigest()
    return TokenTable(path.name, index_tokens(path, enumerate(pieces)), digest)


def _text_of_piece(message: memoryview) -> str:
    for field, content in _fields(message):
        if field == _PIECE and content is not None:
            return bytes(content).decode("utf-8")
    raise ValueError("a piece without text")


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """Number and content of each field; None for numbers.

    Raises ValueError and IndexError for bytes that are no message.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        field, kind = key >> 3, key & 7
        if not field:
            raise ValueError("field 0")
        content = None
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _BYTES:
            size, at = _varint(message, at)
            content = message[at : at + size]
            at += size
        elif kind in {_FIXED64, _FIXED32}:
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("unknown wire type")
        if at > len(message):
            raise ValueError("cut off")
        yield field, content


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for n in range(_LONGEST_VARINT):
        byte = message[at + n]
        value |= (byte & 0x7F) << (7 * n)
        if byte < 0x80:
            return value, at + n + 1
    raise ValueError("a number without end")
