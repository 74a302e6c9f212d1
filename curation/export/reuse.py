"""Copy encoded pictures from the data set whose flow table is reused, instead of decoding and encoding them again.

The new data set shows many of the same frames of the same GIFs. With the same encoding parameters and software their
pictures have the same bytes. Only on disk: a request for a picture in an object store takes longer than encoding it.
"""

import collections
import contextlib
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curation.config import CurationConfig
from curation.decode.probe import ProbedClip
from curation.errors import CurationError, SourceChangedError
from curation.export.dataset import FinishedDataset, read_finished
from curation.run.context import Run
from curation.run.versions import software_versions
from shards.errors import DatasetError
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
_ENCODING_FIELDS = ("resolution", "image_format", "quality")


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


class ReusablePictures:
    """Encoded pictures that can be copied, by clip."""

    def __init__(self, shards: Mapping[Path, pa.Table]) -> None:
        """Take the index of each shard, _SHARD_SCHEMA."""
        self._shards = shards
        self._paths_of: dict[str, list[Path]] = collections.defaultdict(list)
        for path, table in shards.items():
            for key in table["clip_key"].unique().to_pylist():
                self._paths_of[key].append(path)

    def of(self, clip_keys: Iterable[str]) -> dict[Picture, Span]:
        """Return where the pictures of some clips are."""
        spans = {}
        for key in clip_keys:
            for path in self._paths_of.get(key, ()):
                table = self._shards[path]
                rows = table.filter(pc.equal(table["clip_key"], key)).select(["frame", "offset", "size"])
                for frame, offset, size in zip(*rows.to_pydict().values(), strict=True):
                    spans[key, frame] = Span(path, offset, size)
        return spans


def find_reusable_pictures(run: Run, probed: Mapping[str, ProbedClip]) -> ReusablePictures:
    """Index the shards of the data set that --flow belongs to.

    A picture can be reused if the clip's GIF has the same bytes as then, and the shard the hash of its manifest.
    """
    out = run.options.flow.parent if isinstance(run.options.flow, Path) else None
    dataset = _read_dataset(out, run.config) if out else None
    if out is None or dataset is None:
        return ReusablePictures({})
    rows = dataset.own_clips.select(["clip_key", "sha256"])
    hashes = zip(rows["clip_key"].to_pylist(), rows["sha256"].to_pylist(), strict=True)
    unchanged = pa.array([key for key, sha256 in hashes if key in probed and probed[key].sha256 == sha256], pa.string())
    tasks = [
        IndexTask(path=out / split / shard.name, sha256=shard.sha256)
        for split, entry in dataset.manifest.splits.items()
        for shard in entry.shards
    ]
    shards = {}
    with run.progress.stage("reuse", len(tasks), "shards") as bar:
        for path, table in run.workers.map(index_shard, tasks):
            shards[path] = table.filter(pc.is_in(table["clip_key"].cast(pa.string()), value_set=unchanged))
            bar.update(1)
    return ReusablePictures(shards)


def _read_dataset(out: Path, config: CurationConfig) -> FinishedDataset | None:
    """Return the data set in a folder, if there is one and its pictures have the bytes that this run would make."""
    if not (out / MANIFEST).is_file():
        return None
    try:
        dataset = read_finished(out)
        is_alike = all(getattr(dataset.config({}), name) == getattr(config, name) for name in _ENCODING_FIELDS)
    except (DatasetError, CurationError):
        return None  # Its flow table may be intact all the same.
    return dataset if is_alike and dataset.manifest.software == software_versions() else None


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
