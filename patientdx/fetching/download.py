"""One file over HTTP: resumed where it was cut, checked, and only then given its name.

Standard library only. No token, cookie or name is ever sent: what is fetched here is public.
"""

import errno
import hashlib
import json
import re
import shutil
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse, InvalidURL
from pathlib import Path
from typing import IO, Any, TypeVar, cast
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from patientdx.errors import FetchError
from patientdx.storage.durable import rename_file

Sleep = Callable[[float], None]
"""Waits so many seconds; tests hand in one that only remembers."""

_T = TypeVar("_T")
_CHUNK = 1 << 18  # bytes
_MOST_JSON = 1 << 25  # bytes; far above any listing that is meant for us
_TIMEOUT_S = 60.0  # without a single byte
_WAITS_S = (1.0, 2.0, 4.0, 8.0)
_LONGEST_WAIT_S = 60.0
_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Expected:
    """What a file must be: its size in bytes and `sha256`, or else the sha1 of its git blob."""

    size: int
    sha256: str | None = None
    git_sha1: str | None = None

    def digest_of(self, path: Path) -> str | None:
        """The sha256 of the file at `path`, or None where it is missing or another one."""
        if not path.is_file() or path.stat().st_size != self.size:
            return None
        sha256 = hashlib.sha256()
        git_sha1 = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                sha256.update(chunk)
                git_sha1.update(chunk)
        found = sha256.hexdigest()
        right = found == self.sha256 if self.sha256 else git_sha1.hexdigest() == self.git_sha1
        return found if right else None


class _TryAgainError(FetchError):
    """A failure that may pass; `wait` is how many seconds the server asked for, if it did."""

    wait: float | None = None


def download(
    url: str, expected: Expected, final: Path, *, on_bytes: Callable[[int], None], sleep: Sleep
) -> str:
    """The sha256 of what `url` gave, after it was checked and renamed to `final`.

    `on_bytes` is told how many bytes are here. Until it is whole the file is `NAME.part` beside
    `final`, and a later call goes on with it. Raises FetchError when the file does not arrive
    whole after five attempts, is another one than expected (the part is then deleted), or cannot
    be written.
    """
    part = final.with_name(f"{final.name}.part")
    with on_disk(part):
        final.parent.mkdir(parents=True, exist_ok=True)
        _persistently(lambda: _receive(url, expected.size, part, on_bytes), sleep)
        digest = expected.digest_of(part)
        if digest is None:
            part.unlink()
            raise FetchError(
                f"{final.name} arrived with a wrong checksum and was deleted",
                hint="run the command again, which fetches it from its beginning",
            )
        rename_file(part, final)
    return digest


def answer(url: str, sleep: Sleep) -> tuple[Any, str | None]:
    """The JSON at `url`, and the address of the next page where a Link header names one.

    Raises FetchError when there is no answer after five attempts, or one that is not JSON.
    """
    return _persistently(lambda: _json(url), sleep)


def checked(url: str) -> str:
    """The same address. Raises FetchError unless it is http(s), with a host and no password."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise FetchError("only http and https addresses are fetched from, and this is none")
    if "@" in parts.netloc:
        raise FetchError("an address with a name or password is not used: none is ever sent")
    return url


@contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Turns what the disk refuses into a FetchError of one sentence about `path`."""
    try:
        yield
    except OSError as problem:
        if problem.errno in _FULL:
            raise _disk_full(path.parent) from problem
        said = problem.strerror or type(problem).__name__
        raise FetchError(f"{path} cannot be written: {said}") from problem


def _persistently(attempt: Callable[[], _T], sleep: Sleep) -> _T:
    for wait in _WAITS_S:
        try:
            return attempt()
        except _TryAgainError as problem:
            sleep(wait if problem.wait is None else problem.wait)
    return attempt()


def _receive(url: str, size: int, part: Path, on_bytes: Callable[[int], None]) -> None:
    """Adds to the part until it has its size. Raises _TryAgainError when it is cut."""
    have = _bytes_in(part)
    if have == size and part.exists():
        return  # whole already, only its checksum is missing
    if have > size:
        part.unlink()  # of another revision
        have = 0
    if shutil.disk_usage(part.parent).free < size - have:
        raise _disk_full(part.parent)
    with _open(url, have) as response:
        start = _start(response)
        if start not in {0, have}:
            part.unlink(missing_ok=True)
            raise _TryAgainError(f"the server did not go on with {part.stem} where it was cut")
        with part.open("ab" if start else "wb") as out:
            # One byte more than is due shows another file without filling the disk with it.
            for chunk in _chunks(response, size - start + 1):
                out.write(chunk)
                on_bytes(out.tell())
    if _bytes_in(part) < size:
        raise _TryAgainError(f"{part.stem} was cut off", hint="run the command again: it goes on")


