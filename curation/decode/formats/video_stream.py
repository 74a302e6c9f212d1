"""MP4, MOV and WebM bytes -> their video stream, its decoder, and pixels, by PyAV, which is FFmpeg."""

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import Colorspace, Interpolation
from numpy.typing import NDArray

from curation.file_format import FileFormat

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_DEMUXERS = {FileFormat.MP4: "mov", FileFormat.MOV: "mov", FileFormat.WEBM: "matroska"}
"""Named, because FFmpeg would also open playlists, which name other files."""
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own decoders ignore the alpha channel of WebM."""
_CONVERSION = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
"""The same bytes with any instruction set."""
_UNSPECIFIED = 2
_HD_HEIGHT = 720
"""Browsers take BT.709 for a video of this height or more that does not name its colours, else BT.601."""
_MAX_REASON_CHARS = 120


@contextlib.contextmanager
def open_stream(data: bytes, file_format: FileFormat) -> Iterator["VideoStream"]:
    """Yield the video stream of a file. Raises ValueError for a damaged file or one without video."""
    with contextlib.ExitStack() as stack:
        with reporting_damage():
            try:
                container = stack.enter_context(av.open(io.BytesIO(data), format=_DEMUXERS[file_format]))
            except av.error.InvalidDataError as error:
                if file_format is not FileFormat.WEBM and b"moov" not in data:
                    raise ValueError("the moov box, which lists the frames, is missing") from error
                raise
        # A song may have a cover picture.
        streams = [video for video in container.streams.video if not video.disposition & Disposition.attached_pic]
        if not streams:
            raise ValueError("the file has audio alone" if container.streams.audio else "the file has no video")
        if streams[0].codec_context is None:
            raise ValueError("its video codec is unknown")
        yield streams[0]


@contextlib.contextmanager
def reporting_damage() -> Iterator[None]:
    """Raise ValueError with the reason for what PyAV raises in the block."""
    try:
        yield
    except MemoryError:  # PyAV's own is both.
        raise
    except av.FFmpegError as error:
        reason = (error.strerror or type(error).__name__)[:_MAX_REASON_CHARS]
        raise ValueError(reason[:1].lower() + reason[1:]) from error


def make_decoder(stream: "VideoStream", max_pixels: int) -> "VideoCodecContext":
    """Return the decoder of a stream, with one thread: it refuses frames of more than `max_pixels`."""
    decoder: av.CodecContext = stream.codec_context
    if stream.metadata.get("alpha_mode") == "1" and decoder.name in _ALPHA_DECODERS:
        decoder = av.CodecContext.create(_ALPHA_DECODERS[decoder.name], "r")
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(max_pixels)}
    return cast("VideoCodecContext", decoder)


def read_pixels(frame: "VideoFrame") -> NDArray[np.uint8]:
    """Return the pixels of a frame, rotated as the file asks: RGBA, uint8 [H, W, 4]."""
    is_untagged = frame.colorspace == _UNSPECIFIED
    source = Colorspace.ITU709 if is_untagged and frame.height >= _HD_HEIGHT else None
    converted = frame.reformat(format="rgba", src_colorspace=source, interpolation=_CONVERSION, threads=1)
    pixels = np.asarray(converted.to_ndarray(), np.uint8)
    return np.ascontiguousarray(np.rot90(pixels, k=round(frame.rotation / 90)))
