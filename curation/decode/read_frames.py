"""One GIF -> its frames, with the same limits and decoding as in a curation run.

For callers that need the frames rather than measurements.
"""

import dataclasses
import itertools

import numpy as np
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.decode.decoder import FrameDecoder, UndecodableError
from curation.decode.header import is_gif, scan_gif
from curation.decode.probe import check_header, describe_bytes
from curation.errors import CurationError
from curation.fetch import FetchError, TooManyBytesError, fetch_bytes


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """The frames of one GIF."""

    rgb: NDArray[np.uint8]
    """uint8 [T, H, W, 3], at the requested resolution."""
    durations_ms: NDArray[np.int32]
    """Display duration of each frame, int32 [T]."""
    damage: str | None
    """The decoding error after the last frame, None if there was none."""


def read_frames(location: str, config: CurationConfig, max_frames: int) -> Frames:
    """Decode the first `max_frames` frames of a GIF at the config's resolution.

    Raises CurationError if the GIF cannot be read, is not a GIF, exceeds a limit or has no decodable frame.
    """
    try:
        data = fetch_bytes(location, config.max_bytes)
        if not is_gif(data):
            raise CurationError(f"{location} is not a GIF but {describe_bytes(data)}")
        verdict, detail = check_header(scan_gif(data, config.max_pixels), config)
        if verdict is not None:
            raise CurationError(f"{location} cannot be used, {verdict}: {detail}")
        decoder = FrameDecoder(data, config.resolution)
        decoded = list(itertools.islice(decoder, max_frames))
    except (FetchError, TooManyBytesError, UndecodableError, ValueError) as error:
        raise CurationError(f"{location} cannot be used: {error}") from error
    return Frames(
        rgb=np.stack([frame.rgb for frame in decoded if frame.rgb is not None]),
        durations_ms=np.array([frame.duration_ms for frame in decoded], np.int32),
        damage=decoder.damage,
    )
