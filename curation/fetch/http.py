"""Web URLs -> bytes, from public addresses and allowed hosts only, in one attempt.

Redirects are followed here, not by aiohttp, so that each passes the same checks and limits as a URL of the listing.
Proxies of the environment are not used: the address that a proxy connects to cannot be checked.
"""

import asyncio
import contextlib
import email.utils
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable

import aiohttp
from yarl import URL

from curation.fetch.errors import FetchError, StatusError, TooManyBytesError, TransientError
from curation.fetch.opt_outs import AGENT, OptOutRules, find_opt_out
from curation.fetch.public_addresses import AddressRefusedError, AllowedHosts, make_public_socket
from curation.fetch.rate_limits import HostLimits, RateLimits
from curation.fetch.robots import RobotsFiles
from curation.options import FetchOptions
from curation.run.versions import software_versions
from shards.interface.printable import printable

USER_AGENT = f"{AGENT}/{software_versions()['pix2gif']} (makes data sets of GIFs)"
MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_TOO_MANY_REQUESTS = 429
_TRANSIENT_STATUSES = (408, 425, _TOO_MANY_REQUESTS)
_CHUNK_BYTES = 2**16
_MAX_REASON_CHARS = 100
_ACCEPT = (
    "image/gif, image/webp;q=0.9, image/apng;q=0.9, image/avif;q=0.8, video/mp4;q=0.7, video/webm;q=0.7, "
    "video/quicktime;q=0.6, image/*;q=0.5, */*;q=0.1"
)
"""Prefers GIF. Tumblr answers some requests for a GIF with status 500 unless they admit WebP."""
_NO_RULES = OptOutRules(headers=False)


class HttpClient:
    """Connections to the hosts of a run: checked sessions to public addresses, unchecked ones to allowed hosts."""

    def __init__(
        self,
        options: FetchOptions,
        limits: RateLimits,
        public_session: aiohttp.ClientSession,
        allowed_session: aiohttp.ClientSession,
    ) -> None:
        self._timeout_s = options.fetch_timeout
        self._allowed = AllowedHosts(options.allow_host)
        self._limits = limits
        self._public_session, self._allowed_session = public_session, allowed_session
        self._robots = RobotsFiles(lambda url, write: self._follow(url, write, sys.maxsize, _NO_RULES))

    async def download(
        self, url: str, write: Callable[[bytes], object], max_bytes: int, rules: OptOutRules = _NO_RULES
    ) -> str | None:
        """Pass the bytes of a URL to `write` in chunks; return the opt-out of the response, if rules ignore it.

        Raises TransientError where a retry may succeed, another FetchError where not, TooManyBytesError as soon as
        the size is known to exceed `max_bytes`, and OptedOutError before a byte is written. Raises what `write` raises.
        """
        return await self._follow(_parse(url), write, max_bytes, rules)

    async def check_robots(self, url: str) -> None:
        """Raise OptedOutError if the robots.txt of its host disallows a URL, or FetchError if that cannot be read."""
        await self._robots.check(_parse(url))

    async def _follow(
        self, url: URL, write: Callable[[bytes], object], max_bytes: int, rules: OptOutRules
    ) -> str | None:
        remaining_s = self._timeout_s
        current = url
        for _ in range(MAX_REDIRECTS + 1):
            if rules.robots:
                await self._robots.check(current)
            host = self._limits.host(current.host or "")
            async with host.request_slot():
                start_s = time.monotonic()
                outcome = await self._request(current, host, write, max_bytes, remaining_s, rules)
                remaining_s -= time.monotonic() - start_s
            if not isinstance(outcome, URL):
                return outcome
            current = outcome
        raise FetchError(f"more than {MAX_REDIRECTS} redirects")

    async def _request(
        self,
        url: URL,
        host: HostLimits,
        write: Callable[[bytes], object],
        max_bytes: int,
        timeout_s: float,
        rules: OptOutRules,
    ) -> URL | str | None:
        """Send one request and write its body; return the opt-out of the response, or the target of a redirect."""
        is_allowed = self._allowed.allow(url.host or "", url.port)
        session = self._allowed_session if is_allowed else self._public_session
        has_responded = False
        try:
            async with asyncio.timeout(timeout_s), session.get(url, allow_redirects=False) as response:
                has_responded = True
                host.record_response()
                if response.status < 500 and response.status not in _TRANSIENT_STATUSES:
                    host.record_success()
                if response.status in _REDIRECTS:
                    return _redirect_target(response)
                if response.status != 200:
                    raise _status_error(response, host)
                opt_out = find_opt_out(response.headers)
                rules.check(opt_out)
                await _read_body(response, write, max_bytes)
                return opt_out
        except TimeoutError:
            failure: FetchError = TransientError(f"not complete within {self._timeout_s:g} s")
        except (aiohttp.ClientError, ConnectionError, ssl.SSLError) as error:
            failure = _describe_error(error, url)
        except ValueError as error:
            failure = FetchError(f"{str(url)[:100]!r} cannot be requested: {error}"[:200])
        if not has_responded and isinstance(failure, TransientError):
            host.record_no_response()
        raise failure


