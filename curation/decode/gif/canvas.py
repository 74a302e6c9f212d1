"""GIF bytes -> the canvas after each frame, as a browser shows it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.decode.gif.blocks import CLEAR, RESTORE, FrameHeader, Screen
from curation.decode.gif.drawing import allocate_pixels, draw, fill, read_palette
from curation.decode.gif.lzw import (
    COMPLETE,
    ENDS_EARLY,
    INVALID_CODE,
    MAX_CODE_SIZE,
    NUM_ENTRIES,
    TRUNCATED,
    allocate_output,
    decompress,
    join_sub_blocks,
)
from curation.decode.gif.memory import SLACK
from curation.jit import compile_entry

_REASONS = {
    TRUNCATED: "the file ends inside the frame",
    ENDS_EARLY: "the pixels end early",
    INVALID_CODE: "the LZW data hold an invalid code",
}


class DamagedFrameError(Exception):
    """A frame cannot be decoded as a whole; the message says why and reads on after "frame 3: "."""


class Canvas:
    """The canvas of one GIF. Frames are drawn in order, each after the disposal of the one before."""

    def __init__(self, data: bytes, screen: Screen, max_pixels: int) -> None:
        """Start with a white canvas. The screen has `max_pixels` or fewer; frames with more are not decoded."""
        self._max_pixels = max_pixels
        self._size = screen.width, screen.height
        self._num_bytes = len(data)
        self._data = np.zeros(len(data) + SLACK, np.uint8)
        self._data[: len(data)] = np.frombuffer(data, np.uint8)
        self._packed = np.empty(len(self._data), np.uint8)
        self._entries = np.empty(NUM_ENTRIES, np.uint64)
        self._output = allocate_output(0)
        self._num_pixels = 0
        self._palette = np.empty(256, np.uint32)
        self._pixels = allocate_pixels(*self._size)
        self._saved = np.empty((0, 0), np.uint32)
        self._disposal: tuple[int, NDArray[np.int64]] | None = None

    @property
    def pixels(self) -> NDArray[np.uint32]:
        """The canvas after the last frame; see `curation.decode.gif.drawing`. The next frame changes it."""
        return self._pixels

    def draw(self, frame: FrameHeader) -> None:
        """Draw the next frame. Raises DamagedFrameError if its data do not hold all its pixels."""
        self._dispose()
        if frame.data >= self._num_bytes:
            raise DamagedFrameError(_REASONS[TRUNCATED])
        num_pixels = frame.width * frame.height
        if num_pixels > self._max_pixels:
            raise DamagedFrameError(
                f"{frame.width} x {frame.height} pixels, more than the limit of {self._max_pixels:,}"
            )
        if num_pixels > self._num_pixels:
            self._output, self._num_pixels = allocate_output(num_pixels), num_pixels
        rectangle = self._clip(frame)
        if frame.disposal == RESTORE:
            self._saved = self._pixels.copy()
        self._disposal = (frame.disposal, rectangle) if frame.disposal in (CLEAR, RESTORE) else None
        if not num_pixels:
            return
        code_size = int(self._data[frame.data])
        if not 1 <= code_size <= MAX_CODE_SIZE:
            raise DamagedFrameError(f"the LZW code size is {code_size}, must be 1 to {MAX_CODE_SIZE}")
        transparent = 256 if frame.transparent is None else frame.transparent
        numbers = (frame.width, frame.height, frame.interlaced, *frame.palette, transparent, frame.data)
        status = _draw_frame(
            self._data, numbers, rectangle, self._packed, self._entries, self._output, self._palette, self._pixels
        )
        if status != COMPLETE:
            raise DamagedFrameError(_REASONS[status])

    def _dispose(self) -> None:
        if self._disposal:
            method, rectangle = self._disposal
            saved = self._saved if method == RESTORE else self._pixels
            fill(self._pixels, rectangle, saved, method == RESTORE)

    def _clip(self, frame: FrameHeader) -> NDArray[np.int64]:
        """Return the part of the frame that is inside the canvas."""
        width, height = self._size
        left, top = min(frame.left, width), min(frame.top, height)
        right, bottom = min(frame.left + frame.width, width), min(frame.top + frame.height, height)
        return np.array([left, top, right, bottom], np.int64)


@compile_entry
def _draw_frame(
    data: Any, numbers: Any, rectangle: Any, packed: Any, entries: Any, output: Any, palette: Any, pixels: Any
) -> Any:
    """Decompress a frame and, if it is whole, draw it; return the status of `decompress`."""
    width, height, interlaced, palette_at, num_colours, transparent, at = numbers
    width, height = np.uint64(width), np.uint64(height)
    num_bytes, is_whole = join_sub_blocks(data, np.uint64(at) + np.uint64(1), packed)
    if not is_whole:
        return TRUNCATED
    status = decompress(packed, num_bytes, np.uint64(data[at]), width * height, entries, output)
    if status == COMPLETE:
        read_palette(data, np.uint64(palette_at), np.uint64(num_colours), palette)
        box = np.uint64(rectangle[0]), np.uint64(rectangle[1]), np.uint64(rectangle[2]), np.uint64(rectangle[3])
        draw(output, width, height, interlaced, palette, np.uint64(transparent), box, pixels)
    return status
