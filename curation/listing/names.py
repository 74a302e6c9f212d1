"""Uris -> clip keys, and the names by which a uri's file is found."""

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote

PATTERN = re.compile(r"[*?\[{]")
"""What makes a path a pattern that stands for several files."""


def clip_key(uri: str) -> str:
    """Return the key of a clip: a slug of its file name and a hash of its uri, `[a-z0-9_-]+`."""
    stem = file_name(uri).rpartition(".")[0] or file_name(uri)
    slug = re.sub(r"[^a-z0-9_]+", "-", stem.lower()).strip("-")[:40]
    return f"{slug or 'clip'}-{hashlib.sha256(uri.encode()).hexdigest()[:16]}"


def file_name(uri: str) -> str:
    """Return the last part of a path, or of a url's path. Works on invalid urls too, which a listing may contain."""
    if "://" in uri:
        uri = re.split(r"[?#]", uri.partition("://")[2], maxsplit=1)[0]
    return uri.rpartition("/")[2]


def name_in_folder(uri: str) -> str:
    """Return the name of a uri's file in the folder of --gifs: one path component, which may be `..`.

    A url's name is percent-decoded once, unless a separator would come out of it.
    """
    name = file_name(uri)
    decoded = unquote(name) if "://" in uri else name
    return name if {"/", "\0"} & set(decoded) else decoded


def path_in_folder(uri: str) -> str:
    """Return the whole path of a uri below the folder of --gifs: of a url, without its host, percent-decoded once."""
    if "://" not in uri:
        return uri.removeprefix("./")
    path = re.split(r"[?#]", uri.partition("://")[2], maxsplit=1)[0].partition("/")[2]
    return unquote(path)


def hash_of_url(uri: str) -> str:
    """Return the SHA-256 of a uri as it is listed, hexadecimal."""
    return hashlib.sha256(uri.encode()).hexdigest()


def base_folder(listing: Path | str) -> str:
    """Return the folder where relative uris of a listing start: its own, or the one before its first pattern."""
    if isinstance(listing, Path):
        folder = str(listing.parent)
        return folder if listing.exists() else _before_pattern(folder) or "/"
    # Neither has a URL's query.
    scheme, _, rest = re.split(r"[?#]", listing)[0].rpartition("/")[0].partition("://")
    return f"{scheme}://{_before_pattern(rest)}"


def _before_pattern(folder: str) -> str:
    found = PATTERN.search(folder)
    return folder[: found.start()].rpartition("/")[0] if found else folder
