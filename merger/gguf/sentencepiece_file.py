"""Reads tokenizer.model, a message of Protocol Buffers that SentencePiece defines.

Only the fields that tokenizing depends on are read; the numbers of fields are those of
https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto.
"""

import struct
from typing import NamedTuple, TypeAlias

from merger.vocabulary.protocol_buffer import BYTES, VARINT, read_fields, read_number
from patientdx.errors import MergeError

from .token_list import TokenKind

_Content: TypeAlias = int | bytes

_MESSAGES = _PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _KIND = 1, 2, 3
_MODEL_TYPE, _BPE = 3, 2
_CHARACTER_MAP, _PREFIX, _FEWER_BLANKS = 2, 3, 4
_ZERO = bytes(4)


class Piece(NamedTuple):
    """A piece of text, its score and its kind."""

    text: str
    score: float
    kind: TokenKind


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
    trainer: dict[int, _Content] = {}
    normalizer: dict[int, _Content] = {}
    try:
        for number, kind, start, stop in read_fields(content):
            if number in _MESSAGES:
                _check_message(kind)
            if number == _PIECES:
                pieces.append(_read_piece(content, start, stop))
            elif number == _TRAINER:
                trainer = _read_contents(content, start, stop)
            elif number == _NORMALIZER:
                normalizer = _read_contents(content, start, stop)
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


def _check_message(kind: int) -> None:
    if kind != BYTES:
        raise ValueError("a number instead of a message")


def _read_piece(data: bytes, start: int, stop: int) -> Piece:
    fields = _read_contents(data, start, stop)
    text, score, kind = (
        fields.get(_TEXT, b""),
        fields.get(_SCORE, _ZERO),
        fields.get(_KIND, int(TokenKind.NORMAL)),
    )
    if isinstance(text, int) or isinstance(score, int) or isinstance(kind, bytes):
        raise ValueError("a field of another type")  # noqa: TRY004 - like all damage here
    return Piece(text.decode(), struct.unpack("<f", score)[0], TokenKind(kind))


def _read_contents(data: bytes, start: int, stop: int) -> dict[int, _Content]:
    """The contents of the fields of a message; of a field that is repeated, the last."""
    return {
        number: read_number(data, begin)[0] if kind == VARINT else data[begin:end]
        for number, kind, begin, end in read_fields(data, start, stop)
    }