def _bytes_in(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _start(response: HTTPResponse) -> int:
    """The offset in the file at which an answer begins, -1 where that cannot be told."""
    if response.status == 200:
        return 0
    stated = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(stated[1]) if response.status == 206 and stated else -1


def _disk_full(folder: Path) -> FetchError:
    return FetchError(
        f"the disk that holds {folder} has no room left for this",
        hint="free some space and run the command again: it goes on where it stopped",
    )


def _json(url: str) -> tuple[Any, str | None]:
    with _open(url) as response:
        body = b"".join(_chunks(response, _MOST_JSON))
        following = re.search(r'<([^>]+)>\s*;\s*rel="?next\b', response.headers.get("Link", ""))
    try:
        # RecursionError: JSON of nothing but opening brackets.
        return json.loads(body), urljoin(url, following[1]) if following else None
    except (ValueError, RecursionError):
        raise FetchError(
            f"{url} did not answer with JSON", hint="is PATIENTDX_HUB the address of a hub?"
        ) from None


def _chunks(response: HTTPResponse, most: int) -> Iterator[bytes]:
    """The body, up to `most` bytes. Raises _TryAgainError when the connection ends before it."""
    try:
        while most > 0 and (chunk := response.read(min(_CHUNK, most))):
            most -= len(chunk)
            yield chunk
    except (OSError, HTTPException) as problem:
        raise _unreachable(response.url, problem) from problem
    if most > 0 and response.length:
        raise _TryAgainError("the connection ended early", hint="run the command again: it goes on")


def _open(url: str, start: int = 0) -> HTTPResponse:
    """The answer to a request for `url` from byte `start` on: 200, 206 or 416."""
    # `identity`: sizes and offsets are those of the file, not of a compressed form of it.
    headers = {"User-Agent": "patientdx", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        request = Request(checked(url), headers=headers)  # noqa: S310 - `checked` knows the scheme
        return cast("HTTPResponse", build_opener(_Redirects).open(request, timeout=_TIMEOUT_S))
    except HTTPError as refusal:
        if refusal.code == 416:
            return cast("HTTPResponse", refusal)  # it has the same status, headers and `with`
        with refusal:
            raise _refused(url, refusal) from None
    except (ValueError, InvalidURL):
        raise FetchError(f"{url!r} is not an address that can be asked") from None
    except (OSError, HTTPException) as problem:
        raise _unreachable(url, problem) from problem


def _refused(url: str, refusal: HTTPError) -> FetchError:
    if refusal.code == 429 or refusal.code >= 500:
        busy = _TryAgainError(f"{url} answered {refusal.code}", hint="try again later")
        wait = refusal.headers.get("Retry-After", "")
        busy.wait = min(float(wait), _LONGEST_WAIT_S) if wait.isdecimal() else None
        return busy
    hint = "no such repository, revision or file there; is PATIENTDX_HUB right?"
    return FetchError(f"{url} answered {refusal.code}", hint=hint if refusal.code == 404 else None)


def _unreachable(url: str, problem: Exception) -> FetchError:
    reason = getattr(problem, "reason", problem)  # URLError wraps what went wrong
    host = urlsplit(url).netloc
    if isinstance(reason, ssl.SSLCertVerificationError):
        return FetchError(f"{host} has a certificate that cannot be verified")
    said = reason if isinstance(reason, str) else type(reason).__name__
    return _TryAgainError(f"{host} cannot be reached ({said})", hint="is there a network here?")


class _Redirects(HTTPRedirectHandler):
    """Follows to another host, but neither to another scheme nor from https down to http."""

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> Request | None:
        """The request to send on. Raises FetchError for an address that is not to be followed."""
        try:
            target = _followed(req, newurl)
        except FetchError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, target)


def _followed(request: Request, target: str) -> str:
    if request.type == "https" and urlsplit(checked(target)).scheme != "https":
        raise FetchError(f"{request.host} redirects from https to http, which is not followed")
    return checked(target)
