"""Reads tokenizer.model, a message of Protocol Buffers that SentencePiece defines.

Only the fields that tokenizing depends on are read; the numbers of fields are those of
https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from patientdx.errors import MergeError

_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _KIND = 1, 2, 3
_MODEL_TYPE, _BPE = 3, 2
_CHARACTER_MAP, _PREFIX, _FEWER_BLANKS = 2, 3, 4
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


class PieceKind(IntEnum):
    """SentencePiece's kinds of pieces."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Piece(NamedTuple):
    """A piece of text, its score and its kind."""

    text: str
    score: float
    kind: PieceKind


class SentencePieceModel(NamedTuple):
    """The pieces by id, and how texts are prepared."""

    pieces: tuple[Piece, ...]
    is_bpe: bool
    adds_prefix: bool
    removes_blanks: bool
    normalizes: bool


def read_sentencepiece(content: bytes) -> SentencePieceModel:
    """The model of a tokenizer.model. Raises MergeError for content that is not one."""
    pieces: list[Piece] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    try:
        for number, value in _fields(content):
            if number == _PIECES:
                pieces.append(_piece(_message(value)))
            elif number == _TRAINER:
                trainer = dict(_fields(_message(value)))
            elif number == _NORMALIZER:
                normalizer = dict(_fields(_message(value)))
    except (ValueError, IndexError, struct.error):
        raise MergeError(
            "tokenizer.model is not a model of SentencePiece", hint="fetch the base again"
        ) from None
    return SentencePieceModel(
        tuple(pieces),
        is_bpe=trainer.get(_MODEL_TYPE) == _BPE,
        adds_prefix=bool(normalizer.get(_PREFIX, 1)),
        removes_blanks=bool(normalizer.get(_FEWER_BLANKS, 1)),
        normalizes=bool(normalizer.get(_CHARACTER_MAP)),
    )


def _piece(content: bytes) -> Piece:
    fields = dict(_fields(content))
    score, kind = _message(fields.get(_SCORE, bytes(4))), fields.get(_KIND, PieceKind.NORMAL)
    text = _message(fields[_TEXT]).decode() if _TEXT in fields else ""
    return Piece(text, struct.unpack("<f", score)[0], PieceKind(kind))  # type: ignore[arg-type]


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")  # noqa: TRY004
    return value


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: their numbers, and whole numbers or bytes."""
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        kind = tag & 7
        if kind == _VARINT:
            value, place = _varint(content, place)
            yield tag >> 3, value
            continue
        if kind == _LENGTH:
            size, place = _varint(content, place)
        else:
            size = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind, -1)
        if size < 0 or place + size > len(content):
            raise ValueError("a field is cut")
        yield tag >> 3, content[place : place + size]
        place += size


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits per byte, and the place behind it."""
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
