"""Names, types and schemas of the files of a data set (docs/dataset.md)."""

import dataclasses
import json
import re
from enum import StrEnum
from typing import Literal

import pyarrow as pa

from shards.json_fields import parse_fields

SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, 2)
"""Version 1 has int32 for `gap_ms`, and no hashes of the files besides the shards in its manifest."""

MANIFEST = "dataset.json"
CLIPS = "clips.parquet"
FLOW = "flow"
REPORT = "report.html"
CARD = "README.md"
CARD_MARKER = (
    "<!-- Written by pix2gif-curate, which writes it anew; take this line out to keep what you write here. -->"
)
PART_DIGITS = 32
"""Digits of its own SHA-256 that name a part of the flow table: flow/part-DIGITS.parquet."""
SPLITS = ("train", "val", "test")

ImageFormat = Literal["jpg", "png", "webp"]
IMAGE_MIME = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}

MAX_FRAME_INDEX = 2**31 - 1
MAX_RECORD_BYTES = 16 * 2**20
"""More than a record needs for all captions that a clip may have."""
_CLIP_KEY = re.compile(r"[a-z0-9_-]{1,64}")


class Verdict(StrEnum):
    """The outcome of a listing row. Every row has exactly one."""

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
    OPTED_OUT = "opted_out"


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
        pa.field("format", pa.string()),
    ]
)
"""Columns of clips.parquet: one row for every listing row, in the same order.

Columns are only ever appended, and are nullable if the schema version stays the same. Data sets that were written
before lack them: read tables through `add_missing_columns`.
"""

ADDED_COLUMNS = ("duplicate_kind", "format")
"""Columns that some data sets of the present schema version lack."""

FLOW_SCHEMA = pa.schema(
    [
        pa.field("clip_key", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("source_index", pa.int32(), nullable=False),
        pa.field("target_index", pa.int32(), nullable=False),
        pa.field("gap_ms", pa.int64(), nullable=False),
        pa.field("motion_px", pa.float32(), nullable=False),
        pa.field("tracked_fraction", pa.float32(), nullable=False),
        pa.field("across_cut", pa.bool_(), nullable=False),
    ]
)
"""Columns of the flow table: one row for every measured frame pair, source before target."""


def add_missing_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Append those of ADDED_COLUMNS that are in the schema but not in the table, filled with nulls."""
    for name in ADDED_COLUMNS:
        if name in schema.names and name not in table.column_names:
            field = schema.field(name)
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table


def sample_key(clip_key: str, source_index: int, target_index: int) -> str:
    """Return the key of a sample in its shard; its members are KEY.json, KEY.source.jpg and KEY.target.jpg."""
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
    """Milliseconds from the start of the source frame to that of the target, by the GIF's delays."""
    clip_key: str
    split: str
    uri: str

    @property
    def key(self) -> str:
        """The sample's key in its shard."""
        return sample_key(self.clip_key, self.source_index, self.target_index)

    def to_json(self) -> bytes:
        """Return JSON with the fields in a fixed order, so that equal records give equal bytes."""
        return json.dumps(vars(self), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "SampleRecord":
        """Parse JSON. Unknown fields, which a later version may add, are ignored. Raises ValueError."""
        fields = parse_fields(data, MAX_RECORD_BYTES)
        source_index = fields.count("source_index", most=MAX_FRAME_INDEX - 1)
        target_index = fields.count("target_index", most=MAX_FRAME_INDEX)
        if source_index >= target_index:
            raise ValueError(f"source_index {source_index} is not before target_index {target_index}")
        return cls(
            caption=fields.text("caption"),
            captions=fields.texts("captions"),
            motion_px=fields.number("motion_px"),
            source_index=source_index,
            target_index=target_index,
            gap_ms=fields.count("gap_ms"),
            clip_key=fields.matching("clip_key", _CLIP_KEY, "[a-z0-9_-], up to 64 characters,"),
            split=fields.choice("split", SPLITS),
            uri=fields.text("uri"),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A sample of a shard: a frame pair, its pictures still encoded."""

    record: SampleRecord
    source: bytes
    """The encoded picture of the source frame."""
    target: bytes
    """The encoded picture of the target frame."""
    image_format: str
    """Extension of both pictures: jpg, png or webp."""
