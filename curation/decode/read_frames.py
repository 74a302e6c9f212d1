"""One GIF on this machine -> its frames, held to the limits of a run and decoded as a run decodes.

For whoever wants the pictures themselves and not what is measured of them.
"""

import dataclasses
import itertools

import numpy as np
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.decode.decoder import FrameDecoder, UndecodableError
from curation.decode.header import is_gif, scan_gif
from curation.decode.probe import describe_bytes, judge_header
from curation.errors import CurationError
from curation.fetch import FetchError, TooManyBytesError, fetch_bytes


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """The frames of one GIF."""

    rgb: NDArray[np.uint8]
    """[T, H, W, 3], at the resolution asked for."""
    durations_ms: NDArray[np.int32]
    """How long each is shown, [T]."""
    damage: str | None
    """Why there are fewer than the file announces; None where it is sound."""


def read_frames(location: str, config: CurationConfig, most: int) -> Frames:
    """Decode the first `most` frames of a GIF, or all it has, at the config's resolution.

    Raises CurationError, one sentence, where a run would give the GIF a verdict at once: what is there, and why not.
    """
    try:
        data = fetch_bytes(location, config.max_bytes)
        if not is_gif(data):
            raise CurationError(f"{location} is no GIF but {describe_bytes(data)}")
        verdict, detail = judge_header(scan_gif(data, config.max_pixels), config)
        if verdict is not None:
            raise CurationError(f"{location} cannot be used, {verdict}: {detail}")
        decoder = FrameDecoder(data, config.resolution)
        decoded = list(itertools.islice(decoder, most))
    except (FetchError, TooManyBytesError, UndecodableError, ValueError) as error:
        raise CurationError(f"{location} cannot be used: {error}") from error
    return Frames(
        rgb=np.stack([frame.rgb for frame in decoded if frame.rgb is not None]),
        durations_ms=np.array([frame.duration_ms for frame in decoded], np.int32),
        damage=decoder.damage,
    )
