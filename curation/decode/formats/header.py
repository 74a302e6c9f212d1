"""What an animation announces, and the errors of its decoders."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """Canvas and frame count of an animation, as announced: no limit has been checked."""

    width: int
    height: int
    num_frames: int
    """Number of frames; of a video, of those sampled. A damaged file may have fewer decodable frames."""
    oversize: tuple[int, int] | None = None
    """The (width, height) of the first frame that exceeds the pixel limit. Counting stops there."""
    damage: str | None = None
    """Why only the first `num_frames` frames may be decoded."""
    fps: float | None = None
    """Frames per second at which a video is sampled."""
