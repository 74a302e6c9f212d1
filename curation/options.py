"""Input and output locations, and how a run is executed. Nothing here changes a byte of the data set."""

import dataclasses
import re
from pathlib import Path
from typing import Any

from curation.config_checks import check, check_range, check_type, check_types, parse_host
from curation.errors import ConfigError
from shards.storage.location import Location, parse_location, path_of_file_url
from shards.storage.object_stores import is_object


@dataclasses.dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """How remote GIFs are downloaded."""

    cache: str | None = None
    """Folder or object-store prefix that caches downloads for other runs. None: downloads are kept in OUT."""
    max_cache_bytes: int | None = None
    """Cache size above which the least recently used files are deleted. Files of the current run are never deleted."""
    allow_host: tuple[str, ...] = ()
    """Hosts, HOST or HOST:PORT, that may be fetched from although their addresses are private."""
    max_fetches: int = 64
    """Limit on concurrent requests."""
    fetches_per_host: int = 8
    """Limit on concurrent requests to one host."""
    rate_per_host: float = 10.0
    """Limit on requests to one host, per second; 0: no limit."""
    fetch_timeout: float = 60.0
    """Time limit for one attempt to download a GIF, in seconds, from the request to the last byte."""

    def __post_init__(self) -> None:
        """Make the cache's path absolute. Raises ConfigError with the name of an invalid field and what is allowed."""
        check_types(self)
        if self.cache is not None and "://" not in self.cache:
            object.__setattr__(self, "cache", str(_make_absolute("cache", Path(self.cache))))
        hosts: Any = self.allow_host
        check(self, "allow_host", isinstance(hosts, list | tuple), "a list of hosts")
        object.__setattr__(self, "allow_host", tuple(hosts))
        for host in self.allow_host:
            check_type("allow_host", host, str)
            try:
                parse_host(host)
            except ValueError:
                raise ConfigError(f"allow_host is {host!r}; it must be HOST or HOST:PORT") from None
        check_range(self, "max_cache_bytes", 0)
        check_range(self, "max_fetches", 1, 4096)
        check_range(self, "fetches_per_host", 1)
        check_range(self, "rate_per_host", 0)
        check_range(self, "fetch_timeout", 0, unit="seconds", exclude_low=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Input, output and workers of a run."""

    listing: Path | str
    """A table of GIFs and captions, a folder, WebDataset tars, or a pattern of several: a path or a URL."""
    out: Location
    """Folder of the data set, or an object-store prefix such as s3://bucket/shards."""
    gifs: Path | str | None = None
    """Folder, zip or tar of downloaded GIFs, or a pattern of several; a URL only in an object store."""
    splits: Path | None = None
    """Folder of the official split lists train.txt, val.txt and test.txt."""
    flow: Location | None = None
    """Flow table of a finished run. Its measurements are reused for clips with the same bytes and method digest."""
    workers: int = 1
    """Number of Ray workers on this machine; 0: work in this process, without Ray."""
    ray_address: str | None = None
    """Address of a running Ray cluster. All its cores are used, and `workers` is ignored."""
    fetch: FetchOptions = dataclasses.field(default_factory=FetchOptions)
    """How remote GIFs are downloaded."""
    check_sources: bool = False
    """Compare the GIFs on disk with the hashes in a finished data set; without it, they are not looked at."""
    overwrite: bool = False
    """Replace the data set in OUT."""
    quiet: bool = False
    """Print only errors."""

    @property
    def listing_name(self) -> str:
        """File name of the listing."""
        if isinstance(self.listing, Path):
            return self.listing.name
        return re.split(r"[?#]", self.listing)[0].rpartition("/")[2]

    def __post_init__(self) -> None:
        """Make every path absolute, because workers have another working directory. Raises ConfigError."""
        check_types(self)
        listing = path_of_file_url(str(self.listing)) or str(self.listing)
        object.__setattr__(self, "listing", listing.rstrip("/") if is_object(listing) else listing)
        for name in ("listing", "gifs", "splits"):
            value = getattr(self, name)
            if value is not None and "://" not in str(value):
                object.__setattr__(self, name, _make_absolute(name, Path(value)))
        for name in ("out", "flow"):
            if (value := getattr(self, name)) is not None:
                location = parse_location(value)
                absolute = _make_absolute(name, location) if isinstance(location, Path) else location
                object.__setattr__(self, name, absolute)
        check_range(self, "workers", 0)


def _make_absolute(name: str, path: Path) -> Path:
    """Return an absolute path without `~`. Raises ConfigError if there is no such user."""
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(f"{name} is {path}; there is no home folder of {path.parts[0]}") from error
