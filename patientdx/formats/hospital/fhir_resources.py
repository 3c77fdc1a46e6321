"""The resources of a FHIR file: NDJSON, a list, or Bundles, which are read entry by entry."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from patientdx.formats.rows import JsonBuffer
from patientdx.storage.text_files import TextInput

Reject = Callable[[int, str], None]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]')
_VALUE = re.compile(r'\s*:\s*"')
_BUNDLE = re.compile(r'\{\s*"resourceType"\s*:\s*"Bundle"')


class Resource(NamedTuple):
    """A resource, the line it begins on, and its address in a Bundle ("" outside of one)."""

    line: int
    kind: str
    value: dict[str, Any]
    address: str


def is_fhir(head: str) -> bool:
    """True for the start of a JSON text whose first object has a `resourceType` of its own."""
    text = head.lstrip("\N{BOM} \t\r\n").removeprefix("[").lstrip()
    if not text.startswith("{"):
        return False
    depth = 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "{" | "[":
                depth += 1
            case "}" | "]":
                depth -= 1
            case '"resourceType"' if depth == 1 and _VALUE.match(text, token.end()):
                return True
        if depth == 0:
            return False
    return False


def read_resources(source: TextInput, reject: Reject, only: str = "") -> Iterator[Resource]:
    """The resources of an open file, those within Bundles one by one.

    Lines of NDJSON that are malformed go to `reject`. Lines without a match for the regular
    expression `only` need not be read. Raises InputError for a Bundle that is malformed.
    """
    head = source.head()
    if head.lstrip().startswith("[") or _BUNDLE.match(head.lstrip()) or not _is_ndjson(head):
        values = _concatenated(source)
    else:
        values = _lines(source, reject, re.compile(only))
    for line, value in values:
        yield from _resources_of(line, value, reject)


def _is_ndjson(head: str) -> bool:
    """True if the first line is an object, as far as it is seen."""
    line, newline, _ = head.lstrip().partition("\n")
    if not newline:
        return True
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _lines(source: TextInput, reject: Reject, only: re.Pattern[str]) -> Iterator[tuple[int, Any]]:
    for text in source.lines():
        if text.isspace() or not only.search(text):
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            reject(source.line, "malformed JSON")
            continue
        yield source.line, value


def _concatenated(source: TextInput) -> Iterator[tuple[int, Any]]:
    """The objects that stand one after another, or in a list; of Bundles the entries."""
    buffer = JsonBuffer(source)
    follows = buffer.next_character()
    if follows == "[":
        buffer.skip_character()
        yield from _elements(buffer)
        follows = buffer.next_character()
    while follows:
        if buffer.matches(_BUNDLE):
            yield from _entries(buffer)
        else:
            yield buffer.line, buffer.element()
        follows = buffer.next_character()


def _elements(buffer: JsonBuffer) -> Iterator[tuple[int, Any]]:
    """The elements of a list whose opening bracket has been read."""
    follows = buffer.next_character()
    while follows != "]":
        yield buffer.line, buffer.element()
        follows = _after_element(buffer, "]")
    buffer.skip_character()


def _entries(buffer: JsonBuffer) -> Iterator[tuple[int, Any]]:
    """The entries of a Bundle, each as a Bundle of one entry; the other values are passed over."""
    buffer.skip_character()
    follows = buffer.next_character()
    while follows != "}":
        key = buffer.element()
        if buffer.next_character() != ":":
            raise buffer.malformed("a colon is missing")
        buffer.skip_character()
        if buffer.next_character() == "[" and key == "entry":
            buffer.skip_character()
            for line, entry in _elements(buffer):
                yield line, {"resourceType": "Bundle", "entry": [entry]}
        else:
            buffer.element()
        follows = _after_element(buffer, "}")
    buffer.skip_character()


def _after_element(buffer: JsonBuffer, closing: str) -> str:
    """The character that follows an element and its comma."""
    follows = buffer.next_character()
    if follows == ",":
        buffer.skip_character()
        return buffer.next_character()
    if follows != closing:
        raise buffer.malformed("a comma or the closing bracket is missing")
    return follows


def _resources_of(line: int, value: Any, reject: Reject) -> Iterator[Resource]:
    """A resource itself, or those within a Bundle; Bundles within Bundles are opened too."""
    waiting: list[tuple[Any, str]] = [(value, "")]
    while waiting:
        resource, address = waiting.pop()
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        if not isinstance(kind, str):
            reject(line, "this is no FHIR resource")
        elif kind == "Bundle":
            entries = resource.get("entry") or []
            waiting += [_entry(entry) for entry in reversed(entries) if _has_resource(entry)]
        else:
            yield Resource(line, kind, resource, address)


def _has_resource(entry: Any) -> bool:
    """False for entries that only request a deletion, or answer one."""
    return not isinstance(entry, dict) or "resource" in entry


def _entry(entry: Any) -> tuple[Any, str]:
    if not isinstance(entry, dict):
        return entry, ""
    address = entry.get("fullUrl")
    return entry["resource"], address if isinstance(address, str) else ""
