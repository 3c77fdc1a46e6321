"""Reads the fields of a protocol buffer, without its library.

A message is a sequence of fields: a key (number and wire type), then a number or bytes; see
https://protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator
from typing import TypeAlias

Content: TypeAlias = int | memoryview
"""A number, or the bytes of a text, of a message or of a number of fixed size."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10


def read_fields(message: memoryview) -> Iterator[tuple[int, Content]]:
    """Number and content of each field.

    Raises ValueError and IndexError for bytes that are no message.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        field, kind = key >> 3, key & 7
        if not field:
            raise ValueError("field 0")
        if kind == _VARINT:
            number, at = _varint(message, at)
            yield field, number
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in _FIXED_SIZES:
            size = _FIXED_SIZES[kind]
        else:
            raise ValueError("unknown wire type")
        if at + size > len(message):
            raise ValueError("cut off")
        yield field, message[at : at + size]
        at += size


def read_bytes(content: Content) -> memoryview:
    """The bytes of a field. Raises ValueError for a number."""
    if isinstance(content, int):
        raise ValueError("a number instead of bytes")  # noqa: TRY004
    return content


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits per byte, and the place behind it."""
    value = 0
    for n in range(_LONGEST_VARINT):
        byte = message[at + n]
        value |= (byte & 0x7F) << (7 * n)
        if byte < 0x80:
            return value, at + n + 1
    raise ValueError("a number without end")
