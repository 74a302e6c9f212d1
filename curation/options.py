"""Where things are and how a run is run. Nothing here changes a byte of the data set."""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

from curation.config_checks import check, check_type, parse_host
from curation.errors import ConfigError
from shards.location import Location, parse_location

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
                check_type(name, value, _FETCH_KINDS.get(name, int))
        if self.cache is not None and "://" not in self.cache:
            object.__setattr__(self, "cache", str(Path(self.cache).expanduser().absolute()))
        hosts: Any = self.allow_host
        check(self, "allow_host", isinstance(hosts, list | tuple), "a list of hosts")
        object.__setattr__(self, "allow_host", tuple(hosts))
        for name in self.allow_host:
            check_type("allow_host", name, str)
            try:
                parse_host(name)
            except ValueError:
                raise ConfigError(f"allow_host is {name!r}; it must be a host, or a host, a colon and a port") from None
        check(self, "max_cache_bytes", self.max_cache_bytes is None or self.max_cache_bytes >= 0, "0 or more")
        check(self, "max_fetches", 1 <= self.max_fetches <= 4096, "from 1 to 4096")
        check(self, "fetches_per_host", self.fetches_per_host >= 1, "1 or more")
        check(self, "rate_per_host", 0 <= self.rate_per_host < math.inf, "0 or more")
        check(self, "fetch_timeout", 0 < self.fetch_timeout < math.inf, "more than 0 seconds")


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
        check(self, "workers", self.workers >= 0, "0 or more")
