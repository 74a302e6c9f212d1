"""A location -> bytes, or the reason in words why there are none."""

from pathlib import Path

TIMEOUT_S = 30.0
USER_AGENT = "pix2gif-curate"
_CHUNK = 2**16


class FetchError(Exception):
    """The bytes could not be had. The message says why."""


class TooManyBytesError(Exception):
    """There are more bytes than the limit allows. The message says how many."""


def fetch_bytes(location: str, max_bytes: int) -> bytes:
    """Read a path or an http(s) URL. Raises FetchError, or TooManyBytesError before more than that was read."""
    scheme, is_url, _ = location.partition("://")
    if is_url and scheme.lower() in ("http", "https"):
        return _fetch_url(location, max_bytes)
    if is_url:
        raise FetchError(f"{scheme}:// locations cannot be fetched")
    return _read_file(Path(location), max_bytes)


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        if not path.is_file():
            raise FetchError(f"{path} is not a file" if path.exists() else f"there is no file {path}")
        if path.stat().st_size > max_bytes:
            raise TooManyBytesError(f"{path.stat().st_size:,} bytes, more than the limit of {max_bytes:,}")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise FetchError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _fetch_url(url: str, max_bytes: int) -> bytes:
    # Imported here: most runs fetch nothing, and it costs every worker a tenth of a second.
    import requests
    import urllib3

    try:
        with requests.get(url, timeout=TIMEOUT_S, stream=True, headers={"User-Agent": USER_AGENT}) as response:
            if response.status_code != requests.codes.ok:
                raise FetchError(f"HTTP {response.status_code} {response.reason}")
            data = bytearray()
            for chunk in response.iter_content(_CHUNK):
                data += chunk
                if len(data) > max_bytes:
                    raise TooManyBytesError(f"more bytes than the limit of {max_bytes:,}")
            return bytes(data)
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        # The latter two leak out of requests where a url, or one that is redirected to, is none.
        raise FetchError(f"{type(error).__name__}: {error}"[:200]) from error
