"""GIF bytes -> frames as a browser shows them: composited on white, at the run's resolution."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.code_cache import fill_once
from curation.config import SOURCE_SIZE
from curation.decode.gif.blocks import CLEAR, RESTORE, FrameHeader, Screen, read_screen, walk_frames

DECODER = "browser-1"
"""Name of the decoder in the method digest. Change it whenever a pixel of any GIF changes."""


class UndecodableError(Exception):
    """No frame can be decoded; the message gives the reason."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frame:
    """One composited frame of a clip. The next frame overwrites `planes`."""

    index: int
    planes: NDArray[np.uint8]
    """Red, green and blue, uint8 [3, H, W], at the run's resolution."""
    grey: NDArray[np.uint8]
    """uint8 [H, W]."""
    duration_ms: int
    """Display duration."""

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """A copy of the frame, uint8 [H, W, 3]."""
        return np.asarray(cv2.merge([*self.planes]), np.uint8)


class FrameDecoder:
    """Decode the frames of one GIF in order.

    `resolution` is the side in pixels of the square that frames are resized to (Lanczos, no crop), or SOURCE_SIZE.
    If `wanted` is given, only these frames are yielded. Frames that they do not depend on are not decoded.
    A frame or canvas of more than `max_pixels` is not decoded.

    After iteration, `damage` is the reason if a damaged frame ended it early, else None.
    """

    def __init__(self, data: bytes, resolution: int, *, max_pixels: int, wanted: Collection[int] | None = None) -> None:
        self.damage: str | None = None
        self._data = data
        self._resolution = resolution
        self._max_pixels = max_pixels
        self._wanted = None if wanted is None else frozenset(wanted)

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames up to the first damaged one. Raises UndecodableError if that is the first frame."""
        from curation.decode.gif.canvas import (  # Imports Numba, which the driver does not need.
            Canvas,
            DamagedFrameError,
        )
        from curation.decode.lanczos import Resizer

        screen = self._read_screen()
        size = screen.width, screen.height
        canvas = Canvas(self._data, screen, self._max_pixels)
        resizer = Resizer(size, size if self._resolution == SOURCE_SIZE else (self._resolution,) * 2)
        for index, header, is_wanted in self._list_frames(screen):
            try:
                canvas.draw(header)
            except DamagedFrameError as error:
                if index == 0:
                    raise UndecodableError(f"frame 0: {error}") from error
                self.damage = f"damaged after {index} sound frames: {error}"
                return
            if is_wanted:
                planes, grey = resizer.resize(canvas.pixels)
                yield Frame(index=index, planes=planes, grey=grey, duration_ms=header.duration_ms)

    def _read_screen(self) -> Screen:
        try:
            screen = read_screen(self._data)
        except ValueError as error:
            raise UndecodableError(str(error)) from error
        num_pixels = screen.width * screen.height
        if num_pixels == 0:
            raise UndecodableError("the canvas has no pixels")
        if num_pixels > self._max_pixels:
            raise UndecodableError(f"the canvas has more than {self._max_pixels:,} pixels")
        if next(walk_frames(self._data, screen), None) is None:
            raise UndecodableError("the file holds no frame")
        return screen

    def _list_frames(self, screen: Screen) -> Iterator[tuple[int, FrameHeader, bool]]:
        """List the frames to draw, as (index, header, whether it is wanted)."""
        headers = walk_frames(self._data, screen)
        if self._wanted is None:
            for index, header in enumerate(headers):
                yield index, header, True
            return
        used = list(itertools.islice(headers, max(self._wanted, default=-1) + 1))
        for index in sorted(_find_needed(used, screen, self._wanted)):
            yield index, used[index], index in self._wanted


@fill_once
def warm_up_decoder() -> None:
    """Compile or load the decoder by decoding a GIF of two frames of one pixel, the first of which is removed again."""
    removal = b"\x21\xf9\x04" + bytes([CLEAR << 2, 0, 0, 0, 0])
    frame = b"," + bytes([0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0])
    for resolution in (SOURCE_SIZE, 16):
        gif = b"GIF89a" + bytes([1, 0, 1, 0, 0, 0, 0]) + removal + frame + frame
        list(FrameDecoder(gif, resolution, max_pixels=1))


def _find_needed(headers: list[FrameHeader], screen: Screen, wanted: frozenset[int]) -> set[int]:
    """Return the frames to draw for the wanted ones: each needs those from the last one on that covers the canvas."""
    needed: set[int] = set()
    for last in wanted:
        for index in range(min(last, len(headers) - 1), -1, -1):
            needed.add(index)
            # A frame that is removed again does not cover what it covered.
            if _covers(headers[index], screen) and (index == last or headers[index].disposal != RESTORE):
                break
    return needed


def _covers(header: FrameHeader, screen: Screen) -> bool:
    """Return whether a frame overwrites every pixel of the canvas."""
    return (
        header.transparent is None
        and header.left == header.top == 0
        and header.width >= screen.width
        and header.height >= screen.height
    )


def compute_start_times_ms(durations_ms: list[int]) -> NDArray[np.int64]:
    """Return the start time of each frame, int64 [T], from the durations of all frames."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(durations_ms[:-1], dtype=np.int64)])
