"""PyAV, which decodes video, is an extra: its wheel holds FFmpeg, with codecs under the GPL, and takes 100 MB."""

import functools
from importlib import metadata

from curation.decode.decoder import UndecodableError
from curation.file_format import FileFormat

_NAMES = {FileFormat.MP4: "an MP4 video", FileFormat.WEBM: "a WebM video", FileFormat.MOV: "a QuickTime video"}


@functools.cache
def has_video_support() -> bool:
    """Return whether PyAV is installed."""
    try:
        import av  # noqa: F401
    except ModuleNotFoundError:
        return False  # Any other ImportError, such as no memory, is raised.
    return True


def read_video_version() -> str:
    """Return the version of PyAV, "none" if it is missing."""
    try:
        return metadata.version("av")
    except metadata.PackageNotFoundError:
        return "none"


def check_video_support(file_format: FileFormat) -> None:
    """Raise UndecodableError, with the command that installs PyAV, if it is missing."""
    if not has_video_support():
        raise UndecodableError(f"{_NAMES[file_format]}, which needs PyAV: pip install 'pix2gif[video]'")
