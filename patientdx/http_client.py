"""The settings of `httpx2` shared by model servers and downloads, and when to try again.

No credentials, cookies or automatic redirects. `httpx2` takes a tenth of a second to import and is
therefore imported inside the functions that need it.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

_RETRYABLE = frozenset({408, 409, 425, 429})


def open_client(
    headers: Mapping[str, str],
    *,
    use_proxies: bool,
    timeout_s: float,
    tls: ssl.SSLContext | None = None,
    connections: int = 1,
) -> "httpx2.Client":
    """A client that keeps up to `connections` open; `use_proxies` reads them from the environment.

    `timeout_s` bounds each connect, read and write on its own. `tls` replaces the default context.
    """
    import httpx2

    return httpx2.Client(
        headers={"User-Agent": "patientdx", "Accept-Encoding": "identity", **headers},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        verify=default_tls_context() if tls is None else tls,
        trust_env=use_proxies,
        follow_redirects=False,
        timeout=timeout_s,
        limits=httpx2.Limits(max_connections=connections, keepalive_expiry=4.0),
    )


@lru_cache(1)
def default_tls_context() -> ssl.SSLContext:
    """The certificates of the system, which take a tenth of a second to read."""
    return ssl.create_default_context()


def is_retryable(status: int) -> bool:
    """Whether a request may succeed later: timeouts, conflicts, rate limits, server errors."""
    return status in _RETRYABLE or status >= 500


def parse_retry_after(value: str, longest_s: float) -> float | None:
    """Seconds of a Retry-After header, a number or a date, at most `longest_s`; None without.

    None also for a date that has passed, as by a clock that is slow: it names no time to wait.
    """
    with suppress(ValueError):
        seconds = float(value)
        return min(seconds, longest_s) if seconds >= 0 else None  # not a number is neither
    with suppress(ValueError, OverflowError):
        date = parsedate_to_datetime(value)
        seconds = (date - datetime.now(date.tzinfo)).total_seconds()
        return min(seconds, longest_s) if seconds > 0 else None
    return None


def root_cause(error: BaseException) -> BaseException:
    """The first error of a chain: what the operating system reported."""
    *_, first = _causes(error)
    return first


def is_certificate_error(error: BaseException) -> bool:
    """Whether a certificate could not be verified: another attempt would not help."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
