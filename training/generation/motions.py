"""Motion magnitudes of a GIF's frames: text or a number of frames -> magnitudes in pixels; and the order of showing."""

from collections.abc import Sequence
from typing import TypeVar

from training.generation.config import TRAINED_MOTION_PX, Loop
from training.generation.errors import GenerationError

Frame = TypeVar("Frame")
MAX_FRAMES = 1000


def parse_motion(text: str) -> tuple[float, ...]:
    """Read magnitudes such as `2,4,6,8`."""
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise GenerationError(f"the motion {text!r} is no list of numbers: write them as 2,4,6,8") from error


def ramp_motion(num_frames: int) -> tuple[float, ...]:
    """Spread magnitudes evenly over the trained range, the least first, whole as the model knows them.

    With more frames than whole magnitudes some stand twice, for the model cuts magnitudes to whole numbers.
    """
    if not 1 <= num_frames <= MAX_FRAMES:
        raise GenerationError(f"frames is {num_frames}; it must be a number from 1 to {MAX_FRAMES}")
    low, high = TRAINED_MOTION_PX
    if num_frames == 1:
        return (round((low + high) / 2),)
    return tuple(float(round(low + (high - low) * index / (num_frames - 1))) for index in range(num_frames))


def note_untrained(motion_px: Sequence[float]) -> list[str]:
    """Say which magnitudes lie outside the paper's range; what a model was trained on, it does not tell itself."""
    low, high = TRAINED_MOTION_PX
    outside = [f"{value:g}" for value in motion_px if not low <= value <= high]
    if not outside:
        return []
    return [
        f"the motion {', '.join(outside)} lies outside {low:g} to {high:g} pixels, the paper's range: a model follows "
        "what the pairs had that it was trained on"
    ]


def note_fractions(motion_px: Sequence[float]) -> list[str]:
    """Say which magnitudes the model cuts to whole numbers."""
    cut = [f"{value:g}" for value in motion_px if value != int(value)]
    return [f"the motion {', '.join(cut)} is cut to whole pixels, as the model knows them"] if cut else []


def order_frames(frames: Sequence[Frame], loop: Loop) -> list[Frame]:
    """Put frames in the order of showing: once through, or there and back."""
    return [*frames, *frames[-2:0:-1]] if loop == "boomerang" else list(frames)
