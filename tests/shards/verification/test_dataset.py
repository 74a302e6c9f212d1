"""A finished data set is valid; after any kind of damage it is not, and the error names the file at fault."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from shards.errors import DatasetError
from shards.files import describe_files
from shards.manifest import digest, read_manifest, write_manifest
from shards.reader import read_shard
from shards.schema import ADDED_COLUMNS, CARD, CLIPS, FLOW, MANIFEST, PART_DIGITS, REPORT, Sample
from shards.verification.dataset import verify_dataset
from shards.writer import file_sha256, write_shard

Damage = Callable[[Path], object]
SHARD = "train/00000.tar"


@pytest.fixture
def out(dataset: Path, tmp_path: Path) -> Path:
    """A copy of the finished data set, to be damaged."""
    return Path(shutil.copytree(dataset, tmp_path / "out"))


def test_finished_data_set_is_valid(dataset: Path) -> None:
    proof = verify_dataset(dataset)
    assert (proof.num_rows, proof.num_samples, proof.num_shards) == (15, 120, 2)
    assert proof.num_pairs == sum(pq.read_metadata(path).num_rows for path in (dataset / FLOW).iterdir())
    assert str(proof) == f"{dataset} is valid: 15 rows, {proof.num_pairs:,} measured pairs, 120 samples in 2 shards."


def test_data_set_without_added_columns_is_valid(out: Path) -> None:
    clips = pq.read_table(out / CLIPS)
    pq.write_table(clips.drop_columns(list(ADDED_COLUMNS)), out / CLIPS)
    update_hashes(out)
    verify_dataset(out)


def update_hashes(out: Path) -> None:
    """Write the hashes of the present files to the manifest, as one would who hides a change."""
    for path in (out / FLOW).iterdir():
        path.rename(path.with_name(f"part-{file_sha256(path)[:PART_DIGITS]}.parquet"))
    write_manifest(out, dataclasses.replace(read_manifest(out), files=describe_files(out, REPORT, CARD)))


def flip(path: Path, at: int) -> None:
    """Flip one bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def edit_manifest(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Edit the manifest and update its digest."""

    def damage(out: Path) -> None:
        fields = json.loads((out / MANIFEST).read_text())
        change(fields)
        fields["config_digest"] = digest(fields["config"])
        (out / MANIFEST).write_text(json.dumps(fields))

    return damage


def edit_table(name: str, change: Callable[[pa.Table], pa.Table]) -> Damage:
    """Rewrite a Parquet file with the same schema."""

    def damage(out: Path) -> None:
        path = sorted(out.glob(name))[0]
        table = pq.read_table(path)
        pq.write_table(change(table).cast(table.schema), path)
        update_hashes(out)

    return damage


def edit_samples(change: Callable[[list[Sample]], list[Sample]]) -> Damage:
    """Rewrite the first shard and its manifest entry."""

    def damage(out: Path) -> None:
        entry = write_shard(out / SHARD, change(list(read_shard(out / SHARD))))
        edit_manifest(lambda fields: fields["splits"]["train"]["shards"].__setitem__(0, dataclasses.asdict(entry)))(out)

    return damage


def with_value(table: pa.Table, row: int, **values: object) -> pa.Table:
    """Change some values of one row."""
    rows = table.to_pylist()
    rows[row] |= values
    return pa.Table.from_pylist(rows, schema=table.schema)


def with_record(samples: list[Sample], **values: Any) -> list[Sample]:
    """Change some fields of the first sample's record."""
    record = dataclasses.replace(samples[0].record, **values)
    return [dataclasses.replace(samples[0], record=record), *samples[1:]]


def change_kept_motion(out: Path) -> None:
    """Change the motion of a kept pair in the flow table, within the range."""
    record = next(read_shard(out / SHARD)).record
    for path in (out / FLOW).iterdir():
        table = pq.read_table(path)
        at = pc.and_(
            pc.equal(table["clip_key"].cast(pa.string()), record.clip_key),
            pc.and_(
                pc.equal(table["source_index"], record.source_index),
                pc.equal(table["target_index"], record.target_index),
            ),
        )
        moved = pa.array([11.0 if record.motion_px < 10 else 3.0] * len(table), pa.float32())
        motion = pc.if_else(at, moved, table["motion_px"])
        pq.write_table(table.set_column(4, table.schema.field(4), motion), path)
    update_hashes(out)


DAMAGES: dict[str, tuple[str, Damage]] = {
    "no manifest": (MANIFEST, lambda out: (out / MANIFEST).unlink()),
    "flipped byte in a picture": (SHARD, lambda out: flip(out / SHARD, 5_000)),
    "flipped byte in the last shard": ("val/00000.tar", lambda out: flip(out / "val/00000.tar", 3)),
    "shard deleted": (SHARD, lambda out: (out / SHARD).unlink()),
    "shard cut short": (SHARD, lambda out: (out / SHARD).write_bytes((out / SHARD).read_bytes()[:-512])),
    "stray shard": ("train/00001.tar", lambda out: shutil.copy(out / SHARD, out / "train/00001.tar")),
    "stray shard of a split that is not there": (
        "test/00000.tar",
        lambda out: shutil.copytree(out / "train", out / "test"),
    ),
    "shard renamed": ("train", lambda out: (out / SHARD).rename(out / "train/00001.tar")),
    "count of samples edited": ("train", edit_manifest(lambda f: f["splits"]["train"].update(num_samples=109))),
    "count of clips edited": ("train", edit_manifest(lambda f: f["splits"]["train"].update(num_clips=12))),
    "count of a shard edited": (
        SHARD,
        edit_manifest(lambda f: f["splits"]["train"]["shards"][0].update(num_samples=1)),
    ),
    "histogram edited": (
        "train",
        edit_manifest(lambda f: f["splits"]["train"]["motion_histogram"]["counts"].reverse()),
    ),
    "gap in the numbers": (
        "train",
        edit_manifest(lambda f: f["splits"]["train"]["shards"][0].update(name="00001.tar")),
    ),
    "split dropped from the manifest": ("val/00000.tar", edit_manifest(lambda f: f["splits"].pop("val"))),
    "rows edited": (CLIPS, edit_manifest(lambda f: f["listing"].update(num_rows=16))),
    "verdicts edited": (CLIPS, edit_manifest(lambda f: f["verdicts"].update(kept=11, still=2))),
    "range edited": (SHARD, edit_manifest(lambda f: f["config"].update(max_motion=10.0))),
    "range removed": (MANIFEST, edit_manifest(lambda f: f["config"].pop("max_motion"))),
    "row dropped": (CLIPS, edit_table(CLIPS, lambda table: table.slice(0, 14))),
    "rows swapped": (CLIPS, edit_table(CLIPS, lambda table: table.take([1, 0, *range(2, 15)]))),
    "verdict changed": (CLIPS, edit_table(CLIPS, lambda table: with_value(table, 0, verdict="no_pair_in_range"))),
    "verdict unknown": (CLIPS, edit_table(CLIPS, lambda table: with_value(table, 0, verdict="liked"))),
    "detail removed": (CLIPS, edit_table(CLIPS, lambda table: with_value(table, 13, detail=None))),
    "split changed": (SHARD, edit_table(CLIPS, lambda table: with_value(table, 0, split="test"))),
    "kept count changed": (CLIPS, edit_table(CLIPS, lambda table: with_value(table, 0, num_kept=9))),
    "in-range count changed": (CLIPS, edit_table(CLIPS, lambda table: with_value(table, 0, num_in_range=9))),
    "frames changed": (FLOW, edit_table(CLIPS, lambda table: with_value(table, 0, num_frames=99))),
    "clips deleted": (CLIPS, lambda out: (out / CLIPS).unlink()),
    "clips torn": (CLIPS, lambda out: (out / CLIPS).write_bytes((out / CLIPS).read_bytes()[:-100])),
    "column lost": (CLIPS, lambda out: pq.write_table(pq.read_table(out / CLIPS).drop("uri"), out / CLIPS)),
    "report missing": (REPORT, lambda out: (out / REPORT).unlink()),
    "flow part deleted": (FLOW, lambda out: sorted((out / FLOW).iterdir())[0].unlink()),
    "flow part torn": (
        FLOW,
        lambda out: sorted((out / FLOW).iterdir())[0].write_bytes(b"PAR1 and then nothing"),
    ),
    "flow part flipped": (FLOW, lambda out: flip(sorted((out / FLOW).iterdir())[0], 3_000)),
    "flow part twice": (
        FLOW,
        lambda out: shutil.copy(sorted((out / FLOW).iterdir())[0], out / FLOW / "part-copy.parquet"),
    ),
    "flow row dropped": (FLOW, edit_table(f"{FLOW}/*", lambda table: table.slice(1))),
    "flow row twice": (FLOW, edit_table(f"{FLOW}/*", lambda table: table.take([0, 0, *range(2, len(table))]))),
    "flow row turned": (FLOW, edit_table(f"{FLOW}/*", lambda table: with_value(table, 0, source_index=5))),
    "flow of an unknown clip": (
        FLOW,
        edit_table(f"{FLOW}/*", lambda table: with_value(table, 0, clip_key="stranger")),
    ),
    "flow motion of a kept pair changed": (FLOW, change_kept_motion),
    "flow motion negative": (FLOW, edit_table(f"{FLOW}/*", lambda table: with_value(table, 0, motion_px=-1.0))),
    "flow motion not a number": (
        FLOW,
        edit_table(f"{FLOW}/*", lambda table: with_value(table, 0, motion_px=float("nan"))),
    ),
    "motion out of range": (SHARD, edit_samples(lambda samples: with_record(samples, motion_px=20.5))),
    "motion not the flow's": (FLOW, edit_samples(lambda samples: with_record(samples, motion_px=2.0))),
    "another's caption": (SHARD, edit_samples(lambda samples: with_record(samples, caption="a dog"))),
    "another split": (SHARD, edit_samples(lambda samples: with_record(samples, split="val"))),
    "unknown clip": (SHARD, edit_samples(lambda samples: with_record(samples, clip_key="stranger"))),
    "pair that was not measured": (SHARD, edit_samples(lambda samples: with_record(samples, target_index=5_000))),
    "sample twice": (SHARD, edit_samples(lambda samples: [samples[0], *samples])),
    "sample dropped": ("train", edit_samples(lambda samples: samples[1:])),
}


@pytest.mark.parametrize(("blamed", "damage"), DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_found_and_named(out: Path, blamed: str, damage: Damage) -> None:
    damage(out)
    with pytest.raises(DatasetError, match=re.escape(blamed)):
        verify_dataset(out)


def test_folder_without_a_data_set_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=MANIFEST):
        verify_dataset(tmp_path)
