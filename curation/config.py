"""Parameters that determine a data set, with their defaults and units. The defaults are the paper's."""

import dataclasses
import typing

from curation.config_checks import check, check_names, check_range, check_types
from curation.errors import ConfigError
from curation.target_histogram import check_balance
from shards.schema import ImageFormat

SOURCE_SIZE = 0
"""Value of `resolution` that keeps each GIF's own size."""

GIFS_RULES = ("name", "path", "url-sha256")
_GIFS_RULES = "name, path, url-sha256 or column:NAME"

MAX_MOTION_PX = 10_000
"""Upper limit of the motion range, larger than any frame."""
MAX_FRAMES = 10_000
"""Upper limit of `max_frames`: all grey frames of a clip are in memory together."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurationConfig:
    """Every parameter that can change a byte of the data set. Validated on construction."""

    resolution: int = 256
    """Side in pixels of the square to which frames are resized before measuring and storing; 0 keeps their size."""
    min_motion: float = 2.0
    """Smallest motion of a selected pair, in pixels at the run's resolution, inclusive."""
    max_motion: float = 20.0
    """Largest motion of a selected pair, in pixels at the run's resolution, inclusive."""
    pairs_per_gif: int = 10
    """Largest number of pairs selected from one GIF."""
    min_pairs: int = 1
    """Smallest number of pairs in the motion range; a GIF with fewer is skipped."""
    balance: str = "flat"
    """Shape of the motion histogram: flat, none (random selection) or a target, see `target_histogram.py`."""
    drop_cuts: bool = False
    """Skip pairs with a scene cut between their frames."""
    near_distance: int = 10
    """Largest median distance between near-duplicates, in bits of 64; 0: disabled. They never end up in two splits."""
    val_fraction: float = 0.1
    """Fraction of clips in the val split, if no split lists are given."""
    seed: int = 0
    """Seed of splits, pairs, captions and order."""
    samples_per_shard: int = 1000
    """Largest number of samples in a shard."""
    image_format: ImageFormat = "jpg"
    """Format of the stored frames: jpg, png (lossless) or webp."""
    quality: int = 95
    """Quality of jpg and webp, 1 to 100."""
    max_bytes: int = 64 * 2**20
    """Largest GIF file, in bytes; a larger one gets the verdict too_large."""
    max_pixels: int = 2**24
    """Largest canvas, width x height in pixels; a GIF with a larger one gets the verdict too_large before decoding."""
    max_frames: int = 1000
    """Largest number of frames; a GIF with more gets the verdict too_large before decoding."""
    fps: float = 10.0
    """Frames per second that are sampled from a video; other animations are taken frame by frame."""
    clip_timeout: float = 300.0
    """Time limit in seconds for measuring a clip, or a slice of a long one, and for encoding its frames."""
    clip_memory: float = 4.0
    """Memory limit for decoding, measuring or encoding one clip, in GiB."""
    keep_credentials: bool = False
    """Write the passwords, tokens and signatures of the listing's URLs to the data set."""
    robots: bool = False
    """Leave out what the robots.txt of its host disallows."""
    ignore_opt_outs: bool = False
    """Keep what its owner asks not to be trained on by X-Robots-Tag or TDM-Reservation."""
    uri_column: str | None = None
    """Column of the listing with the paths or URLs, or with the bytes of the GIFs. None: the one with a usual name."""
    caption_column: str | None = None
    """Column of the listing with the captions. None: the one with a usual name."""
    keep_columns: tuple[str, ...] = ()
    """Other columns of the listing that clips.parquet keeps."""
    limit: int | None = None
    """Number of rows of the listing to use, from its start. None: all."""
    gifs_by: str = "name"
    """How the file of a clip is found in --gifs: name, path, url-sha256 or column:NAME."""

    def __post_init__(self) -> None:
        """Raise ConfigError with the name of an invalid field, its value and what is allowed."""
        check_types(self)
        if self.resolution != SOURCE_SIZE:
            check_range(self, "resolution", 16, 4096, "pixels, or 0 for each GIF's own size")
        check_range(self, "min_motion", 0, MAX_MOTION_PX, "pixels")
        check_range(self, "max_motion", 0, MAX_MOTION_PX, "pixels")
        if not self.min_motion < self.max_motion:
            raise ConfigError(
                f"the motion range is empty: min_motion {self.min_motion:g} must be less than "
                f"max_motion {self.max_motion:g}"
            )
        for name in ("pairs_per_gif", "min_pairs", "samples_per_shard", "max_bytes", "max_pixels"):
            check_range(self, name, 1)
        check_range(self, "limit", 1)
        check_range(self, "max_frames", 2, MAX_FRAMES)
        check_range(self, "fps", 0, 1000, "frames per second", exclude_low=True)
        check_range(self, "clip_timeout", 0, 10**6, "seconds", exclude_low=True)
        check_range(self, "clip_memory", 0, 2**20, "GiB", exclude_low=True)
        check_range(self, "near_distance", 0, 16, "bits")
        check_range(self, "val_fraction", 0, 1)
        check(self, "seed", 0 <= self.seed < 2**63, "a whole number from 0 to 2^63 - 1")
        check(self, "image_format", self.image_format in typing.get_args(ImageFormat), "jpg, png or webp")
        check_range(self, "quality", 1, 100)
        check_balance(self.balance)
        check_names(self, "keep_columns")
        rule = self.gifs_by
        check(self, "gifs_by", rule in GIFS_RULES or rule.removeprefix("column:") not in ("", rule), _GIFS_RULES)
