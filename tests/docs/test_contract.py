"""The data set contract names every file, column, field and verdict in the code."""

import dataclasses

import pytest

from shards import schema
from shards.manifest import ListingEntry, Manifest, MotionHistogram, ShardEntry, SplitEntry
from tests.docs.helpers import ROOT

pytestmark = pytest.mark.docs


def test_contract_names_everything_in_the_code():
    text = (ROOT / "docs" / "dataset.md").read_text(encoding="utf-8")
    records = (schema.SampleRecord, Manifest, ListingEntry, SplitEntry, ShardEntry, MotionHistogram)
    names = {
        *(schema.MANIFEST, schema.CLIPS, schema.REPORT, schema.CARD, *schema.SPLITS, *schema.IMAGE_MIME),
        *(verdict.value for verdict in schema.Verdict),
        *schema.CLIPS_SCHEMA.names,
        *schema.FLOW_SCHEMA.names,
        *(field.name for record in records for field in dataclasses.fields(record)),
    }
    assert {name for name in names if name not in text} == set()
    assert f"version {schema.SCHEMA_VERSION}" in text
