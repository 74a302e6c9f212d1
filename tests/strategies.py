"""Hypothesis strategies of what flows: records, samples, selections, listings, GIF-like bytes."""

import string

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from curation.selection.pairs import SELECTION_SCHEMA
from shards.schema import IMAGE_MIME, SPLITS, Sample, SampleRecord

clip_keys = st.text(string.ascii_lowercase + string.digits + "_-", min_size=1, max_size=57)
"""All that the contract allows."""

captions = st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=60)
"""What may stand behind the TAB of a listing's line, tabs included."""

uris = st.text(st.characters(exclude_characters="\t\n\r", codec="utf-8"), min_size=1).filter(str.strip)
"""What may stand before it."""


@st.composite
def records(draw: st.DrawFn) -> SampleRecord:
    """A valid record of a sample."""
    all_captions = draw(st.lists(captions, min_size=1, max_size=3))
    source_index = draw(st.integers(0, 9_998))
    return SampleRecord(
        caption=draw(st.sampled_from(all_captions)),
        captions=tuple(all_captions),
        motion_px=draw(st.floats(0, 1e6, width=32)),
        source_index=source_index,
        target_index=draw(st.integers(source_index + 1, 9_999)),
        gap_ms=draw(st.integers(0, 2**31 - 1)),
        clip_key=draw(clip_keys),
        split=draw(st.sampled_from(SPLITS)),
        uri=draw(uris),
    )


@st.composite
def shard_samples(draw: st.DrawFn) -> list[Sample]:
    """The samples of one shard: distinct keys, one image format, any bytes for pictures."""
    image_format = draw(st.sampled_from(list(IMAGE_MIME)))
    picture = st.binary(max_size=1200)
    return [
        Sample(record=record, source=draw(picture), target=draw(picture), image_format=image_format)
        for record in draw(st.lists(records(), max_size=5, unique_by=lambda record: record.key))
    ]


@st.composite
def selections(draw: st.DrawFn) -> pa.Table:
    """Kept pairs of some clips of one split, up to 15 a clip, ordered as a selection is."""
    keys = sorted(draw(st.sets(clip_keys, max_size=12)))
    rows = []
    for key in keys:
        num_pairs = draw(st.integers(1, 15))
        rows += [(key, source, target) for source, target in zip(*np.triu_indices(6, k=1), strict=True)][:num_pairs]
    return selection_table(rows)


def selection_table(rows: list[tuple[str, int, int]]) -> pa.Table:
    """Make a selection of (clip_key, source_index, target_index)."""
    columns = zip(*((key, int(i), int(j), 100 * int(j - i), 2.0 + j - i, False) for key, i, j in rows), strict=True)
    return pa.table(list(columns) or [[]] * len(SELECTION_SCHEMA), schema=SELECTION_SCHEMA)


@st.composite
def gif_like_bytes(draw: st.DrawFn) -> bytes:
    """A GIF header and then blocks, sound or not, or no blocks at all."""
    header = draw(st.sampled_from([b"GIF87a", b"GIF89a"]))
    extension = st.builds(lambda label, body: b"!" + label + body, st.binary(min_size=1, max_size=1), st.binary())
    image = st.builds(lambda place, body: b"," + place + body, st.binary(min_size=9, max_size=9), st.binary())
    blocks = st.one_of(st.binary(), extension, image, st.just(b"\0"), st.just(b";"))
    return header + draw(st.binary(max_size=7)) + b"".join(draw(st.lists(blocks, max_size=8)))
