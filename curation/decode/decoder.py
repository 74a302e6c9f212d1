"""GIF bytes -> frames, as a browser would show them: composited on white, RGB, at the run's resolution.

Pillow decodes: of the decoders that were tried it was the fastest and the only one that took every sound file.
"""

import dataclasses
import io
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence, UnidentifiedImageError

from curation.config import SOURCE_SIZE
from curation.decode.resize import resize
from shards.pictures import DECODE_ERRORS, composite_on_white

SHORTEST_DELAY_MS = 20
"""A frame that asks for less is shown for DEFAULT_DELAY_MS instead, as browsers do."""
DEFAULT_DELAY_MS = 100


class UndecodableError(Exception):
    """Not one frame can be decoded. The message says why, in words for a person."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frame:
    """One composited picture of a clip."""

    index: int
    rgb: NDArray[np.uint8] | None
    """[H, W, 3], at the run's resolution; None where it was not asked for."""
    duration_ms: int
    """How long it is shown."""


class FrameDecoder:
    """Decode the frames of one GIF in order; afterwards `damage` says why it ended early, if a fault ended it.

    `resolution` is the side in pixels that frames are resized to (Lanczos, no crop), or SOURCE_SIZE. With `wanted`,
    other frames are decoded, as later ones may need them, but neither composited nor resized, and decoding stops
    after the last wanted one.
    """

    def __init__(self, data: bytes, resolution: int, wanted: frozenset[int] | None = None) -> None:
        self.damage: str | None = None
        self._data = data
        self._resolution = resolution
        self._wanted = wanted

    def __iter__(self) -> Iterator[Frame]:
        """Yield sound frames. Raises UndecodableError where there is none at all."""
        num_frames = 0
        last = max(self._wanted) if self._wanted else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Limits were checked before.
            try:
                with Image.open(io.BytesIO(self._data), formats=["GIF"]) as gif:
                    for index, page in enumerate(ImageSequence.Iterator(gif)):
                        wanted = self._wanted is None or index in self._wanted
                        rgb = to_resolution(composite_on_white(page), self._resolution) if wanted else None
                        yield Frame(index=index, rgb=rgb, duration_ms=_shown_for(page))
                        num_frames += 1
                        if index == last:
                            return
            except DECODE_ERRORS as error:
                if num_frames == 0:
                    raise UndecodableError(_describe(error)) from error
                self.damage = f"damaged after {num_frames} sound frames: {_describe(error)}"


def to_resolution(picture: Image.Image, resolution: int) -> NDArray[np.uint8]:
    """Resize to a square of `resolution` (Lanczos, no crop, as the paper's own trainer does), or not at all."""
    pixels = np.asarray(picture)
    if resolution == SOURCE_SIZE or picture.size == (resolution, resolution):
        return pixels
    return resize(pixels, resolution)


def start_times_ms(durations_ms: list[int]) -> NDArray[np.int32]:
    """When each frame comes on, int32 [T], from the durations of all frames."""
    return np.concatenate([[0], np.cumsum(durations_ms[:-1], dtype=np.int64)]).astype(np.int32)


def _shown_for(page: Image.Image) -> int:
    delay = int(page.info.get("duration", 0))
    return delay if delay >= SHORTEST_DELAY_MS else DEFAULT_DELAY_MS


def _describe(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no GIF that Pillow can identify"
    text = str(error) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + " ..."