@contextlib.asynccontextmanager
async def open_client(options: FetchOptions, limits: RateLimits) -> AsyncIterator[HttpClient]:
    """Yield a client whose connections are closed when the block ends."""
    context = ssl.create_default_context()
    # Python does not find the system's certificates on some Macs.
    with contextlib.suppress(ImportError):
        import certifi

        context.load_verify_locations(certifi.where())
    async with (
        _open_session(context, is_public=True) as public_session,
        _open_session(context, is_public=False) as allowed_session,
    ):
        yield HttpClient(options, limits, public_session, allowed_session)


def _open_session(context: ssl.SSLContext, *, is_public: bool) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0,  # RateLimits limits the connections.
        ssl=context,
        resolver=aiohttp.ThreadedResolver(),
        socket_factory=make_public_socket if is_public else None,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        # A compressed body has other bytes, and may decompress to any size.
        headers={
            "User-Agent": USER_AGENT,
            "Accept": _ACCEPT,
            "Accept-Encoding": "identity",
        },
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=_CHUNK_BYTES,
    )


def _parse(url: str) -> URL:
    try:
        parsed = URL(url)
        if parsed.scheme in ("http", "https") and parsed.host:
            return parsed
    except ValueError as error:
        raise FetchError(f"{url[:100]!r} is not a URL: {error}"[:200]) from error
    raise FetchError(f"{url[:100]!r} is not a URL of a host")


def _redirect_target(response: aiohttp.ClientResponse) -> URL:
    location = response.headers.get("Location", "")
    try:
        target = response.url.join(URL(location))
    except ValueError as error:
        raise FetchError(f"redirected to {location[:100]!r}, which is not a URL") from error
    if not location or target.scheme not in ("http", "https") or not target.host:
        raise FetchError(f"redirected to {location[:100]!r}, which is not followed")
    return target


def _status_error(response: aiohttp.ClientResponse, host: HostLimits) -> FetchError:
    """Return the error of a status, transient if a retry may succeed, and pause the host if it asks for that."""
    message = printable(f"HTTP {response.status} {response.reason or ''}".strip(), _MAX_REASON_CHARS)
    if response.status not in _TRANSIENT_STATUSES and response.status < 500:
        return StatusError(message)
    wait_s = _retry_after_s(response.headers.get("Retry-After"))
    if wait_s is not None:
        host.pause(wait_s)
    elif response.status == _TOO_MANY_REQUESTS:
        host.record_refusal()
    return TransientError(message)


def _retry_after_s(text: str | None) -> float | None:
    """Read a Retry-After header: seconds, or a date (RFC 9110, section 10.2.3); None where it is neither."""
    if text is None:
        return None
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        if text.strip().isdecimal():
            return float(text)
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None


async def _read_body(response: aiohttp.ClientResponse, write: Callable[[bytes], object], max_bytes: int) -> None:
    if (response.content_length or 0) > max_bytes:
        raise TooManyBytesError(f"{response.content_length:,} bytes, more than the limit of {max_bytes:,}")
    num_bytes = 0
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise TooManyBytesError(f"more bytes than the limit of {max_bytes:,}")
        write(chunk)


def _describe_error(error: Exception, url: URL) -> FetchError:
    """Return the error of a failed request, with the same message for the same fault, transient if it may pass."""
    host = url.host
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return TransientError(f"the host {host} has no known address")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return FetchError(f"the certificate of {host} is not valid: {error.certificate_error}"[:200])
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, AddressRefusedError):
            advice = f"; --allow-host {host} would allow it" if error.os_error.may_be_allowed else ""
            return FetchError(f"{host} is at {error.os_error.strerror}{advice}")
        return TransientError(f"cannot connect to {host}: {error.os_error.strerror or error.os_error}"[:200])
    if isinstance(error, aiohttp.ClientPayloadError):
        return TransientError("the response was cut short")
    if isinstance(error, aiohttp.InvalidURL):
        return FetchError(f"{str(url)[:100]!r} is not a URL")
    if isinstance(error, aiohttp.ClientResponseError):
        return TransientError("the response is not HTTP")
    return TransientError("the connection was lost")
