"""Animated WebP, APNG and AVIF -> frames, by Pillow."""

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Collection, Iterator

import numpy as np
from PIL import AvifImagePlugin, Image, UnidentifiedImageError

from curation.decode.decoder import Frame, UndecodableError
from curation.decode.formats.chunks import trim_webp
from curation.decode.formats.frame_resizer import FrameResizer
from curation.decode.formats.header import Header
from curation.file_format import FileFormat

_PILLOW_NAMES = {FileFormat.WEBP: "WEBP", FileFormat.APNG: "PNG", FileFormat.AVIF: "AVIF"}
_SHORTEST_MS = 10
_DEFAULT_MS = 100
_ERRORS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders raise for damaged files. A MemoryError is none of them."""


def scan_avif(data: bytes) -> Header:
    """Read the canvas and the frame count of an AVIF. Nothing is decoded. Raises ValueError for a damaged file."""
    try:
        with _open(data, FileFormat.AVIF) as image:
            return Header(width=image.width, height=image.height, num_frames=getattr(image, "n_frames", 1))
    except _ERRORS as error:
        raise ValueError(_describe(error)) from error


class PictureFrames:
    """The frames of one animated picture. See `curation.decode.formats.animation.FrameSource`."""

    def __init__(
        self, data: bytes, file_format: FileFormat, resolution: int, *, max_pixels: int, wanted: Collection[int] | None
    ) -> None:
        self.damage: str | None = None
        self._data = trim_webp(data) if file_format is FileFormat.WEBP else data
        self._format = file_format
        self._resizer = FrameResizer(resolution)
        self._max_pixels = max_pixels
        self._wanted = None if wanted is None else sorted(wanted)

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames up to the first damaged one. Raises UndecodableError if that is the first frame."""
        with contextlib.ExitStack() as stack:
            try:
                image = stack.enter_context(_open(self._data, self._format))
            except _ERRORS as error:
                raise UndecodableError(_describe(error)) from error
            if image.width * image.height > self._max_pixels:
                raise UndecodableError(f"the canvas has more than {self._max_pixels:,} pixels")
            yield from self._decode(image)

    def _decode(self, image: Image.Image) -> Iterator[Frame]:
        first = int(getattr(image, "default_image", False))  # An APNG's picture for viewers that show no animations.
        num_frames = getattr(image, "n_frames", 1) - first
        clock = _Clock()
        for index in range(num_frames) if self._wanted is None else self._wanted:
            if index >= num_frames:
                return
            try:
                image.seek(first + index)
                rgba = np.array(image.convert("RGBA"))
            except _ERRORS as error:
                if index == 0:
                    raise UndecodableError(f"frame 0: {_describe(error)}") from error
                self.damage = f"damaged after {index} sound frames: {_describe(error)}"
                return
            planes, grey = self._resizer.resize(rgba)
            yield Frame(index=index, planes=planes, grey=grey, duration_ms=clock.advance(image.info.get("duration")))


class _Clock:
    """Display durations in whole milliseconds whose sum has no rounding errors."""

    def __init__(self) -> None:
        self._end_ms = 0.0

    def advance(self, duration_ms: float | None) -> int:
        """Return the duration of the next frame. Too short ones are replaced, as browsers do."""
        start_ms = round(self._end_ms)
        self._end_ms += duration_ms if duration_ms and duration_ms > _SHORTEST_MS else _DEFAULT_MS
        return round(self._end_ms) - start_ms


def _open(data: bytes, file_format: FileFormat) -> Image.Image:
    # A worker has one core, and the stack of every further thread counts against the sandbox's memory limit.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    with warnings.catch_warnings():
        # Pillow warns at a size limit of its own, and where an APNG is not valid; the limits of the run hold.
        warnings.simplefilter("ignore")
        return Image.open(io.BytesIO(data), formats=[_PILLOW_NAMES[file_format]])


def _describe(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its header is damaged"
    return " ".join(str(error).split()) or type(error).__name__
