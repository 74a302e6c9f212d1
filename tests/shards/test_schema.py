"""Names, types and fields that the contract promises to other tools."""

import dataclasses
import json

import pytest
from hypothesis import given

from shards.schema import CLIPS_SCHEMA, FLOW_SCHEMA, SampleRecord, Verdict, sample_key
from tests.strategies import records

RECORD = SampleRecord(
    caption="a cat jumps.",
    captions=("a cat jumps.", "ein Kätzchen springt."),
    motion_px=2.5,
    source_index=3,
    target_index=12,
    gap_ms=900,
    clip_key="cat-0123456789abcdef",
    split="train",
    uri="https://example.org/cat.gif",
)


def test_sample_key_has_clip_source_and_target() -> None:
    assert sample_key("cat", 3, 12) == "cat_0003_0012"
    assert RECORD.key == "cat-0123456789abcdef_0003_0012"


def test_json_member_has_the_promised_fields_in_order() -> None:
    assert list(json.loads(RECORD.to_json())) == [
        "caption",
        "captions",
        "motion_px",
        "source_index",
        "target_index",
        "gap_ms",
        "clip_key",
        "split",
        "uri",
    ]


def test_json_member_is_readable_utf8() -> None:
    assert "ein Kätzchen springt." in RECORD.to_json().decode("utf-8")


@given(records())
def test_record_is_read_as_written(record: SampleRecord) -> None:
    assert SampleRecord.from_json(record.to_json()) == record


def test_unknown_fields_are_ignored() -> None:
    fields = json.loads(RECORD.to_json()) | {"mood": "cheerful"}
    assert SampleRecord.from_json(json.dumps(fields).encode()) == RECORD


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(SampleRecord)])
def test_record_without_a_field_is_refused(name: str) -> None:
    fields = json.loads(RECORD.to_json())
    del fields[name]
    with pytest.raises(ValueError, match=f"lacks {name}"):
        SampleRecord.from_json(json.dumps(fields).encode())


def test_verdicts_are_those_of_the_contract() -> None:
    assert [verdict.value for verdict in Verdict] == [
        "kept",
        "merged",
        "duplicate",
        "fetch_failed",
        "not_a_gif",
        "still",
        "undecodable",
        "too_large",
        "no_pair_in_range",
        "crashed",
        "timed_out",
        "opted_out",
    ]


def test_tables_have_the_promised_columns_and_types() -> None:
    assert {field.name: str(field.type) for field in CLIPS_SCHEMA} == {
        "row": "int64",
        "uri": "string",
        "caption": "string",
        "clip_key": "string",
        "split": "string",
        "verdict": "string",
        "detail": "string",
        "sha256": "string",
        "width": "int32",
        "height": "int32",
        "num_frames": "int32",
        "num_pairs": "int64",
        "num_in_range": "int64",
        "num_kept": "int64",
        "duplicate_of": "string",
        "duplicate_kind": "string",
        "format": "string",
    }
    assert [field.name for field in CLIPS_SCHEMA if field.nullable] == [
        "detail",
        "sha256",
        "width",
        "height",
        "num_frames",
        "duplicate_of",
        "duplicate_kind",
        "format",
    ]
    assert {field.name: str(field.type) for field in FLOW_SCHEMA} == {
        "clip_key": "dictionary<values=string, indices=int32, ordered=0>",
        "source_index": "int32",
        "target_index": "int32",
        "gap_ms": "int64",
        "motion_px": "float",
        "tracked_fraction": "float",
        "across_cut": "bool",
    }
