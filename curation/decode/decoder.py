"""GIF bytes -> frames as a browser shows them: composited on white, RGB, at the run's resolution.

Pillow decodes. Of the decoders tried, it was the fastest and the only one that read every valid file.
"""

import dataclasses
import io
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence, UnidentifiedImageError

from curation.config import SOURCE_SIZE
from shards.pictures import DECODE_ERRORS, composite_on_white

MIN_DELAY_MS = 20
"""A shorter delay is replaced by DEFAULT_DELAY_MS, as browsers do."""
DEFAULT_DELAY_MS = 100
_MAX_MESSAGE_CHARS = 200


class UndecodableError(Exception):
    """No frame can be decoded; the message gives the reason."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frame:
    """One composited frame of a clip."""

    index: int
    rgb: NDArray[np.uint8] | None
    """uint8 [H, W, 3], at the run's resolution; None if the frame was not requested."""
    duration_ms: int
    """Display duration."""


class FrameDecoder:
    """Decode the frames of one GIF in order.

    `resolution` is the side in pixels of the square that frames are resized to (Lanczos, no crop), or SOURCE_SIZE.
    If `wanted` is given, other frames are decoded, because later frames may depend on them, but neither composited nor
    resized. Decoding stops after the last wanted frame.

    After iteration, `damage` is the reason if a decoding error ended it early, else None.
    """

    def __init__(self, data: bytes, resolution: int, wanted: frozenset[int] | None = None) -> None:
        self.damage: str | None = None
        self._data = data
        self._resolution = resolution
        self._wanted = wanted

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames up to the first decoding error. Raises UndecodableError if the first frame fails."""
        num_frames = 0
        last = max(self._wanted) if self._wanted else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # The probe has checked the size.
            try:
                with Image.open(io.BytesIO(self._data), formats=["GIF"]) as gif:
                    for index, page in enumerate(ImageSequence.Iterator(gif)):
                        is_wanted = self._wanted is None or index in self._wanted
                        rgb = resize_frame(composite_on_white(page), self._resolution) if is_wanted else None
                        yield Frame(index=index, rgb=rgb, duration_ms=_read_duration_ms(page))
                        num_frames += 1
                        if index == last:
                            return
            except DECODE_ERRORS as error:
                if num_frames == 0:
                    raise UndecodableError(_describe(error)) from error
                self.damage = f"damaged after {num_frames} sound frames: {_describe(error)}"


def resize_frame(picture: Image.Image, resolution: int) -> NDArray[np.uint8]:
    """Resize to a square of `resolution` pixels by Lanczos, without cropping, as the paper's training code does.

    Returns uint8 [H, W, 3]; the original pixels if `resolution` is SOURCE_SIZE or already the picture's size.
    """
    pixels = np.asarray(picture)
    if resolution == SOURCE_SIZE or picture.size == (resolution, resolution):
        return pixels
    from curation.decode import lanczos  # Imports Numba, half a second that the driver does not need.

    return lanczos.resize(pixels, resolution)


def compute_start_times_ms(durations_ms: list[int]) -> NDArray[np.int32]:
    """Return the start time of each frame, int32 [T], from the durations of all frames."""
    return np.concatenate([[0], np.cumsum(durations_ms[:-1], dtype=np.int64)]).astype(np.int32)


def _read_duration_ms(page: Image.Image) -> int:
    delay_ms = int(page.info.get("duration", 0))
    return delay_ms if delay_ms >= MIN_DELAY_MS else DEFAULT_DELAY_MS


def _describe(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no GIF that Pillow can identify"
    text = str(error) or type(error).__name__
    return text if len(text) <= _MAX_MESSAGE_CHARS else text[:_MAX_MESSAGE_CHARS] + " ..."
