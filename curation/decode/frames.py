"""One animation -> all its frames, as a curation run decodes them."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.decode.decoder import UndecodableError
from curation.decode.formats.animation import open_animation, scan_animation
from curation.decode.probe import check_header
from curation.errors import CurationError
from curation.fetch import FetchError, TooManyBytesError, fetch_bytes
from curation.file_format import describe_bytes, detect_format


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """The frames of one animation."""

    rgb: NDArray[np.uint8]
    """uint8 [T, H, W, 3], composited on white, at the requested resolution."""
    durations_ms: NDArray[np.int32]
    """Display duration of each frame, int32 [T]."""
    damage: str | None
    """Why decoding ended early; None if every frame is sound."""


def read_frames(
    source: str | Path | bytes,
    resolution: int = 256,
    *,
    max_frames: int | None = None,
    limits: CurationConfig | None = None,
) -> Frames:
    """Decode a GIF, WebP, APNG, AVIF or video to the frames that a browser shows.

    source: the path of a file, an object such as `s3://bucket/key`, or the bytes. They decide what format it is.
    resolution: side in pixels of the square that frames are resized to by Lanczos, without cropping; 0 keeps the size
    of the canvas.
    max_frames: decode only this many frames.
    limits: limits on bytes, pixels and frames, and `fps`, at which a video is sampled; by default those of a curation
    run.

    Raises CurationError if the file cannot be read, is no animation, exceeds a limit or has no decodable frame.
    """
    name = "the GIF" if isinstance(source, bytes) else str(source)
    config = dataclasses.replace(limits or CurationConfig(), resolution=resolution)
    try:
        data = source if isinstance(source, bytes) else fetch_bytes(str(source), config.max_bytes)
        file_format = detect_format(data)
        if file_format is None:
            raise CurationError(f"{name} is not a GIF but {describe_bytes(data)}")
        verdict, detail = check_header(scan_animation(data, file_format, config), config)
        if verdict is not None:
            raise CurationError(f"{name} cannot be used, {verdict}: {detail}")
        decoder = open_animation(data, config)
        decoded = [(frame.rgb, frame.duration_ms) for frame in itertools.islice(decoder, max_frames)]
    except (FetchError, TooManyBytesError, UndecodableError, ValueError) as error:
        raise CurationError(f"{name} cannot be used: {error}") from error
    return Frames(
        rgb=np.stack([rgb for rgb, _ in decoded]),
        durations_ms=np.array([duration_ms for _, duration_ms in decoded], np.int32),
        damage=decoder.damage,
    )
