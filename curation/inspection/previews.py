"""Shards -> one Parquet file of small pictures, for FiftyOne, Spotlight, the hub's viewer and notebooks."""

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from curation.batches import in_batches
from curation.run.progress import Progress
from shards.manifest import Manifest
from shards.pictures import SHARD_FORMATS
from shards.reader import read_shard
from shards.schema import Sample
from shards.storage.atomic import write_atomically
from shards.storage.location import Location

SIDE_PX = 128
_BLINK_MS = 400
_QUALITY, _EFFORT = 80, 1
"""Of WebP; more effort makes smaller files in more time."""
_ROWS_PER_GROUP = 500
_PICTURE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
_PICTURES = ("source", "target", "blink")
_COLUMNS: dict[str, pa.DataType] = {
    "key": pa.string(),
    "split": pa.string(),
    "clip_key": pa.string(),
    "uri": pa.string(),
    "caption": pa.string(),
    "motion_px": pa.float32(),
    "gap_ms": pa.int64(),
    "source_index": pa.int32(),
    "target_index": pa.int32(),
    **dict.fromkeys(_PICTURES, _PICTURE),
}


def _make_schema() -> pa.Schema:
    """Return the columns, with what the Hugging Face libraries need to know that three of them are pictures."""
    features = {
        name: {"_type": "Image"} if name in _PICTURES else {"dtype": str(kind), "_type": "Value"}
        for name, kind in _COLUMNS.items()
    }
    features["motion_px"]["dtype"] = "float32"  # Arrow's name is "float".
    return pa.schema(_COLUMNS, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def export_previews(out: Location, manifest: Manifest, path: Path, progress: Progress) -> int:
    """Write a row for every sample, with its source, its target and both in turn as WebP; return the number of rows.

    Raises DatasetError if a shard is damaged.
    """
    num_samples = sum(entry.num_samples for entry in manifest.splits.values())
    schema, num_rows = _make_schema(), 0
    with (
        ThreadPoolExecutor() as threads,
        progress.stage("previews", num_samples, "samples") as bar,
        write_atomically(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="none") as file,  # WebP is compressed already.
    ):
        for samples in in_batches(_read_samples(out, manifest), _ROWS_PER_GROUP):
            rows = list(threads.map(_make_row, samples))
            file.write_table(pa.Table.from_pylist(rows, schema=schema))
            num_rows += len(rows)
            bar.update(len(rows))
    return num_rows


def _read_samples(out: Location, manifest: Manifest) -> Iterator[Sample]:
    for split, entry in manifest.splits.items():
        for shard in entry.shards:
            yield from read_shard(out / split / shard.name)


def _make_row(sample: Sample) -> dict[str, Any]:
    record = sample.record
    frames = [_reduce(sample.source), _reduce(sample.target)]
    pictures = {"source": _encode(frames[:1]), "target": _encode(frames[1:]), "blink": _encode(frames)}
    fields = {name: getattr(record, name) for name in _COLUMNS if name not in _PICTURES}
    return fields | {name: {"bytes": data, "path": f"{record.key}.{name}.webp"} for name, data in pictures.items()}


def _reduce(encoded: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(encoded), formats=SHARD_FORMATS).convert("RGB")
    picture.thumbnail((SIDE_PX, SIDE_PX))
    return picture


def _encode(frames: list[Image.Image]) -> bytes:
    """Encode one frame as a still WebP, several as an animated one that loops."""
    file = io.BytesIO()
    options: dict[str, Any] = {"quality": _QUALITY, "method": _EFFORT}
    if len(frames) > 1:
        options |= {"save_all": True, "append_images": frames[1:], "duration": _BLINK_MS, "loop": 0}
    frames[0].save(file, "WEBP", **options)
    return file.getvalue()
