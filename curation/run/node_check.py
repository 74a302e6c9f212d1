"""On a cluster: has every node our code, our libraries and the same files? One sentence if not.

Nodes need the same installation, and in common what holds the GIFs, OUT and the cache: a filesystem, or an object
store. Those that are there are asked before work begins, hours of fetching included; on one that joins later, each
worker looks around before its first task.
"""

import contextlib
import dataclasses
import functools
import hashlib
import platform
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from curation.errors import ClusterError
from curation.run.versions import software_versions
from curation.run.workers import RayWorkers
from shards.atomic import write_atomically
from shards.errors import StoreError
from shards.location import Location

_CREDENTIALS = "give it the environment that this machine reaches the store by: credentials, region, endpoint"
_SHOWN_FILES = 16
"""GIFs that each node must see, spread over the listing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """What to look for."""

    tokens: tuple[tuple[str, Location], ...]
    """Files that the driver wrote a moment ago, each under the words that name its folder: `--out /data/out`."""
    gifs: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sight:
    """What a process finds where it runs."""

    software: dict[str, str]
    code: str
    """Digest of our own sources."""
    tokens: tuple[str | None, ...]
    """What the files hold; None for one that is not there."""
    missing: tuple[str, ...]
    """GIFs that are not there."""


def look_around(look: Look) -> Sight:
    """Say what there is, on the machine where this runs."""
    root = Path(__file__).resolve().parents[1]
    sources = sorted(path for room in ("curation", "shards") for path in (root / room).rglob("*.py"))
    return Sight(
        software={**software_versions(), "python": platform.python_version()},
        code=hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest(),
        tokens=tuple(_read(path) for _, path in look.tokens),
        missing=tuple(path for path in look.gifs if not Path(path).exists()),
    )


def _read(path: Location) -> str | None:
    try:
        return path.read_text()
    except (OSError, StoreError):
        return None


@contextlib.contextmanager
def watch_nodes(workers: RayWorkers, folders: Mapping[str, Location], locations: Iterable[str]) -> Iterator[None]:
    """Hold every node against this machine, now, and for as long as the block lasts each worker before its first task.

    `folders` must be seen by all, by the words that name them; of the GIFs at `locations`, those that lie on a disk.
    Raises ClusterError naming the first node that differs, and how, as may any task in the block.
    """
    paths = [location for location in locations if "://" not in location and Path(location).exists()]
    step = max(1, len(paths) // _SHOWN_FILES)
    tokens = tuple((name, folder / f"token-{uuid.uuid4().hex}") for name, folder in folders.items())
    look = Look(tokens=tokens, gifs=tuple(paths[::step][:_SHOWN_FILES]))
    try:
        for _, path in look.tokens:
            with write_atomically(path) as temporary:
                temporary.write_text(path.name)
        here = look_around(look)
        for node, there in workers.on_every_node(look_around, look):
            _compare(node, here, there, look)
        workers.before_first_task(functools.partial(_look_here, look, here))
        yield
    finally:
        for _, path in look.tokens:
            path.unlink(missing_ok=True)


def _look_here(look: Look, driver: Sight) -> None:
    _compare(socket.gethostname(), driver, look_around(look), look)


def _compare(node: str, here: Sight, there: Sight, look: Look) -> None:
    for name in sorted(here.software):
        if here.software[name] != there.software.get(name):
            raise ClusterError(
                f"node {node} has {name} {there.software.get(name)}, the driver {here.software[name]}; the same "
                "versions must be installed on both, else the bytes would differ"
            )
    if here.code != there.code:
        raise ClusterError(f"node {node} has other sources of pix2gif than the driver; install the same ones there")
    for (name, path), expected, found in zip(look.tokens, here.tokens, there.tokens, strict=True):
        if expected != found:
            what = "put it on a filesystem that all nodes share" if isinstance(path, Path) else _CREDENTIALS
            raise ClusterError(f"node {node} does not see {name}; {what}")
    if there.missing:
        raise ClusterError(
            f"node {node} does not see {there.missing[0]}; put the GIFs on a filesystem that all nodes share, or name "
            "them by the addresses of an object store"
        )
