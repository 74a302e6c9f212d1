"""Check that every node of a cluster has the driver's software and sees its files.

Nodes share the storage of the GIFs, OUT and the cache: a filesystem or an object store. The nodes that are there are
checked before hours of fetching. Later ones are checked by each worker before its first task.
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

import curation
import shards
from curation.archives.location import find_file
from curation.errors import ClusterError
from curation.run.versions import software_versions
from curation.run.workers import RayWorkers
from shards.errors import StoreError
from shards.storage.atomic import write_atomically
from shards.storage.location import Location

_CREDENTIALS = "give it the environment that this machine reaches the store by: credentials, region, endpoint"
_MAX_GIFS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class SharedFiles:
    """Files that every node must see."""

    markers: tuple[tuple[str, Location], ...]
    """Files that the driver has just written, each with the option that names its folder, `--out /data/out`."""
    gifs: tuple[str, ...]
    """A sample of the listing's GIFs on disk."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeState:
    """Software of a node, and the shared files as it sees them."""

    software: dict[str, str]
    """Versions by name."""
    code: str
    """SHA-256 of the source files of pix2gif."""
    markers: tuple[str | None, ...]
    """Contents of the marker files; None for one that cannot be read."""
    missing_gifs: tuple[str, ...]


def read_node_state(files: SharedFiles) -> NodeState:
    """Return the state of the machine that this runs on."""
    folders = [Path(package.__path__[0]) for package in (curation, shards)]
    sources = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return NodeState(
        software={**software_versions(), "python": platform.python_version()},
        code=hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest(),
        markers=tuple(_read_marker(path) for _, path in files.markers),
        missing_gifs=tuple(path for path in files.gifs if not Path(path).exists()),
    )


def _read_marker(path: Location) -> str | None:
    try:
        return path.read_text()
    except (OSError, StoreError):
        return None


@contextlib.contextmanager
def check_nodes(workers: RayWorkers, folders: Mapping[str, Location], locations: Iterable[str]) -> Iterator[None]:
    """Compare every node with this machine now, and each worker before its first task while the block runs.

    Every node must see the `folders`, by the option that names each, and the GIFs among `locations` that are on disk.
    Raises ClusterError for the first node that differs; so may any task in the block.
    """
    on_disk = map(find_file, locations)
    paths = [name for name in on_disk if name is not None and Path(name).exists()]
    step = max(1, len(paths) // _MAX_GIFS)
    markers = tuple((option, folder / f"marker-{uuid.uuid4().hex}") for option, folder in folders.items())
    files = SharedFiles(markers=markers, gifs=tuple(paths[::step][:_MAX_GIFS]))
    try:
        for _, path in files.markers:
            with write_atomically(path) as temporary:
                temporary.write_text(path.name)
        driver = read_node_state(files)
        for node, state in workers.on_every_node(read_node_state, files):
            compare_node(node, driver, state, files)
        workers.before_first_task(functools.partial(_check_this_node, driver, files))
        yield
    finally:
        for _, path in files.markers:
            path.unlink(missing_ok=True)


def _check_this_node(driver: NodeState, files: SharedFiles) -> None:
    compare_node(socket.gethostname(), driver, read_node_state(files), files)


def compare_node(node: str, driver: NodeState, state: NodeState, files: SharedFiles) -> None:
    """Raise ClusterError if the state of a node differs from the driver's. `node` is its address or name."""
    for name in sorted(driver.software):
        if driver.software[name] != state.software.get(name):
            raise ClusterError(
                f"node {node} has {name} {state.software.get(name)}, the driver {driver.software[name]}; install the "
                "same versions on both, because others may write other bytes"
            )
    if driver.code != state.code:
        raise ClusterError(f"node {node} has other source files of pix2gif than the driver; install the same there")
    for (option, path), expected, actual in zip(files.markers, driver.markers, state.markers, strict=True):
        if expected != actual:
            remedy = "put it on a filesystem that all nodes share" if isinstance(path, Path) else _CREDENTIALS
            raise ClusterError(f"node {node} does not see {option}; {remedy}")
    if state.missing_gifs:
        raise ClusterError(
            f"node {node} does not see {state.missing_gifs[0]}; put the GIFs on a filesystem that all nodes share, or "
            "list them by object store URLs"
        )
