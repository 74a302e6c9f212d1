"""Motion magnitudes of a GIF's frames, in pixels at 256 x 256, and the display order of the frames."""

from collections.abc import Sequence
from typing import TypeVar

from training.generation.config import Loop
from training.generation.errors import GenerationError
from training.model.config import TrainedOn

Frame = TypeVar("Frame")
MAX_FRAMES = 1000


def parse_motion(text: str) -> tuple[float, ...]:
    """Parse magnitudes such as `2,4,6,8`. Raises GenerationError."""
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise GenerationError(f"the motion {text!r} is not a list of numbers; write it as 2,4,6,8") from error


def ramp_motion(num_frames: int, trained_on: TrainedOn) -> tuple[float, ...]:
    """Return whole magnitudes that rise evenly from the first to the last trained one; for one frame, their middle.

    With more frames than whole magnitudes, some magnitudes repeat. Raises GenerationError.
    """
    if not 1 <= num_frames <= MAX_FRAMES:
        raise GenerationError(f"frames is {num_frames}; it must be a number from 1 to {MAX_FRAMES}")
    low, high = trained_on.min_motion, trained_on.max_motion
    return (round((low + high) / 2),) if num_frames == 1 else spread_motion(low, high, num_frames)


def spread_motion(first: float, last: float, num_frames: int) -> tuple[float, ...]:
    """Return whole magnitudes spread evenly from `first` to `last`, rising or falling; for one frame, `last`."""
    if num_frames == 1:
        return (float(round(last)),)
    return tuple(float(round(first + (last - first) * index / (num_frames - 1))) for index in range(num_frames))


def list_motion_notes(motion_px: Sequence[float], trained_on: TrainedOn) -> list[str]:
    """List notes on magnitudes outside the trained range and on magnitudes that the model truncates."""
    low, high = trained_on.min_motion, trained_on.max_motion
    notes = []
    if untrained := [f"{value:g}" for value in motion_px if not low <= int(value) <= high]:
        notes.append(
            f"the motion {', '.join(untrained)} is outside {low} to {high} pixels, which the model was trained on; it "
            "may not follow it"
        )
    if fractional := [f"{value:g}" for value in motion_px if value != int(value)]:
        notes.append(f"the motion {', '.join(fractional)} is truncated to whole pixels, which the model is trained on")
    return notes


def order_frames(frames: Sequence[Frame], loop: Loop) -> list[Frame]:
    """Return frames in display order: once forwards, or forwards and backwards."""
    return [*frames, *frames[-2:0:-1]] if loop == "boomerang" else list(frames)
