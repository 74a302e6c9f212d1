"""What may be chosen in a curation run, with defaults and units. The defaults are the paper's."""

import dataclasses
import typing

from curation.config_checks import check, check_type
from curation.errors import ConfigError
from curation.target_histogram import check_balance
from shards.schema import ImageFormat

SOURCE_SIZE = 0
"""A resolution that means: each GIF at its own size."""

MAX_MOTION_PX = 10_000
"""More than any frame is wide."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurationConfig:
    """Every parameter that can change a byte of the data set. Checked on construction."""

    resolution: int = 256
    """Side in pixels of the square that frames are resized to, measured at and stored at; 0 keeps each GIF's own."""
    min_motion: float = 2.0
    """Least motion of a kept pair, in pixels at the run's resolution, included."""
    max_motion: float = 20.0
    """Greatest motion of a kept pair, in pixels at the run's resolution, included."""
    pairs_per_gif: int = 10
    """Pairs taken of one GIF at most."""
    min_pairs: int = 1
    """A GIF with fewer pairs in range than this is left out."""
    balance: str = "flat"
    """What the motion histogram shall look like: flat, none (a plain draw), or a target (`balance.py`)."""
    drop_cuts: bool = False
    """Keep no pair whose frames stand on both sides of a cut."""
    near_distance: int = 10
    """Near copies differ by so many bits of 64 at most, the median frame; they never stand in two splits. 0: off."""
    val_fraction: float = 0.1
    """Share of the clips that go to the val split, where no official lists are given."""
    seed: int = 0
    """Of every choice: splits, pairs, captions, order."""
    samples_per_shard: int = 1000
    """Samples in one shard at most."""
    image_format: ImageFormat = "jpg"
    """Of the stored frames: jpg, png (lossless) or webp."""
    quality: int = 95
    """Of jpg and webp, 1 to 100."""
    max_bytes: int = 64 * 2**20
    """A GIF file of more bytes is refused as too_large."""
    max_pixels: int = 2**24
    """A GIF whose canvas has more pixels (width x height) is refused as too_large before it is decoded."""
    max_frames: int = 1000
    """A GIF of more frames is refused as too_large before it is decoded; pairs grow with the square."""
    clip_timeout: float = 300.0
    """Seconds in which one clip, or a slice of a giant, must be measured, and in which its frames must be encoded."""
    clip_memory: float = 4.0
    """GiB of memory that one clip may take at a time."""

    def __post_init__(self) -> None:
        """Raise ConfigError naming the field, its value and what is allowed."""
        for field in dataclasses.fields(self):
            check_type(field.name, getattr(self, field.name), field.type)
        check(
            self,
            "resolution",
            self.resolution == SOURCE_SIZE or 16 <= self.resolution <= 4096,
            "a side from 16 to 4096 pixels, or 0 for each GIF's own size",
        )
        for name in ("min_motion", "max_motion"):
            check(self, name, 0 <= getattr(self, name) <= MAX_MOTION_PX, f"from 0 to {MAX_MOTION_PX} pixels")
        if not self.min_motion < self.max_motion:
            raise ConfigError(
                f"the motion range is upside down: min_motion {self.min_motion:g} must be less than "
                f"max_motion {self.max_motion:g}"
            )  # fmt: skip
        for name in ("pairs_per_gif", "min_pairs", "samples_per_shard", "max_bytes", "max_pixels"):
            check(self, name, getattr(self, name) >= 1, "1 or more")
        check(self, "max_frames", 2 <= self.max_frames <= 10_000, "from 2 to 10000")
        check(self, "clip_timeout", 0 < self.clip_timeout <= 10**6, "more than 0 seconds, and at most a million")
        check(self, "clip_memory", 0 < self.clip_memory <= 2**20, "more than 0 GiB")
        check(self, "near_distance", 0 <= self.near_distance <= 16, "from 0 to 16 bits")
        check(self, "val_fraction", 0 <= self.val_fraction <= 1, "from 0 to 1")
        check(self, "seed", 0 <= self.seed < 2**63, "a whole number from 0 to 2^63 - 1")
        check(self, "image_format", self.image_format in typing.get_args(ImageFormat), "jpg, png or webp")
        check(self, "quality", 1 <= self.quality <= 100, "from 1 to 100")
        check_balance(self.balance)
