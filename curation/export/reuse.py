"""Pictures of a finished data set -> those of another one: what lies ready is neither decoded nor encoded again.

A data set that is made of another one's flow table shows much the same frames of the same GIFs. Where both are encoded
alike, by the same software, the pictures are the same to the byte, so they are copied out of the shards. Not out of a
store: there, to ask for a picture takes longer than to make it.
"""

import collections
import contextlib
import dataclasses
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curation.config import CurationConfig
from curation.decode.probe import ProbedClip
from curation.errors import CurationError, SourceChangedError
from curation.export.dataset import FinishedDataset, read_finished
from curation.run.meanwhile import MOST_CHORES, Chore
from curation.run.progress import Progress
from curation.run.versions import software_versions
from curation.run.workers import Workers
from shards.errors import DatasetError
from shards.location import Location
from shards.members import walk_samples
from shards.schema import MANIFEST
from shards.writer import file_sha256

_SHARD_SCHEMA = pa.schema(
    [
        pa.field("clip_key", pa.dictionary(pa.int32(), pa.string())),
        pa.field("frame", pa.int32()),
        pa.field("offset", pa.int64()),
        pa.field("size", pa.int32()),
    ]
)
"""Where in one shard the pictures of its clips lie, each once."""
_DECISIVE = ("resolution", "image_format", "quality")


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """One encoded picture, in a shard."""

    path: Path
    offset: int
    size: int


Picture = tuple[str, int]
"""The key of a clip and the index of a frame."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexTask:
    """One shard, and what its bytes must hash to."""

    path: Path
    sha256: str


class ReadyPictures:
    """What lies ready, by clip."""

    def __init__(self, shards: Mapping[Path, pa.Table]) -> None:
        """Take the table of each shard, _SHARD_SCHEMA."""
        self._shards = shards
        self._holders: dict[str, list[Path]] = collections.defaultdict(list)
        for path, table in shards.items():
            for key in table["clip_key"].unique().to_pylist():
                self._holders[key].append(path)

    def of(self, clip_keys: Iterable[str]) -> dict[Picture, Span]:
        """Say where the pictures of some clips lie."""
        found = {}
        for key in clip_keys:
            for path in self._holders.get(key, ()):
                table = self._shards[path]
                rows = table.filter(pc.equal(table["clip_key"], key)).select(["frame", "offset", "size"])
                for frame, offset, size in zip(*rows.to_pydict().values(), strict=True):
                    found[key, frame] = Span(path, offset, size)
        return found


class ReadyShards:
    """The shards of the data set whose flow table is used again; none, where the table stands alone."""

    def __init__(self, flow: Location | None, config: CurationConfig) -> None:
        self._out = flow.parent if isinstance(flow, Path) else None
        self._config = config
        self._indexed: dict[Path, pa.Table] = {}

    def chores(self) -> list[Chore]:
        """Offer shards to be indexed before there are workers."""
        tasks = self._tasks()[:MOST_CHORES]
        return [Chore(function=index_shard, task=task, enter=self._enter) for task in tasks]

    def _enter(self, indexed: tuple[Path, pa.Table]) -> None:
        path, table = indexed
        self._indexed[path] = table

    def find(self, probed: Mapping[str, ProbedClip], workers: Workers, progress: Progress) -> ReadyPictures:
        """Find what lies ready.

        Only clips whose GIFs have the same bytes now as they had then count, and shards that have the bytes which
        their manifest tells.
        """
        if self._dataset is None:
            return ReadyPictures({})
        rows = self._dataset.own_clips.select(["clip_key", "sha256"])
        then = zip(rows["clip_key"].to_pylist(), rows["sha256"].to_pylist(), strict=True)
        same = pa.array([key for key, sha256 in then if key in probed and probed[key].sha256 == sha256], pa.string())
        tasks = self._tasks()
        with progress.stage("reuse", len(tasks), "shards", num_before=len(self._indexed)) as bar:
            for indexed in workers.map(index_shard, [task for task in tasks if task.path not in self._indexed]):
                self._enter(indexed)
                bar.update(1)
            return ReadyPictures(
                {
                    path: table.filter(pc.is_in(table["clip_key"].cast(pa.string()), value_set=same))
                    for path, table in self._indexed.items()
                }
            )

    def _tasks(self) -> list[IndexTask]:
        if self._out is None or self._dataset is None:
            return []
        splits = self._dataset.manifest.splits.items()
        shards = ((self._out / split / shard.name, shard.sha256) for split, entry in splits for shard in entry.shards)
        return [IndexTask(path=path, sha256=sha256) for path, sha256 in shards]

    @functools.cached_property
    def _dataset(self) -> FinishedDataset | None:
        """The data set around the flow table, if there is one and its pictures are what this run would make."""
        if self._out is None or not (self._out / MANIFEST).is_file():
            return None
        try:
            dataset = read_finished(self._out)
            alike = all(getattr(dataset.config({}), name) == getattr(self._config, name) for name in _DECISIVE)
        except (DatasetError, CurationError):
            return None  # Its flow table may be sound all the same.
        return dataset if alike and dataset.manifest.software == software_versions() else None


def index_shard(task: IndexTask) -> tuple[Path, pa.Table]:
    """Find a shard's pictures, _SHARD_SCHEMA; none in a shard that is gone or damaged."""
    places: dict[tuple[str, int], tuple[int, int]] = {}
    # A shard that is gone has no hash; the file is read twice, as a copy of it in memory takes longer.
    with contextlib.suppress(OSError):
        if file_sha256(task.path) == task.sha256:
            with task.path.open("rb") as file:
                for sample in walk_samples(file):
                    clip_key, source, target = sample.key.rsplit("_", 2)
                    places[clip_key, int(source)] = (sample.source.offset, sample.source.size)
                    places[clip_key, int(target)] = (sample.target.offset, sample.target.size)
    columns = {
        "clip_key": pa.array([clip_key for clip_key, _ in places], pa.string()).dictionary_encode(),
        "frame": [frame for _, frame in places],
        "offset": [offset for offset, _ in places.values()],
        "size": [size for _, size in places.values()],
    }
    return task.path, pa.table(columns, schema=_SHARD_SCHEMA)


def read_spans(spans: Mapping[Picture, Span]) -> dict[Picture, bytes]:
    """Read pictures, encoded. Raises SourceChangedError where one is not there any more."""
    by_path = collections.defaultdict(list)
    for picture, span in spans.items():
        by_path[span.path].append((span.offset, span.size, picture))
    pictures = {}
    for path, wanted in by_path.items():
        try:
            with path.open("rb") as file:
                for offset, size, picture in sorted(wanted):
                    file.seek(offset)
                    pictures[picture] = file.read(size)
                    if len(pictures[picture]) < size:
                        raise EOFError("the file has become shorter")
        except (OSError, EOFError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SourceChangedError(
                f"{path}: its pictures were to be copied and cannot be read any more: {reason}; the same command goes "
                "on, and decodes what is not there"
            ) from error
    return pictures
