"""The door to animations of every format: bytes -> Header, and bytes -> frames."""

import dataclasses
from collections.abc import Collection, Iterator
from typing import Protocol

import PIL
from PIL import features

from curation.config import CurationConfig
from curation.decode.decoder import Frame, FrameDecoder
from curation.decode.formats.chunks import scan_apng, scan_webp
from curation.decode.formats.header import Header
from curation.decode.formats.video_support import check_video_support, has_video_support, read_video_version
from curation.decode.gif.blocks import scan_gif
from curation.file_format import FileFormat, detect_format


class FrameSource(Protocol):
    """The frames of one animation, in order.

    RGB on white, resized to the run's resolution (Lanczos, no crop). If `wanted` was given, only these frames are
    yielded, and what they do not need is not decoded where the format allows it. After iteration, `damage` is the
    reason if a damaged frame ended it early, else None.
    """

    damage: str | None

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames up to the first damaged one. Raises UndecodableError if that is the first frame."""
        ...


def scan_animation(data: bytes, file_format: FileFormat, config: CurationConfig) -> Header:
    """Read the canvas and the frame count of an animation, before a frame is decoded.

    A video of an acceptable size is the exception: its first frame is decoded, which says whether it is rotated.
    Raises ValueError or UndecodableError for a damaged file.
    """
    if file_format is FileFormat.GIF:
        gif = scan_gif(data, config.max_pixels)
        return Header(width=gif.width, height=gif.height, num_frames=gif.num_frames, oversize=gif.oversize)
    header = _scan(data, file_format, config)
    if header.width * header.height > config.max_pixels:
        return dataclasses.replace(header, num_frames=0, oversize=(header.width, header.height))
    return header


def _scan(data: bytes, file_format: FileFormat, config: CurationConfig) -> Header:
    if file_format is FileFormat.WEBP:
        return scan_webp(data)
    if file_format is FileFormat.APNG:
        return scan_apng(data)
    if file_format is FileFormat.AVIF:
        from curation.decode.formats.pictures import scan_avif

        return scan_avif(data)
    check_video_support(file_format)
    from curation.decode.formats.video import scan_video

    return scan_video(data, file_format, config)


def warm_up_scanning() -> None:
    """Import what scans the formats that need the sandbox: there, outside its limits."""
    import curation.decode.formats.pictures

    if has_video_support():
        import curation.decode.formats.video  # noqa: F401


def needs_sandbox(file_format: FileFormat | None) -> bool:
    """Return whether code of others, in C, reads the header of a format: then it is scanned in the sandbox."""
    return file_format is FileFormat.AVIF or (file_format is not None and file_format.is_video)


def open_animation(data: bytes, config: CurationConfig, wanted: Collection[int] | None = None) -> FrameSource:
    """Return the frames of an animation, which `scan_animation` and the limits of the config have accepted."""
    file_format = detect_format(data)
    if file_format is None or file_format is FileFormat.GIF:
        return FrameDecoder(data, config.resolution, max_pixels=config.max_pixels, wanted=wanted)
    if file_format.is_video:
        check_video_support(file_format)
        from curation.decode.formats.video import VideoFrames

        return VideoFrames(data, file_format, config, wanted)
    from curation.decode.formats.pictures import PictureFrames

    return PictureFrames(data, file_format, config.resolution, max_pixels=config.max_pixels, wanted=wanted)


def name_decoder(file_format: FileFormat | None, config: CurationConfig) -> str | None:
    """Return what decodes a format, with its version, and how it samples: a measurement by another is not reused.

    None for GIFs, whose decoder is in the method digest.
    """
    if file_format in (None, FileFormat.GIF):
        return None
    if file_format.is_video:
        return f"av {read_video_version()}, {config.fps:g} frames per second"
    codec = {FileFormat.WEBP: "webp", FileFormat.AVIF: "avif", FileFormat.APNG: "zlib"}[file_format]
    return f"pillow {PIL.__version__}, {codec} {features.version(codec)}"
