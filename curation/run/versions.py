"""Versions of the software that determines the bytes of a data set."""

import functools
from collections.abc import Collection, Mapping
from importlib import metadata

from PIL import features

from curation.file_format import FileFormat

_PACKAGES = ("pix2gif", "pillow", "opencv-python-headless", "numba", "numpy")
_CODECS = ("libjpeg_turbo", "webp", "zlib")


def software_versions(formats: Collection[FileFormat] = ()) -> dict[str, str]:
    """Return the version of each package and codec, "none" if it is missing, by name.

    What decodes only AVIF or video is recorded only where clips have these `formats`: a data set of GIFs does not
    depend on it.
    """
    versions = dict(_base_versions())
    if FileFormat.AVIF in formats:
        versions["avif"] = features.version("avif") or "none"
    if any(file_format.is_video for file_format in formats):
        versions["av"] = _version("av")
    return versions


@functools.cache
def _base_versions() -> Mapping[str, str]:
    codecs = {name: features.version(name) or "none" for name in _CODECS}
    return {name: _version(name) for name in _PACKAGES} | codecs


def is_same_software(recorded: Mapping[str, str]) -> bool:
    """Return whether a manifest was written by these versions. Names that are no longer recorded are ignored."""
    versions = software_versions(tuple(FileFormat))
    names = software_versions().keys() | (versions.keys() & recorded.keys())
    return all(recorded.get(name) == versions[name] for name in names)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
