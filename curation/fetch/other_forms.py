"""Tumblr serves one picture under several names, and refuses some of them: try the others."""

import contextlib
import urllib.parse
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from curation.fetch.errors import FetchError, TooManyBytesError
from curation.file_format import HEAD_BYTES, detect_format

if TYPE_CHECKING:
    from curation.fetch.download import Downloaded, Downloads

_HOST = "tumblr.com"
_SUFFIXES = (".gif", ".gifv", ".webp")
"""In the order in which they are tried."""


async def download_any_form(url: str, path: Path, downloads: "Downloads") -> "Downloaded":
    """Download a URL to a file; on Tumblr's hosts, another form of the same picture if that gives no animation.

    If no form does, the result of the URL itself counts. Raises as `Downloads.download`.
    """
    forms = list_other_forms(url)
    try:
        first = await downloads.download(url, path)
    except FetchError:
        if found := await _download_other(forms, path, downloads):
            return found
        raise
    if not forms or _is_animation(path):
        return first
    return await _download_other(forms, path, downloads) or first


async def _download_other(forms: list[str], path: Path, downloads: "Downloads") -> "Downloaded | None":
    """Download the first form that is an animation, and replace the file; return None if none is."""
    other = path.with_name(f"{path.name}.other")
    try:
        for form in forms:
            with contextlib.suppress(FetchError, TooManyBytesError):
                found = await downloads.download(form, other)
                if _is_animation(other):
                    other.replace(path)
                    return found
    finally:
        other.unlink(missing_ok=True)
    return None


def list_other_forms(url: str) -> list[str]:
    """Return the other URLs of a picture on Tumblr's hosts; none for any other URL."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return []
    path = PurePosixPath(parts.path)
    if (host != _HOST and not host.endswith(f".{_HOST}")) or path.suffix.lower() not in _SUFFIXES:
        return []
    return [
        parts._replace(path=str(path.with_suffix(suffix))).geturl()
        for suffix in _SUFFIXES
        if suffix != path.suffix.lower()
    ]


def _is_animation(file: Path) -> bool:
    """Return whether a file's bytes are those of an animation: Tumblr sends a still picture for some that are gone."""
    with file.open("rb") as opened:
        return detect_format(opened.read(HEAD_BYTES)) is not None
