"""What may be chosen in a curation run, with defaults and units. The defaults are the paper's."""

import dataclasses
import tomllib
import typing
from pathlib import Path
from typing import Any

from curation.errors import ConfigError
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

    def __post_init__(self) -> None:
        """Raise ConfigError naming the field, its value and what is allowed."""
        for field in dataclasses.fields(self):
            _check_type(field.name, getattr(self, field.name), field.type)
        _check(
            self,
            "resolution",
            self.resolution == SOURCE_SIZE or 16 <= self.resolution <= 4096,
            "a side from 16 to 4096 pixels, or 0 for each GIF's own size",
        )
        for name in ("min_motion", "max_motion"):
            _check(self, name, 0 <= getattr(self, name) <= MAX_MOTION_PX, f"from 0 to {MAX_MOTION_PX} pixels")
        if not self.min_motion < self.max_motion:
            raise ConfigError(
                f"the motion range is upside down: min_motion {self.min_motion:g} must be less than "
                f"max_motion {self.max_motion:g}"
            )  # fmt: skip
        for name in ("pairs_per_gif", "min_pairs", "samples_per_shard", "max_bytes", "max_pixels"):
            _check(self, name, getattr(self, name) >= 1, "1 or more")
        _check(self, "max_frames", 2 <= self.max_frames <= 10_000, "from 2 to 10000")
        _check(self, "val_fraction", 0 <= self.val_fraction <= 1, "from 0 to 1")
        _check(self, "seed", 0 <= self.seed < 2**63, "a whole number from 0 to 2^63 - 1")
        _check(self, "image_format", self.image_format in typing.get_args(ImageFormat), "jpg, png or webp")
        _check(self, "quality", 1 <= self.quality <= 100, "from 1 to 100")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where things lie and how the work is spread: nothing here changes a byte of the shards."""

    listing: Path
    """The TSV: url or path, TAB, caption."""
    out: Path
    """The folder that becomes the data set."""
    gifs: Path | None = None
    """A folder with the GIFs already downloaded, found there by file name."""
    splits: Path | None = None
    """A folder with the official lists train.txt, val.txt and test.txt."""
    flow: Path | None = None
    """The finished flow table of another run, reused where it measured the same bytes in the same way."""
    workers: int = 1
    """Ray workers on this machine; 0 does the work in this process, without Ray."""
    overwrite: bool = False
    """Replace the data set that OUT already holds."""
    quiet: bool = False
    """Print nothing but errors."""

    def __post_init__(self) -> None:
        """Make every path absolute: workers stand elsewhere."""
        for name in ("listing", "out", "gifs", "splits", "flow"):
            path = getattr(self, name)
            if path is not None:
                object.__setattr__(self, name, Path(path).expanduser().absolute())
        _check(self, "workers", self.workers >= 0, "0 or more")


def read_config_file(path: Path, allowed: set[str]) -> dict[str, Any]:
    """Read parameters by name from a TOML file. Raises ConfigError for a key that is not in `allowed`."""
    try:
        with path.open("rb") as file:
            values = {key.replace("-", "_"): value for key, value in tomllib.load(file).items()}
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    unknown = sorted(set(values) - allowed)
    if unknown:
        raise ConfigError(f"{path}: no parameter is called {unknown[0]!r}; there are {', '.join(sorted(allowed))}")
    return values


def _check(config: object, name: str, holds: bool, allowed: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {getattr(config, name)!r}; it must be {allowed}")


def _check_type(name: str, value: object, kind: Any) -> None:
    expected: Any = {int: int, float: (int, float)}.get(kind, str)
    if isinstance(value, bool) or not isinstance(value, expected):
        words = {int: "a whole number", float: "a number"}.get(kind, "a word")
        raise ConfigError(f"{name} is {value!r}; it must be {words}")
