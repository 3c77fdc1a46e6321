"""Reads the pieces of a SentencePiece model, a protocol buffer, without its library.

The message ModelProto (sentencepiece_model.proto) has a SentencePiece in each field 1, whose field
1 is its text; the id of a piece is its place. All other fields are passed over.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from .token_table import HIGHEST_ID, TokenTable, damaged, index_tokens

_PIECE = 1  # the field of ModelProto, and within it the field of the text
_TEXT_KEY = _PIECE << 3 | 2  # how such a field of bytes begins
_VARINT, _BYTES = 0, 2  # wire types
_FIXED = {1: 8, 5: 4}  # sizes by wire type
_LONG = 0x80  # of a byte of a number: more bytes follow
_LONGEST_VARINT = 10


def read_sentencepiece_model(path: Path, data: bytes) -> TokenTable:
    """The pieces of a model whose bytes are `data`. Raises MergeError if they are no such model."""
    try:
        pieces = [piece.decode("utf-8") for piece in _pieces(data)]
    except (ValueError, IndexError):
        raise damaged(path, "not a SentencePiece model") from None
    if not pieces or len(pieces) > HIGHEST_ID:
        raise damaged(path, "a SentencePiece model without pieces")
    digest = hashlib.sha256(data).hexdigest()
    return TokenTable(path.name, index_tokens(path, enumerate(pieces)), digest)


def _pieces(data: bytes) -> Iterator[bytes]:
    """The text of each piece.

    Nearly all have a text of less than 128 bytes as their first field, and are read at once: there
    are up to 256,000.
    """
    for field, start, stop in _fields(data, 0, len(data)):
        if field != _PIECE:
            continue
        size = data[start + 1] if stop - start > 1 and data[start] == _TEXT_KEY else _LONG
        if size < _LONG and start + 2 + size <= stop:
            yield data[start + 2 : start + 2 + size]
        else:
            yield _text_of_piece(data, start, stop)


def _text_of_piece(data: bytes, start: int, stop: int) -> bytes:
    for field, begin, end in _fields(data, start, stop):
        if field == _PIECE:
            return data[begin:end]
    raise ValueError("a piece without text")


def _fields(data: bytes, at: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field of bytes between two places; others are passed over.

    Raises ValueError and IndexError for bytes that are no message.
    """
    while at < stop:
        key, at = _varint(data, at)
        field, kind = key >> 3, key & 7
        start = at
        if kind == _BYTES:
            size, start = _varint(data, at)
            at = start + size
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise ValueError("unknown wire type")
        if at > stop or not field:
            raise ValueError("cut off")
        if kind == _BYTES:
            yield field, start, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = data[at]
    if value < _LONG:
        return value, at + 1
    value &= 0x7F
    for n in range(1, _LONGEST_VARINT):
        byte = data[at + n]
        value |= (byte & 0x7F) << (7 * n)
        if byte < _LONG:
            return value, at + n + 1
    raise ValueError("a number without end")
