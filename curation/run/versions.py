"""Versions that can change a byte of the shards, or a measurement."""

import functools
from importlib import metadata

from PIL import features

_PACKAGES = ("pix2gif", "pillow", "opencv-python-headless", "numba", "numpy", "webdataset")
_CODECS = ("libjpeg_turbo", "webp", "zlib")


@functools.cache
def software_versions() -> dict[str, str]:
    """Tell the versions of what decodes, measures, encodes and packs, by name."""
    codecs = {name: features.version(name) or "none" for name in _CODECS}
    return {name: _version(name) for name in _PACKAGES} | codecs


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
