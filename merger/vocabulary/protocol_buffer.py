"""Reads the fields of a protocol buffer, without its library.

A message is a sequence of fields: a key (number and wire type), then a number or bytes; see
https://protobuf.dev/programming-guides/encoding. Fields are reported by their places, as plain
tuples: a vocabulary has up to 256,000 of them.
"""

from collections.abc import Iterator
from typing import TypeAlias

VARINT, BYTES = 0, 2
"""Wire types of numbers, and of texts and messages."""

Field: TypeAlias = tuple[int, int, int, int]
"""Number, wire type, and where the content begins and ends."""

_FIXED = {1: 8, 5: 4}  # sizes by wire type
_LONG = 0x80  # of a byte of a number: more bytes follow
_LONGEST_VARINT = 10


def read_fields(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[Field]:
    """The fields of the message between two places.

    Raises ValueError and IndexError for bytes that are no message.
    """
    stop = len(data) if stop is None else stop
    while start < stop:
        key, begin = read_number(data, start)
        number, kind = key >> 3, key & 7
        if kind == BYTES:
            size, begin = read_number(data, begin)
            start = begin + size
        elif kind == VARINT:
            _, start = read_number(data, begin)
        elif kind in _FIXED:
            start = begin + _FIXED[kind]
        else:
            raise ValueError("unknown wire type")
        if start > stop or not number:
            raise ValueError("cut off")
        yield number, kind, begin, start


def read_number(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits per byte, and the place behind it."""
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
