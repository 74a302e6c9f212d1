"""Clips -> where their bytes lie within reach of every worker; or a verdict at once.

Runs in one process, before anything is measured: in one event loop, so that the limits for a host hold over the whole
run. A clip on a disk of this machine passes through as it is; any other is found in the cache, or fetched into it.
"""

import asyncio
import collections
import contextlib
import dataclasses
import shutil
import tempfile
import urllib.parse
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from curation.errors import OutputError
from curation.fetch.cache import Cache
from curation.fetch.errors import FetchError, TooManyBytesError
from curation.fetch.object_cache import open_cache_store
from curation.listing.clips import Clip
from curation.options import FetchOptions
from shards.errors import StoreError
from shards.location import Location
from shards.schema import Verdict

if TYPE_CHECKING:
    from curation.fetch.download import Downloads

_MAX_THREADS = 32
"""For hashing what the cache holds, and for object stores, whose clients block."""
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arrivals:
    """What became of the clips of one fetch stage."""

    asked: Mapping[str, Clip]
    """All clips, as they were asked for."""
    locations: dict[str, str]
    """By clip key: where the bytes lie now of those that lay elsewhere, within reach of every worker."""
    failures: dict[str, tuple[Verdict, str]]
    """By clip key: the verdict and the reason in words of those that have none."""

    @property
    def clips(self) -> Iterator[Clip]:
        """Those that have bytes, in the order asked for, and where they have them."""
        for key, clip in self.asked.items():
            if key not in self.failures:
                location = self.locations.get(key)
                yield dataclasses.replace(clip, location=location) if location else clip

    @property
    def num_clips(self) -> int:
        """How many have bytes."""
        return len(self.asked) - len(self.failures)


def fetch_all(
    clips: Mapping[str, Clip], options: FetchOptions, folder: Location, max_bytes: int, done: Callable[[int], object]
) -> Arrivals:
    """Bring every clip within reach; `done` counts those from elsewhere as they are settled.

    `folder` is the run's own, for what is arriving, and for what has arrived where the options name no cache. Raises
    OutputError where the cache cannot be used, and OSError for a full or unwritable disk.
    """
    queues: dict[str, collections.deque[str]] = collections.defaultdict(collections.deque)
    for key, clip in clips.items():
        if is_elsewhere(clip):
            queues[_queue_name(clip.location)].append(key)
    if not queues:
        return Arrivals(asked=clips, locations={}, failures={})
    try:
        cache = open_cache(options, folder)
        with _room_for_arrivals(folder) as arriving:
            bring = _Bring(clips, cache, arriving, done)
            run_downloads(lambda downloads: bring.all(queues, downloads, options), options, max_bytes)
        if options.max_cache_bytes is not None:
            cache.trim(options.max_cache_bytes)
    except StoreError as error:
        raise OutputError(f"the cache {options.cache or folder} cannot be used: {error}") from error
    return Arrivals(asked=clips, locations=bring.locations, failures=bring.failures)


@contextlib.contextmanager
def _room_for_arrivals(folder: Location) -> Iterator[Path]:
    """Give an empty folder on disk: in the run's own, or, where that lies in a store, any on this machine."""
    if not isinstance(folder, Path):
        with tempfile.TemporaryDirectory(prefix="pix2gif-") as room:
            yield Path(room)
        return
    arriving = folder / "arriving"
    shutil.rmtree(arriving, ignore_errors=True)
    arriving.mkdir(parents=True)
    yield arriving
    shutil.rmtree(arriving, ignore_errors=True)


def is_elsewhere(clip: Clip) -> bool:
    """Tell whether a clip's bytes must be brought from another place than a disk of this machine."""
    return "://" in clip.location


def open_cache(options: FetchOptions, folder: Location) -> Cache:
    """Open the cache that the options name, or else that of the run's own folder."""
    return Cache(open_cache_store(options.cache or str(folder)))


def run_downloads(
    work: "Callable[[Downloads], Coroutine[Any, Any, Result]]", options: FetchOptions, max_bytes: int
) -> Result:
    """Run what downloads in an event loop of its own; what it raises is raised here."""
    # Imported here: most runs fetch nothing, and it costs a quarter of a second.
    from curation.fetch.download import Downloads
    from curation.fetch.http import connect
    from curation.fetch.rate_limits import Hosts

    async def run() -> Result:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(min(_MAX_THREADS, options.max_fetches)))
        hosts = Hosts(options)
        async with connect(options, hosts) as web:
            return await work(Downloads(web, hosts, options, max_bytes))

    try:
        return asyncio.run(run())
    except BaseExceptionGroup as faults:
        # Whatever stops one download stops all of them, and one reason is enough.
        raise faults.exceptions[0] from faults


class _Bring:
    """What has been brought so far."""

    def __init__(self, clips: Mapping[str, Clip], cache: Cache, arriving: Path, done: Callable[[int], object]) -> None:
        self.locations: dict[str, str] = {}
        self.failures: dict[str, tuple[Verdict, str]] = {}
        self._clips = clips
        self._cache = cache
        self._arriving = arriving
        self._done = done

    async def all(
        self, queues: dict[str, collections.deque[str]], downloads: "Downloads", options: FetchOptions
    ) -> None:
        """Bring all clips: a queue for each host, so that one which is slow or wants peace holds up no other."""
        async with asyncio.TaskGroup() as group:
            for name, queue in queues.items():
                most = options.fetches_per_host if name else options.max_fetches
                for _ in range(min(most, len(queue))):
                    group.create_task(self._work_off(queue, downloads))

    async def _work_off(self, queue: collections.deque[str], downloads: "Downloads") -> None:
        while queue:
            clip = self._clips[queue.popleft()]
            try:
                self.locations[clip.key] = await self._bring(clip, downloads)
            except FetchError as error:
                self.failures[clip.key] = (Verdict.FETCH_FAILED, str(error))
            except TooManyBytesError as error:
                self.failures[clip.key] = (Verdict.TOO_LARGE, str(error))
            self._done(1)

    async def _bring(self, clip: Clip, downloads: "Downloads") -> str:
        if found := await asyncio.to_thread(self._cache.find, clip.location):
            return found
        path = self._arriving / clip.key
        try:
            sha256 = await downloads.download(clip.location, path)
            return await asyncio.to_thread(self._cache.keep, clip.location, path, sha256)
        finally:
            path.unlink(missing_ok=True)


def _queue_name(location: str) -> str:
    """Name the host of a URL; nothing for what is no host's, as an object."""
    try:
        parts = urllib.parse.urlsplit(location)
        return (parts.hostname or "") if parts.scheme.lower() in ("http", "https") else ""
    except ValueError:
        return ""
