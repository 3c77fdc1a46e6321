"""Downloads a file over HTTP: resumed where it was cut off, verified, and only then renamed.

No token or cookie is sent: what is fetched here is public. Proxies of the environment are used.
"""

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from patientdx.errors import FetchError
from patientdx.http_client import is_certificate_error, open_client, parse_retry_after, root_cause
from patientdx.storage.durable import rename_file

if TYPE_CHECKING:
    import httpx2

Sleep = Callable[[float], None]
"""Waits for a number of seconds; tests pass one that records them."""

_T = TypeVar("_T")
_CHUNK = 1 << 18  # bytes
_MOST_JSON = 1 << 25  # bytes; far above any real listing
_TIMEOUT_S = 60.0  # without a single byte
_WAITS_S = (1.0, 2.0, 4.0, 8.0)
_LONGEST_WAIT_S = 60.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Expected:
    """Size of a file in bytes, and its `sha256` or else the sha1 of its git blob."""

    size: int
    sha256: str | None = None
    git_sha1: str | None = None

    def verify(self, path: Path) -> str | None:
        """The sha256 of the file at `path`; None if it is missing or does not match."""
        if not path.is_file() or path.stat().st_size != self.size:
            return None
        sha256 = hashlib.sha256()
        git_sha1 = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                sha256.update(chunk)
                git_sha1.update(chunk)
        digest = sha256.hexdigest()
        matches = digest == self.sha256 if self.sha256 else git_sha1.hexdigest() == self.git_sha1
        return digest if matches else None


class _RetryableError(FetchError):
    """A failure that may pass; `wait_s` is how many seconds the server asks to wait, if it does."""

    wait_s: float | None = None


def download(
    url: str, expected: Expected, final: Path, *, on_bytes: Callable[[int], None], sleep: Sleep
) -> str:
    """Downloads `url` to `final` and returns its sha256.

    `on_bytes` receives the number of bytes fetched so far. An incomplete file is `NAME.part` beside
    `final`; a later call resumes it. Raises FetchError when the file is incomplete after five
    attempts, does not match (the part is then deleted), or cannot be written.
    """
    part = final.with_name(f"{final.name}.part")
    with explain_disk_errors(part):
        final.parent.mkdir(parents=True, exist_ok=True)
        _retry(lambda: _receive(url, expected.size, part, on_bytes), sleep)
        digest = expected.verify(part)
        if digest is None:
            part.unlink()
            raise FetchError(
                f"{final.name} arrived with a wrong checksum and was deleted",
                hint="run the command again, which fetches it from its beginning",
            )
        rename_file(part, final)
    return digest


def fetch_json(url: str, sleep: Sleep) -> tuple[Any, str | None]:
    """The JSON at `url`, and the address of the next page if a Link header names one.

    Raises FetchError when there is no answer after five attempts, or one that is not JSON.
    """
    return _retry(lambda: _read_json(url), sleep)


def validate_url(url: str) -> str:
    """The same address. Raises FetchError unless it is http(s), with a host and no password."""
    try:
        parts = urlsplit(url)
        named = parts.hostname is not None and not re.search(r"\s", parts.netloc)
        good = parts.scheme in {"http", "https"} and named and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise FetchError("only http and https addresses are fetched from, and this is none")
    if "@" in parts.netloc:
        raise FetchError("an address with a name or password is not used: none is ever sent")
    return url


@contextmanager
def explain_disk_errors(path: Path) -> Iterator[None]:
    """Turns an OSError into a FetchError of one sentence about `path`."""
    try:
        yield
    except OSError as problem:
        if problem.errno in _FULL:
            raise _disk_full(path.parent) from problem
        reason = problem.strerror or type(problem).__name__
        raise FetchError(f"{path} cannot be written: {reason}") from problem


def _retry(attempt: Callable[[], _T], sleep: Sleep) -> _T:
    for wait_s in _WAITS_S:
        try:
            return attempt()
        except _RetryableError as problem:
            sleep(wait_s if problem.wait_s is None else problem.wait_s)
    return attempt()


