"""What notes of FHIR refer to: patients, Binary resources, and files inside the folder."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple, Self
from urllib.parse import unquote, urlsplit

from .ages import age_at
from .fhir_resources import Resource
from .fhir_text import MOST_BYTES, BadAttachmentError, NoTextError, decode_base64

NEEDED = '"(?:Patient|Binary)"'
"""A regular expression that every text of a resource matches which `References` keeps."""

_LOCAL = re.compile(r"(?:.*/)?([A-Za-z]+)/([A-Za-z0-9.\-]{1,64})(?:/_history/[^/]*)?", re.DOTALL)
_UUID = re.compile(r"urn:(?:uuid|oid):(.+)", re.IGNORECASE)
_ELSEWHERE = "attachments by a url that leads outside of the source"


class Person(NamedTuple):
    """What a Patient resource says: gender, and dates in ISO 8601 ("" if unknown)."""

    gender: str
    birth: str
    deceased: str

    def age_on(self, date: str) -> float | None:
        """The age in years at a date, if both dates are known."""
        return age_at(self.birth, date)


class _Stored(NamedTuple):
    """Where the data of a Binary resource lie in the temporary file."""

    start: int
    length: int
    content_type: str


@dataclass
class References:
    """Patients by id, and where attachments by url are: in Binary resources or in `folder`.

    Binary data wait in a temporary file, so that memory holds no notes. `folder` is None where
    no file may be opened by a url.
    """

    folder: Path | None
    people: dict[str, Person] = field(default_factory=dict)
    _ids_by_address: dict[str, str] = field(default_factory=dict)
    _binaries: dict[str, _Stored] = field(default_factory=dict)
    _data: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._data.close()

    def add(self, resource: Resource) -> None:
        """Keeps a Patient or a Binary; other kinds are passed over."""
        identifier = resource.value.get("id") or _uuid(resource.address)
        if not isinstance(identifier, str) or resource.kind not in {"Patient", "Binary"}:
            return
        if resource.address:
            self._ids_by_address[resource.address] = identifier
        if resource.kind == "Patient":
            self.people[identifier] = _person(resource.value)
        elif isinstance(data := resource.value.get("data"), str):
            packed = data.encode("ascii", "replace")
            start = self._data.seek(0, 2)
            self._data.write(packed)
            kind = resource.value.get("contentType")
            self._binaries[identifier] = _Stored(
                start, len(packed), kind if isinstance(kind, str) else ""
            )

    def patient_id(self, subject: Any) -> str | None:
        """The id of the patient that a `subject` refers to; None if it is no patient."""
        reference = subject.get("reference") if isinstance(subject, dict) else None
        if not isinstance(reference, str):
            return None
        if reference in self._ids_by_address:
            return self._ids_by_address[reference]
        local = _LOCAL.fullmatch(reference)
        if local is not None:
            return local[2] if local[1] == "Patient" else None
        return _uuid(reference) or None

    def attachment(self, attachment: dict[str, Any]) -> tuple[bytes, Any]:
        """(bytes, content type) of an attachment. Raises NoTextError or BadAttachmentError."""
        kind = attachment.get("contentType")
        if attachment.get("data"):
            return decode_base64(attachment["data"]), kind
        url = attachment.get("url")
        if not isinstance(url, str) or not url:
            raise NoTextError("attachments without data")
        binary = self._binary(url)
        if binary is not None:
            if binary.length > MOST_BYTES // 3 * 4 + 4:
                raise BadAttachmentError(f"an attachment has more than {MOST_BYTES >> 20} MiB")
            self._data.seek(binary.start)
            data = self._data.read(binary.length).decode("ascii")
            return decode_base64(data), kind or binary.content_type
        return _read_file(self._file(url)), kind

    def _binary(self, url: str) -> _Stored | None:
        local = _LOCAL.fullmatch(url)
        identifier = local[2] if local and local[1] == "Binary" else _uuid(url)
        return self._binaries.get(self._ids_by_address.get(url, identifier))

    def _file(self, url: str) -> Path:
        """A file inside the folder, also after links are followed. Raises NoTextError."""
        try:
            parts = urlsplit(url)
            path = unquote(parts.path)
            if self.folder is None or parts.scheme or parts.netloc or not path:
                raise NoTextError(_ELSEWHERE)
            root = self.folder.resolve()
            file = (root / path).resolve()
            if file.is_relative_to(root) and file.is_file():
                return file
        except (OSError, RuntimeError, ValueError) as error:
            if isinstance(error, NoTextError):
                raise
            raise NoTextError(_ELSEWHERE) from error
        raise NoTextError(_ELSEWHERE)


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadAttachmentError("the file of an attachment cannot be read") from error
    if len(data) > MOST_BYTES:
        raise BadAttachmentError(f"an attachment has more than {MOST_BYTES >> 20} MiB")
    return data


def _uuid(address: str) -> str:
    match = _UUID.fullmatch(address)
    return match[1] if match else ""


def _person(patient: dict[str, Any]) -> Person:
    values = (patient.get(name) for name in ("gender", "birthDate"))
    gender, birth = (value if isinstance(value, str) else "" for value in values)
    return Person(gender, birth, next(_deaths(patient), ""))


def _deaths(patient: dict[str, Any]) -> Iterator[str]:
    date, is_dead = patient.get("deceasedDateTime"), patient.get("deceasedBoolean")
    if isinstance(date, str):
        yield date
    if isinstance(is_dead, bool):
        yield "yes" if is_dead else "no"
