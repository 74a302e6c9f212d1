"""Clips -> the locations of their bytes, readable by every worker, or a verdict.

Runs in one process and one event loop before anything is measured, so that per-host limits hold over the whole run. A
clip on this machine's disks passes through; any other is found in the cache, or fetched into it.
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

from curation.archives.location import is_remote as is_remote_location
from curation.errors import OutputError
from curation.fetch.cache import Cache, open_cache
from curation.fetch.errors import FetchError, OptedOutError, TooManyBytesError
from curation.fetch.opt_outs import OptOutRules
from curation.fetch.other_forms import download_any_form
from curation.listing.clips import Clip
from curation.options import FetchOptions
from shards.errors import StoreError
from shards.schema import Verdict
from shards.storage.location import Location

if TYPE_CHECKING:
    from curation.fetch.download import Downloads

_MAX_THREADS = 32
"""Threads that hash cached files and call the clients of object stores, which block."""
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FetchedClips:
    """The result of the fetch stage."""

    requested: Mapping[str, Clip]
    """All clips, by key."""
    locations: dict[str, str]
    """By clip key: where the bytes of a remote clip are now, readable by every worker."""
    failures: dict[str, tuple[Verdict, str]]
    """By clip key: verdict and detail of a clip that could not be fetched."""

    @property
    def clips(self) -> Iterator[Clip]:
        """The clips that have bytes, with their locations, in the order of `requested`."""
        for key, clip in self.requested.items():
            if key not in self.failures:
                location = self.locations.get(key)
                yield dataclasses.replace(clip, location=location) if location else clip

    @property
    def num_clips(self) -> int:
        """Number of clips that have bytes."""
        return len(self.requested) - len(self.failures)


def fetch_all(
    clips: Mapping[str, Clip],
    options: FetchOptions,
    folder: Location,
    max_bytes: int,
    done: Callable[[Verdict | None], object],
    rules: OptOutRules | None = None,
) -> FetchedClips:
    """Fetch every remote clip; call `done` with its verdict, or None, after each. Opt-outs in headers are respected.

    `folder` belongs to the run: it holds downloads in progress, and the cache where the options name none. Raises
    OutputError where the cache cannot be used, and OSError where a disk is full or cannot be written to.
    """
    queues: dict[str, collections.deque[str]] = collections.defaultdict(collections.deque)
    for key, clip in clips.items():
        if is_remote(clip):
            queues[_find_host(clip.location)].append(key)
    if not queues:
        return FetchedClips(requested=clips, locations={}, failures={})
    try:
        cache = open_cache(options.cache or str(folder))
        with _make_download_folder(folder) as downloads_folder:
            fetcher = _Fetcher(clips, cache, downloads_folder, done)
            run_downloads(
                lambda downloads: fetcher.fetch_all(queues, downloads, options),
                options,
                max_bytes,
                rules or OptOutRules(),
            )
        if options.max_cache_bytes is not None:
            cache.trim(options.max_cache_bytes)
    except StoreError as error:
        raise OutputError(f"the cache {options.cache or folder} cannot be used: {error}") from error
    return FetchedClips(requested=clips, locations=fetcher.locations, failures=fetcher.failures)


@contextlib.contextmanager
def _make_download_folder(folder: Location) -> Iterator[Path]:
    """Yield an empty folder on disk: in the run's own folder, or a temporary one where that is in a store."""
    if not isinstance(folder, Path):
        with tempfile.TemporaryDirectory(prefix="pix2gif-") as temporary:
            yield Path(temporary)
        return
    downloads = folder / "arriving"
    shutil.rmtree(downloads, ignore_errors=True)
    downloads.mkdir(parents=True)
    yield downloads
    shutil.rmtree(downloads, ignore_errors=True)


def is_remote(clip: Clip) -> bool:
    """Return whether a clip's bytes are not on this machine's disks."""
    return is_remote_location(clip.location)


def run_downloads(
    work: "Callable[[Downloads], Coroutine[Any, Any, Result]]",
    options: FetchOptions,
    max_bytes: int,
    rules: OptOutRules | None = None,
) -> Result:
    """Run a coroutine that downloads in a new event loop; raises what it raises. By default, opt-outs are ignored."""
    # Imported here: most runs fetch nothing, and aiohttp takes a quarter of a second to import.
    from curation.fetch.download import Downloads
    from curation.fetch.http import open_client
    from curation.fetch.rate_limits import RateLimits

    async def run() -> Result:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(min(_MAX_THREADS, options.max_fetches)))
        limits = RateLimits(options)
        async with open_client(options, limits) as client:
            return await work(Downloads(client, limits, options, max_bytes, rules or OptOutRules(headers=False)))

    try:
        return asyncio.run(run())
    except BaseExceptionGroup as errors:
        # An error in one download stops all of them; the first one tells the reason.
        raise errors.exceptions[0] from errors


class _Fetcher:
    """Fetches clips into the cache and collects the results."""

    def __init__(
        self, clips: Mapping[str, Clip], cache: Cache, downloads_folder: Path, done: Callable[[Verdict | None], object]
    ) -> None:
        self.locations: dict[str, str] = {}
        self.failures: dict[str, tuple[Verdict, str]] = {}
        self._clips = clips
        self._cache = cache
        self._downloads_folder = downloads_folder
        self._done = done

    async def fetch_all(
        self, queues: Mapping[str, collections.deque[str]], downloads: "Downloads", options: FetchOptions
    ) -> None:
        """Fetch the clips of all queues, by key. Each host has its own queue, so a slow one delays no other."""
        async with asyncio.TaskGroup() as group:
            for host, queue in queues.items():
                num_tasks = options.fetches_per_host if host else options.max_fetches
                for _ in range(min(num_tasks, len(queue))):
                    group.create_task(self._process(queue, downloads))

    async def _process(self, queue: collections.deque[str], downloads: "Downloads") -> None:
        while queue:
            clip = self._clips[queue.popleft()]
            failure: tuple[Verdict, str] | None = None
            try:
                self.locations[clip.key] = await self._fetch(clip, downloads)
            except FetchError as error:
                failure = (Verdict.FETCH_FAILED, str(error))
            except TooManyBytesError as error:
                failure = (Verdict.TOO_LARGE, str(error))
            except OptedOutError as error:
                failure = (Verdict.OPTED_OUT, str(error))
            if failure:
                self.failures[clip.key] = failure
            self._done(failure and failure[0])

    async def _fetch(self, clip: Clip, downloads: "Downloads") -> str:
        if location := await asyncio.to_thread(self._cache.find, clip.location, downloads.rules):
            await downloads.check_robots(clip.location)
            return location
        path = self._downloads_folder / clip.key
        try:
            got = await download_any_form(clip.location, path, downloads)
            return await asyncio.to_thread(self._cache.add, clip.location, path, got.sha256, got.opt_out)
        finally:
            path.unlink(missing_ok=True)


def _find_host(location: str) -> str:
    """Return the host of a URL, or "" for a location without one, such as an object in a store."""
    try:
        parts = urllib.parse.urlsplit(location)
        return (parts.hostname or "") if parts.scheme.lower() in ("http", "https") else ""
    except ValueError:
        return ""
