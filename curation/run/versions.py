"""Versions of the software that determines the bytes of a data set."""

import functools
from collections.abc import Mapping
from importlib import metadata

from PIL import features

_PACKAGES = ("pix2gif", "pillow", "opencv-python-headless", "numba", "numpy")
_CODECS = ("libjpeg_turbo", "webp", "zlib")


@functools.cache
def software_versions() -> dict[str, str]:
    """Return the version of each package and codec, "none" if it is missing, by name."""
    codecs = {name: features.version(name) or "none" for name in _CODECS}
    return {name: _version(name) for name in _PACKAGES} | codecs


def is_same_software(recorded: Mapping[str, str]) -> bool:
    """Return whether a manifest was written by these versions. Names that are no longer recorded are ignored."""
    return all(recorded.get(name) == version for name, version in software_versions().items())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
