"""Reads the pieces of a SentencePiece model, a protocol buffer, without its library.

The message ModelProto (sentencepiece_model.proto) has a SentencePiece in each field 1, whose field
1 is its text; the id of a piece is its place. All other fields are passed over.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from .protocol_buffer import BYTES, read_fields
from .token_table import HIGHEST_ID, TokenTable, damaged, index_tokens

_PIECE = 1  # the field of ModelProto, and within it the field of the text
_TEXT_KEY = _PIECE << 3 | BYTES  # how such a field begins
_SHORT = 0x80  # sizes below it take one byte


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
    for number, kind, start, stop in read_fields(data):
        if (number, kind) != (_PIECE, BYTES):
            continue
        size = data[start + 1] if stop - start > 1 and data[start] == _TEXT_KEY else _SHORT
        if size < _SHORT and start + 2 + size <= stop:
            yield data[start + 2 : start + 2 + size]
        else:
            yield _text_of_piece(data, start, stop)


def _text_of_piece(data: bytes, start: int, stop: int) -> bytes:
    for number, kind, begin, end in read_fields(data, start, stop):
        if (number, kind) == (_PIECE, BYTES):
            return data[begin:end]
    raise ValueError("a piece without text")
