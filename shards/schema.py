"""Names, types and schemas of everything that lies in a data set (docs/dataset.md)."""

import dataclasses
import json
from enum import StrEnum
from typing import Literal

import pyarrow as pa

SCHEMA_VERSION = 1

MANIFEST = "dataset.json"
CLIPS = "clips.parquet"
FLOW = "flow"
REPORT = "report.html"
CARD = "README.md"
PART_DIGITS = 32
"""A part of the flow table is named by so many digits of its own SHA-256: flow/part-DIGITS.parquet."""
SPLITS = ("train", "val", "test")

ImageFormat = Literal["jpg", "png", "webp"]
IMAGE_MIME = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


class Verdict(StrEnum):
    """What became of a row of the listing. Every row has exactly one."""

    KEPT = "kept"
    MERGED = "merged"
    DUPLICATE = "duplicate"
    FETCH_FAILED = "fetch_failed"
    NOT_A_GIF = "not_a_gif"
    STILL = "still"
    UNDECODABLE = "undecodable"
    TOO_LARGE = "too_large"
    NO_PAIR_IN_RANGE = "no_pair_in_range"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"


CLIPS_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("clip_key", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("num_frames", pa.int32()),
        pa.field("num_pairs", pa.int64(), nullable=False),
        pa.field("num_in_range", pa.int64(), nullable=False),
        pa.field("num_kept", pa.int64(), nullable=False),
        pa.field("duplicate_of", pa.string()),
        pa.field("duplicate_kind", pa.string()),
    ]
)
"""One row for every row of the listing, in its order.

Columns are only ever appended, and are nullable if the schema version stays the same. Data sets that were written
before lack them: read tables through `add_missing_columns`.
"""

ADDED_COLUMNS = ("duplicate_kind",)
"""Columns that some data sets of the present schema version lack."""

FLOW_SCHEMA = pa.schema(
    [
        pa.field("clip_key", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("source_index", pa.int32(), nullable=False),
        pa.field("target_index", pa.int32(), nullable=False),
        pa.field("gap_ms", pa.int32(), nullable=False),
        pa.field("motion_px", pa.float32(), nullable=False),
        pa.field("tracked_fraction", pa.float32(), nullable=False),
        pa.field("across_cut", pa.bool_(), nullable=False),
    ]
)
"""One row for every measured frame pair, source before target."""


def add_missing_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Append those of ADDED_COLUMNS that are in the schema but not in the table, filled with nulls."""
    for name in ADDED_COLUMNS:
        if name in schema.names and name not in table.column_names:
            field = schema.field(name)
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table


def sample_key(clip_key: str, source_index: int, target_index: int) -> str:
    """Name a sample in its shard; members are KEY.json, KEY.source.jpg, KEY.target.jpg."""
    return f"{clip_key}_{source_index:04d}_{target_index:04d}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleRecord:
    """The JSON member of a sample: one frame pair of one clip."""

    caption: str
    """One of the clip's captions, chosen by seed and key."""
    captions: tuple[str, ...]
    """All captions of the clip, in the listing's order."""
    motion_px: float
    """Mean tracked displacement from source to target, in pixels at the run's resolution."""
    source_index: int
    target_index: int
    gap_ms: int
    """From the source's start to the target's, by the GIF's own delays."""
    clip_key: str
    split: str
    uri: str

    @property
    def key(self) -> str:
        """The sample's name in its shard."""
        return sample_key(self.clip_key, self.source_index, self.target_index)

    def to_json(self) -> bytes:
        """Serialise with a fixed order of fields, so that equal records are equal bytes."""
        return json.dumps(vars(self), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "SampleRecord":
        """Parse; fields that a later version added are passed over. Raises KeyError for one that is missing."""
        fields = json.loads(data)
        values = {field.name: fields[field.name] for field in dataclasses.fields(cls)}
        return cls(**{**values, "captions": tuple(values["captions"])})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One record of a shard: a frame pair, its pictures still encoded."""

    record: SampleRecord
    source: bytes
    """The source frame, an encoded picture."""
    target: bytes
    """The target frame, an encoded picture."""
    image_format: str
    """Extension of both pictures: jpg, png or webp."""
