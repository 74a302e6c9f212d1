"""URLs of the web -> bytes, from public addresses and hosts that were named, by one try without a retry.

Redirects are followed here, not by the library, so that each leads through the same checks and limits as a URL of the
listing. Proxies of the environment are not used: behind one, nobody could tell which address is connected to.
"""

import asyncio
import contextlib
import email.utils
import ssl
import time
from collections.abc import AsyncIterator, Callable

import aiohttp
from yarl import URL

from curation.fetch.errors import FetchError, TooManyBytesError, TransientError
from curation.fetch.public_addresses import AddressRefusedError, AllowedHosts, make_public_socket
from curation.fetch.rate_limits import Host, Hosts
from curation.options import FetchOptions
from curation.run.versions import software_versions

USER_AGENT = f"pix2gif-curate/{software_versions()['pix2gif']} (makes data sets of GIFs)"
MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_TOO_MANY_REQUESTS = 429
_WORTH_A_RETRY = (408, 425, _TOO_MANY_REQUESTS)
_CHUNK = 2**16


class Web:
    """Connections to the hosts of a run."""

    def __init__(self, options: FetchOptions, hosts: Hosts, public: aiohttp.ClientSession, any_: aiohttp.ClientSession):
        self._timeout_s = options.fetch_timeout
        self._allowed = AllowedHosts(options.allow_host)
        self._hosts = hosts
        self._public, self._any = public, any_

    async def download(self, url: str, write: Callable[[bytes], object], max_bytes: int) -> None:
        """Give the bytes behind a URL to `write`, a chunk at a time.

        Raises TransientError where another try may help, FetchError where not, or TooManyBytesError as soon as it is
        known that there are more. Raises what `write` raises.
        """
        left_s = self._timeout_s
        here = _parse(url)
        for _ in range(MAX_REDIRECTS + 1):
            host = self._hosts[here.host or ""]
            async with host.turn():
                start_s = time.monotonic()
                leads_to = await self._ask(here, host, write, max_bytes, left_s)
                left_s -= time.monotonic() - start_s
            if leads_to is None:
                return
            here = leads_to
        raise FetchError(f"more than {MAX_REDIRECTS} redirects")

    async def _ask(
        self, url: URL, host: Host, write: Callable[[bytes], object], max_bytes: int, left_s: float
    ) -> URL | None:
        """Make one request, take its body, or say where it leads instead."""
        session = self._any if self._allowed.allow(url.host or "", url.port) else self._public
        answered = False
        try:
            async with asyncio.timeout(left_s), session.get(url, allow_redirects=False) as response:
                answered = True
                host.answered()
                if response.status < 500 and response.status not in _WORTH_A_RETRY:
                    host.served()
                if response.status in _REDIRECTS:
                    return _follow(response)
                if response.status != 200:
                    raise _refusal(response, host)
                await _take(response, write, max_bytes)
                return None
        except TimeoutError:
            fault: FetchError = TransientError(f"not whole within {self._timeout_s:g} s")
        except (aiohttp.ClientError, ConnectionError, ssl.SSLError) as error:
            fault = _in_words(error, url)
        except ValueError as error:
            fault = FetchError(f"{str(url)[:100]!r} cannot be asked for: {error}"[:200])
        if not answered and isinstance(fault, TransientError):
            host.silent()
        raise fault


@contextlib.asynccontextmanager
async def connect(options: FetchOptions, hosts: Hosts) -> AsyncIterator[Web]:
    """Open the web for as long as the block lasts."""
    context = ssl.create_default_context()
    # Where Python finds no certificates of the system's, as on some Macs, every https host would fail.
    with contextlib.suppress(ImportError):
        import certifi

        context.load_verify_locations(certifi.where())
    async with _session(context, public=True) as public, _session(context, public=False) as any_:
        yield Web(options, hosts, public, any_)


def _session(context: ssl.SSLContext, *, public: bool) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0,  # Turns are counted by `Hosts`.
        ssl=context,
        resolver=aiohttp.ThreadedResolver(),
        socket_factory=make_public_socket if public else None,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        # Encoded bytes would be other bytes, and can grow without end when they are decoded.
        headers={
            "User-Agent": USER_AGENT,
            "Accept": "image/gif, image/*;q=0.5, */*;q=0.1",
            "Accept-Encoding": "identity",
        },
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=_CHUNK,
    )


def _parse(url: str) -> URL:
    try:
        parsed = URL(url)
        if parsed.scheme in ("http", "https") and parsed.host:
            return parsed
    except ValueError as error:
        raise FetchError(f"{url[:100]!r} is not a URL: {error}"[:200]) from error
    raise FetchError(f"{url[:100]!r} is not a URL of a host")


def _follow(response: aiohttp.ClientResponse) -> URL:
    location = response.headers.get("Location", "")
    try:
        target = response.url.join(URL(location))
    except ValueError as error:
        raise FetchError(f"redirected to {location[:100]!r}, which is not a URL") from error
    if not location or target.scheme not in ("http", "https") or not target.host:
        raise FetchError(f"redirected to {location[:100]!r}, which is not followed")
    return target


def _refusal(response: aiohttp.ClientResponse, host: Host) -> FetchError:
    """Say what a status means: whether to try again, and when."""
    words = f"HTTP {response.status} {response.reason or ''}".strip()
    if response.status not in _WORTH_A_RETRY and response.status < 500:
        return FetchError(words)
    wait_s = _retry_after_s(response.headers.get("Retry-After"))
    if wait_s is not None:
        host.pause(wait_s)
    elif response.status == _TOO_MANY_REQUESTS:
        host.refused()
    return TransientError(words)


def _retry_after_s(text: str | None) -> float | None:
    """Read a Retry-After header: seconds, or a date (RFC 9110, section 10.2.3); None where it is neither."""
    if text is None:
        return None
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        if text.strip().isdecimal():
            return float(text)
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None


async def _take(response: aiohttp.ClientResponse, write: Callable[[bytes], object], max_bytes: int) -> None:
    if (response.content_length or 0) > max_bytes:
        raise TooManyBytesError(f"{response.content_length:,} bytes, more than the limit of {max_bytes:,}")
    num_bytes = 0
    async for chunk in response.content.iter_chunked(_CHUNK):
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise TooManyBytesError(f"more bytes than the limit of {max_bytes:,}")
        write(chunk)


def _in_words(error: Exception, url: URL) -> FetchError:
    """Say what went wrong on the way, the same for the same fault, and whether it may pass."""
    host = url.host
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return TransientError(f"no address is known of the host {host}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return FetchError(f"the certificate of {host} does not hold: {error.certificate_error}"[:200])
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, AddressRefusedError):
            return FetchError(f"{host} is at {error.os_error.strerror}; --allow-host {host} would allow it")
        return TransientError(f"cannot connect to {host}: {error.os_error.strerror or error.os_error}"[:200])
    if isinstance(error, aiohttp.ClientPayloadError):
        return TransientError("the answer was cut short")
    if isinstance(error, aiohttp.InvalidURL):
        return FetchError(f"{str(url)[:100]!r} is not a URL")
    if isinstance(error, aiohttp.ClientResponseError):
        return TransientError("the answer is not HTTP")
    return TransientError("the connection was broken off")
