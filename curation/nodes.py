"""Before work begins on a cluster: has every node our code, our libraries and the same files? One sentence if not.

Nodes need the same installation, and in common what holds the GIFs and OUT: a filesystem, or an object store.
"""

import dataclasses
import hashlib
import platform
import uuid
from collections.abc import Iterable
from pathlib import Path

from curation.cluster import RayWorkers
from curation.errors import ClusterError
from curation.software import software_versions
from shards.atomic import write_atomically
from shards.errors import StoreError
from shards.location import Location

_CREDENTIALS = "give it the environment that this machine reaches the store by: credentials, region, endpoint"
_SHOWN_FILES = 16
"""GIFs that each node must see, spread over the listing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """What to look for."""

    token: Location
    """A file in OUT, written by the driver a moment ago."""
    gifs: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sight:
    """What a process finds where it runs."""

    software: dict[str, str]
    code: str
    """Digest of our own sources."""
    token: str | None
    missing: tuple[str, ...]
    """GIFs that are not there."""


def look_around(look: Look) -> Sight:
    """Say what there is, on the machine where this runs."""
    root = Path(__file__).resolve().parents[1]
    sources = sorted(path for room in ("curation", "shards") for path in (root / room).rglob("*.py"))
    try:
        token = look.token.read_text()
    except (OSError, StoreError):
        token = None
    return Sight(
        software={**software_versions(), "python": platform.python_version()},
        code=hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest(),
        token=token,
        missing=tuple(path for path in look.gifs if not Path(path).exists()),
    )


def check_nodes(workers: RayWorkers, work: Location, locations: Iterable[str]) -> None:
    """Compare every node with this machine. Raises ClusterError naming the first node that differs, and how."""
    paths = [location for location in locations if "://" not in location and Path(location).exists()]
    step = max(1, len(paths) // _SHOWN_FILES)
    look = Look(token=work / "token", gifs=tuple(paths[::step][:_SHOWN_FILES]))
    with write_atomically(look.token) as temporary:
        temporary.write_text(uuid.uuid4().hex)
    here = look_around(look)
    try:
        for node, there in workers.on_every_node(look_around, look):
            _compare(node, here, there, work.parent)
    finally:
        look.token.unlink()


def _compare(node: str, here: Sight, there: Sight, out: Location) -> None:
    for name in sorted(here.software):
        if here.software[name] != there.software.get(name):
            raise ClusterError(
                f"node {node} has {name} {there.software.get(name)}, this machine {here.software[name]}; the same "
                "versions must be installed on both, else the bytes would differ"
            )
    if here.code != there.code:
        raise ClusterError(f"node {node} has other sources of pix2gif than this machine; install the same ones there")
    if here.token != there.token:
        what = "put it on a filesystem that all nodes share" if isinstance(out, Path) else _CREDENTIALS
        raise ClusterError(f"node {node} does not see --out {out}; {what}")
    if there.missing:
        raise ClusterError(
            f"node {node} does not see {there.missing[0]}; put the GIFs on a filesystem that all nodes share, or name "
            "them by the addresses of an object store"
        )