def _receive(url: str, size: int, part: Path, on_bytes: Callable[[int], None]) -> None:
    """Appends to the part until it has its size. Raises _RetryableError when it is cut off."""
    present = _size_of(part)
    if present == size and part.exists():
        return  # complete, only its checksum is missing
    if present > size:
        part.unlink()  # of another revision
        present = 0
    if shutil.disk_usage(part.parent).free < size - present:
        raise _disk_full(part.parent)
    with _open(url, present) as response:
        start = _start(response)
        if start not in {0, present}:
            part.unlink(missing_ok=True)
            raise _RetryableError(f"the server did not go on with {part.stem} where it was cut")
        with part.open("ab" if start else "wb") as out:
            # One byte more than expected reveals a longer file without filling the disk with it.
            for chunk in _chunks(response, size - start + 1):
                out.write(chunk)
                on_bytes(out.tell())
    if _size_of(part) < size:
        raise _RetryableError(f"{part.stem} was cut off", hint="run the command again: it goes on")


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _start(response: "httpx2.Response") -> int:
    """Offset in the file at which a response begins; -1 if it does not say."""
    if response.status_code == 200:
        return 0
    stated = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(stated[1]) if response.status_code == 206 and stated else -1


def _disk_full(folder: Path) -> FetchError:
    return FetchError(
        f"the disk that holds {folder} has no room left for this",
        hint="free some space and run the command again: it goes on where it stopped",
    )


def _read_json(url: str) -> tuple[Any, str | None]:
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


def _chunks(response: "httpx2.Response", most: int) -> Iterator[bytes]:
    """The body, up to `most` bytes. Raises _RetryableError when the connection ends early."""
    import httpx2

    try:
        # Chunks come as they arrive: whatever was received before a cut reaches the file.
        for chunk in response.iter_raw():
            yield chunk[:most]
            most -= len(chunk)
            if most <= 0:
                return
    except httpx2.RemoteProtocolError as problem:
        raise _RetryableError(
            "the connection ended early", hint="run the command again: it goes on"
        ) from problem
    except httpx2.HTTPError as problem:
        raise _unreachable(str(response.url), problem) from problem


@contextmanager
def _open(url: str, start: int = 0) -> Iterator["httpx2.Response"]:
    """The response from byte `start` of `url` on, after redirects, of status 200, 206 or 416."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    with _client() as client:
        response = _send(client, url, headers)
        for _ in range(_MOST_REDIRECTS):
            if response.status_code not in _REDIRECTS:
                break
            response.close()
            url = _redirect_target(str(response.url), response.headers.get("Location", ""))
            response = _send(client, url, headers)
        try:
            if response.status_code not in {200, 206, 416}:
                raise _refused(url, response)
            yield response
        finally:
            response.close()


def _client() -> "httpx2.Client":
    try:
        return open_client({}, use_proxies=True, timeout_s=_TIMEOUT_S)
    except ImportError as error:
        raise FetchError(
            "the environment names a SOCKS proxy, which needs the package socksio",
            hint="pip install 'httpx2[socks]', or unset ALL_PROXY",
        ) from error


def _send(client: "httpx2.Client", url: str, headers: dict[str, str]) -> "httpx2.Response":
    import httpx2

    try:
        request = client.build_request("GET", validate_url(url), headers=headers)
        return client.send(request, stream=True)
    except (ValueError, httpx2.InvalidURL):
        raise FetchError(f"{url!r} is not a usable address") from None
    except httpx2.HTTPError as problem:
        raise _unreachable(url, problem) from problem


def _redirect_target(source: str, location: str) -> str:
    """Address of a redirect: any host, but neither another scheme nor from https down to http."""
    target = validate_url(urljoin(source, location))
    if urlsplit(source).scheme == "https" and urlsplit(target).scheme != "https":
        host = urlsplit(source).netloc
        raise FetchError(f"{host} redirects from https to http, which is not followed")
    return target


def _refused(url: str, response: "httpx2.Response") -> FetchError:
    status = response.status_code
    if status == 429 or status >= 500:
        busy = _RetryableError(f"{url} answered {status}", hint="try again later")
        busy.wait_s = parse_retry_after(response.headers.get("Retry-After", ""), _LONGEST_WAIT_S)
        return busy
    hint = "no such repository, revision or file there; is PATIENTDX_HUB right?"
    return FetchError(f"{url} answered {status}", hint=hint if status == 404 else None)


def _unreachable(url: str, problem: Exception) -> FetchError:
    host = urlsplit(url).netloc
    if is_certificate_error(problem):
        return FetchError(f"{host} has a certificate that cannot be verified")
    reason = type(root_cause(problem)).__name__
    return _RetryableError(f"{host} cannot be reached ({reason})", hint="is there a network here?")
