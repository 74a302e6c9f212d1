"""What may be chosen in a curation run, with defaults and units. The defaults are the paper's."""

import dataclasses
import math
import re
import tomllib
import typing
from pathlib import Path
from typing import Any

from curation.balance import check_balance
from curation.errors import ConfigError
from curation.fetch.addresses import parse_host
from shards.location import Location, parse_location
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
        _check(self, "clip_timeout", 0 < self.clip_timeout <= 10**6, "more than 0 seconds, and at most a million")
        _check(self, "clip_memory", 0 < self.clip_memory <= 2**20, "more than 0 GiB")
        _check(self, "near_distance", 0 <= self.near_distance <= 16, "from 0 to 16 bits")
        _check(self, "val_fraction", 0 <= self.val_fraction <= 1, "from 0 to 1")
        _check(self, "seed", 0 <= self.seed < 2**63, "a whole number from 0 to 2^63 - 1")
        _check(self, "image_format", self.image_format in typing.get_args(ImageFormat), "jpg, png or webp")
        _check(self, "quality", 1 <= self.quality <= 100, "from 1 to 100")
        check_balance(self.balance)


_FETCH_KINDS = {"cache": str, "rate_per_host": float, "fetch_timeout": float}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """How GIFs are fetched that lie elsewhere."""

    cache: str | None = None
    """A folder, or a place in an object store, that keeps what was fetched for other runs too; else OUT keeps it."""
    max_cache_bytes: int | None = None
    """What was used longest ago leaves the cache where it holds more; what the run itself needs never does."""
    allow_host: tuple[str, ...] = ()
    """Hosts, HOST or HOST:PORT, that may be fetched from though their addresses are private."""
    max_fetches: int = 64
    """Fetches under way at once."""
    fetches_per_host: int = 8
    """Of these, from one host."""
    rate_per_host: float = 10.0
    """Requests to one host a second at most; 0 sets no limit."""
    fetch_timeout: float = 60.0
    """Seconds that one try for a GIF may take, from the first request to the last byte."""

    def __post_init__(self) -> None:
        """Make the cache's path absolute, and raise ConfigError for what cannot be."""
        for name in ("cache", "max_cache_bytes", "max_fetches", "fetches_per_host", "rate_per_host", "fetch_timeout"):
            if (value := getattr(self, name)) is not None:
                _check_type(name, value, _FETCH_KINDS.get(name, int))
        if self.cache is not None and "://" not in self.cache:
            object.__setattr__(self, "cache", str(Path(self.cache).expanduser().absolute()))
        hosts: Any = self.allow_host
        _check(self, "allow_host", isinstance(hosts, list | tuple), "a list of hosts")
        object.__setattr__(self, "allow_host", tuple(hosts))
        for name in self.allow_host:
            _check_type("allow_host", name, str)
            try:
                parse_host(name)
            except ValueError:
                raise ConfigError(f"allow_host is {name!r}; it must be a host, or a host, a colon and a port") from None
        _check(self, "max_cache_bytes", self.max_cache_bytes is None or self.max_cache_bytes >= 0, "0 or more")
        _check(self, "max_fetches", 1 <= self.max_fetches <= 4096, "from 1 to 4096")
        _check(self, "fetches_per_host", self.fetches_per_host >= 1, "1 or more")
        _check(self, "rate_per_host", 0 <= self.rate_per_host < math.inf, "0 or more")
        _check(self, "fetch_timeout", 0 < self.fetch_timeout < math.inf, "more than 0 seconds")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where things lie and how the work is spread: nothing here changes a byte of the shards."""

    listing: Path | str
    """The TSV: url or path, TAB, caption. A path, or the URL of one that lies elsewhere."""
    out: Location
    """The folder that becomes the data set, or the place in an object store, such as s3://bucket/shards."""
    gifs: Path | None = None
    """A folder with the GIFs already downloaded, found there by file name."""
    splits: Path | None = None
    """A folder with the official lists train.txt, val.txt and test.txt."""
    flow: Location | None = None
    """The finished flow table of another run, reused where it measured the same bytes in the same way."""
    workers: int = 1
    """Ray workers on this machine; 0 does the work in this process, without Ray."""
    ray_address: str | None = None
    """Of a Ray cluster that runs; all its cores work instead, and `workers` says nothing."""
    fetch: FetchOptions = dataclasses.field(default_factory=FetchOptions)
    """How GIFs are fetched that lie elsewhere."""
    overwrite: bool = False
    """Replace the data set that OUT already holds."""
    quiet: bool = False
    """Print nothing but errors."""

    @property
    def listing_name(self) -> str:
        """File name of the listing."""
        if isinstance(self.listing, Path):
            return self.listing.name
        return re.split(r"[?#]", self.listing)[0].rpartition("/")[2]

    def __post_init__(self) -> None:
        """Make every path absolute: workers stand elsewhere."""
        object.__setattr__(self, "listing", str(self.listing).removeprefix("file://"))
        for name in ("listing", "gifs", "splits"):
            value = getattr(self, name)
            if value is not None and "://" not in str(value):
                object.__setattr__(self, name, Path(value).expanduser().absolute())
        for name in ("out", "flow"):
            if (value := getattr(self, name)) is not None:
                place = parse_location(value)
                object.__setattr__(self, name, place.expanduser().absolute() if isinstance(place, Path) else place)
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
    expected: Any = {bool: bool, int: int, float: (int, float)}.get(kind, str)
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, expected):
        words = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "a word")
        raise ConfigError(f"{name} is {value!r}; it must be {words}")
