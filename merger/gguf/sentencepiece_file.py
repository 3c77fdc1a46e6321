"""Reads tokenizer.model, a message of Protocol Buffers that SentencePiece defines.

Only the fields that tokenizing depends on are read; the numbers of fields are those of
https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from patientdx.errors import MergeError

from .protocol_buffer import Content, read_bytes, read_fields

_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _KIND = 1, 2, 3
_MODEL_TYPE, _BPE = 3, 2
_CHARACTER_MAP, _PREFIX, _FEWER_BLANKS = 2, 3, 4
_ZERO = memoryview(bytes(4))


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
    trainer: dict[int, Content] = {}
    normalizer: dict[int, Content] = {}
    try:
        for number, value in read_fields(memoryview(content)):
            if number == _PIECES:
                pieces.append(_piece(read_bytes(value)))
            elif number == _TRAINER:
                trainer = dict(read_fields(read_bytes(value)))
            elif number == _NORMALIZER:
                normalizer = dict(read_fields(read_bytes(value)))
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


def _piece(message: memoryview) -> Piece:
    fields = dict(read_fields(message))
    score = read_bytes(fields.get(_SCORE, _ZERO))
    text = bytes(read_bytes(fields.get(_TEXT, _ZERO[:0]))).decode()
    kind = fields.get(_KIND, int(PieceKind.NORMAL))
    if not isinstance(kind, int):
        raise ValueError("bytes instead of a number")  # noqa: TRY004
    return Piece(text, struct.unpack("<f", score)[0], PieceKind(kind))
