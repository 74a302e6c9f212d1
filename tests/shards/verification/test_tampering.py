"""Every kind of change to a finished data set is found by verify, which names the file that was changed.

Changes are made as by hand: an edit of a shard also updates its entry in the manifest. `hidden` ones update every hash,
and are found because the files no longer agree.
"""

import dataclasses
import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from shards.errors import DatasetError
from shards.files import describe_files, find_missing_or_resized
from shards.manifest import read_manifest, write_manifest
from shards.reader import read_shard
from shards.schema import CARD, CARD_MARKER, CLIPS, FLOW, MANIFEST, PART_DIGITS, REPORT, Sample
from shards.verification.dataset import verify_dataset
from shards.writer import file_sha256, write_shard

Change = Callable[[Path], object]
SHARD = "train/00000.tar"


def edit_json(change: Callable[[dict[str, Any]], object]) -> Change:
    """Edit the manifest as text."""

    def apply(out: Path) -> None:
        fields = json.loads((out / MANIFEST).read_text())
        change(fields)
        (out / MANIFEST).write_text(json.dumps(fields))

    return apply


def enter_shard(out: Path) -> None:
    """Write the present size and hash of the first shard to the manifest."""
    entry = {"num_bytes": (out / SHARD).stat().st_size, "sha256": file_sha256(out / SHARD)}
    edit_json(lambda fields: fields["splits"]["train"]["shards"][0].update(entry))(out)


def hide(change: Change) -> Change:
    """Make a change and update all hashes and the digest."""

    def apply(out: Path) -> None:
        change(out)
        for path in (out / FLOW).iterdir():
            path.rename(path.with_name(f"part-{file_sha256(path)[:PART_DIGITS]}.parquet"))
        write_manifest(out, dataclasses.replace(read_manifest(out), files=describe_files(out, REPORT, CARD)))

    return apply


def edit_clips(column: str, value: object, row: int = 0) -> Change:
    """Change one value of clips.parquet."""

    def apply(out: Path) -> None:
        table = pq.read_table(out / CLIPS)
        rows = table.to_pylist()
        rows[row][column] = value
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), out / CLIPS)

    return apply


def edit_records(**values: Any) -> Change:
    """Change fields of the first sample's record, and its shard's entry."""
    return edit_samples(
        lambda samples: [
            dataclasses.replace(samples[0], record=dataclasses.replace(samples[0].record, **values)),
            *samples[1:],
        ]
    )


def edit_samples(change: Callable[[list[Sample]], list[Sample]]) -> Change:
    """Write the first shard again with other samples, and its entry."""

    def apply(out: Path) -> None:
        write_shard(out / SHARD, change(list(read_shard(out / SHARD))))
        enter_shard(out)

    return apply


def edit_pictures(change: Callable[[Sample], dict[str, bytes]]) -> Change:
    """Replace pictures of the first sample, and its shard's entry."""
    return edit_samples(lambda samples: [dataclasses.replace(samples[0], **change(samples[0])), *samples[1:]])


def encode(size: int, image_format: str = "jpeg") -> bytes:
    """Encode a grey picture."""
    file = io.BytesIO()
    Image.new("RGB", (size, size), "grey").save(file, image_format)
    return file.getvalue()


def edit_bytes(name: str, change: Callable[[bytes], bytes]) -> Change:
    """Change the bytes of a file; the entry of a shard is updated."""

    def apply(out: Path) -> None:
        (out / name).write_bytes(change((out / name).read_bytes()))
        if name == SHARD:
            enter_shard(out)

    return apply


def edit_headers(**values: Any) -> Change:
    """Write the first shard again with other fields in the header of its first member."""

    def apply(out: Path) -> None:
        with tarfile.open(out / SHARD) as tar:
            members = [(info, tar.extractfile(info).read()) for info in tar]
        members[0] = (members[0][0].replace(**values), members[0][1])
        with tarfile.open(out / SHARD, "w:", format=tarfile.PAX_FORMAT) as tar:
            for info, data in members:
                tar.addfile(info, io.BytesIO(data))
        enter_shard(out)

    return apply


def swap(data: bytes, place: slice, value: bytes) -> bytes:
    """Replace some bytes."""
    changed = bytearray(data)
    changed[place] = value
    return bytes(changed)


def edit_flow(column: str, change: Callable[[Any], Any]) -> Change:
    """Change a column of the first row of a flow part."""

    def apply(out: Path) -> None:
        path = sorted((out / FLOW).iterdir())[0]
        table = pq.read_table(path)
        rows = table.to_pylist()
        for row in rows:
            row[column] = change(row[column])
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)

    return apply


def move_by_a_hair(samples: list[Sample]) -> list[Sample]:
    """Change the motion of the first sample by less than a thousandth of a pixel."""
    record = dataclasses.replace(samples[0].record, motion_px=samples[0].record.motion_px + 1e-5)
    return [dataclasses.replace(samples[0], record=record), *samples[1:]]


def exchange_first(samples: list[Sample]) -> list[Sample]:
    """Exchange the first two samples."""
    return [samples[1], samples[0], *samples[2:]]


def exchange_pictures(samples: list[Sample]) -> list[Sample]:
    """Exchange the pictures of the first two samples."""
    first, second = samples[:2]
    return [
        dataclasses.replace(first, source=second.source, target=second.target),
        dataclasses.replace(second, source=first.source, target=first.target),
        *samples[2:],
    ]


CHANGES: dict[str, tuple[str, Change]] = {
    **{
        f"clips: {column}": (CLIPS, edit_clips(column, value))
        for column, value in {
            "uri": "https://example.org/x.gif",
            "caption": "a dog",
            "clip_key": "other",
            "sha256": "0" * 64,
            "width": 7,
            "height": 7,
            "num_frames": 7,
            "num_pairs": 7,
            "detail": "seen",
            "duplicate_of": "other",
            "duplicate_kind": "near",
        }.items()
    },
    "clips: a caption, hidden": (SHARD, hide(edit_clips("caption", "a dog"))),
    "clips: a uri, hidden": (SHARD, hide(edit_clips("uri", "https://example.org/x.gif"))),
    "clips: written again": (CLIPS, lambda out: pq.write_table(pq.read_table(out / CLIPS), out / CLIPS)),
    "record: uri": (SHARD, edit_records(uri="https://example.org/x.gif")),
    "record: uri, hidden": (SHARD, hide(edit_records(uri="https://example.org/x.gif"))),
    "record: gap": (FLOW, edit_records(gap_ms=7)),
    "record: gap, hidden": (FLOW, hide(edit_records(gap_ms=7))),
    "record: captions": (SHARD, edit_records(caption="a dog", captions=("a dog",))),
    "record: captions, hidden": (SHARD, hide(edit_records(caption="a dog", captions=("a dog",)))),
    "record: motion by a hair": (FLOW, hide(edit_samples(move_by_a_hair))),
    "record: one byte": (SHARD, edit_bytes(SHARD, lambda data: swap(data, slice(514, 515), b"C"))),
    "picture: another": (MANIFEST, edit_pictures(lambda _: {"source": encode(256)})),
    "picture: empty": (SHARD, hide(edit_pictures(lambda _: {"target": b""}))),
    "pictures: exchanged within a pair": (MANIFEST, edit_pictures(lambda s: {"source": s.target, "target": s.source})),
    "pictures: exchanged between samples": (MANIFEST, edit_samples(exchange_pictures)),
    "samples: exchanged": (SHARD, edit_samples(exchange_first)),
    "samples: exchanged, hidden": (SHARD, hide(edit_samples(exchange_first))),
    "samples: sorted, hidden": (SHARD, hide(edit_samples(lambda s: sorted(s, key=lambda one: one.record.key)))),
    "tar: mode": (SHARD, hide(edit_headers(mode=0o777))),
    "tar: owner": (SHARD, hide(edit_headers(uid=1000))),
    "tar: owner's name": (SHARD, hide(edit_headers(uname="someone"))),
    "tar: group": (SHARD, hide(edit_headers(gid=1000))),
    "tar: time": (SHARD, hide(edit_headers(mtime=1))),
    "tar: bytes after its end": (SHARD, hide(edit_bytes(SHARD, lambda data: data + b"hidden"))),
    "tar: blocks after its end": (SHARD, hide(edit_bytes(SHARD, lambda data: data + bytes(10_240)))),
    "tar: bytes in its padding": (SHARD, hide(edit_bytes(SHARD, lambda data: data[:-5] + b"hi" + bytes(3)))),
    "stray: .TAR": ("train/00001.TAR", lambda out: shutil.copy(out / SHARD, out / "train/00001.TAR")),
    "stray: a file": ("val/note.txt", lambda out: (out / "val/note.txt").write_text("seen")),
    "stray: a hidden file": ("train/.x", lambda out: (out / "train/.x").write_text("")),
    "stray: a link": ("train/00001.tar", lambda out: (out / "train/00001.tar").symlink_to("00000.tar")),
    "stray: a folder": ("train/more", lambda out: (out / "train/more").mkdir()),
    "stray: a pipe": ("train/pipe", lambda out: os.mkfifo(out / "train/pipe")),
    "stray: in the flow table": (f"{FLOW}/part-0.parquet", lambda out: (out / FLOW / "part-0.parquet").write_text("")),
    "flow: gaps": (FLOW, edit_flow("gap_ms", lambda value: value + 1)),
    "flow: gaps, hidden": (FLOW, hide(edit_flow("gap_ms", lambda value: value + 1))),
    "flow: tracked fractions": (FLOW, edit_flow("tracked_fraction", lambda value: value / 2)),
    "flow: cuts": (FLOW, edit_flow("across_cut", lambda value: not value)),
    "manifest: listing": (MANIFEST, edit_json(lambda fields: fields["listing"].update(uri="other.tsv"))),
    "manifest: hash of the listing": (MANIFEST, edit_json(lambda fields: fields["listing"].update(sha256="0" * 64))),
    "manifest: folder of the listing": (MANIFEST, edit_json(lambda fields: fields["listing"].update(folder="/etc"))),
    "manifest: software": (MANIFEST, edit_json(lambda fields: fields["software"].update(pillow="1.0"))),
    "manifest: config": (MANIFEST, edit_json(lambda fields: fields["config"].update(quality=1))),
    "manifest: a field more": (MANIFEST, edit_json(lambda fields: fields.update(author="someone"))),
    "manifest: digest": (MANIFEST, edit_json(lambda fields: fields.update(digest="0" * 64))),
    "manifest: a file dropped": (MANIFEST, edit_json(lambda fields: fields["files"].pop(REPORT))),
    "manifest: an older version": (MANIFEST, edit_json(lambda fields: fields.update(schema_version="1"))),
    "card: edited": (CARD, edit_bytes(CARD, lambda data: data.replace(b"license: unknown", b"license: cc0-1.0"))),
    "card: deleted": (CARD, lambda out: (out / CARD).unlink()),
    "report: edited": (REPORT, edit_bytes(REPORT, lambda data: data.replace(b"</body>", b"<script></script></body>"))),
    "report: one bit": (REPORT, edit_bytes(REPORT, lambda data: swap(data, slice(99, 100), bytes([data[99] ^ 1])))),
}


@pytest.fixture
def out(dataset: Path, tmp_path: Path) -> Path:
    """A copy of a finished data set, to be changed."""
    return Path(shutil.copytree(dataset, tmp_path / "out"))


@pytest.mark.parametrize(("blamed", "change"), CHANGES.values(), ids=CHANGES.keys())
def test_change_is_found_and_named(out: Path, blamed: str, change: Change) -> None:
    change(out)
    with pytest.raises(DatasetError, match=re.escape(blamed)):
        verify_dataset(out)


@pytest.mark.parametrize(
    "picture",
    [b"GIF89a", encode(64), encode(256, "png"), encode(256)[:-200], b"%!PS-Adobe-3.0 EPSF-3.0"],
    ids=["no picture", "of another size", "of another format", "cut short", "PostScript"],
)
def test_broken_picture_is_found_when_all_are_decoded(out: Path, picture: bytes) -> None:
    hide(edit_pictures(lambda _: {"source": picture}))(out)
    verify_dataset(out)
    with pytest.raises(DatasetError, match=re.escape(SHARD)):
        verify_dataset(out, full=True)


def test_sound_data_set_holds_when_all_pictures_are_decoded(dataset: Path) -> None:
    assert verify_dataset(dataset, full=True) == verify_dataset(dataset)


def test_every_flipped_bit_of_the_clips_is_found(out: Path) -> None:
    data = (out / CLIPS).read_bytes()
    for position in range(0, len(data), len(data) // 40):
        (out / CLIPS).write_bytes(swap(data, slice(position, position + 1), bytes([data[position] ^ 1])))
        with pytest.raises(DatasetError, match=CLIPS):
            verify_dataset(out)


def test_card_of_a_person_and_linked_shards_are_remarks(out: Path, tmp_path: Path) -> None:
    edit_bytes(CARD, lambda data: data.replace(CARD_MARKER.encode(), b"My own."))(out)
    (out / SHARD).rename(tmp_path / "blob")
    (out / SHARD).symlink_to(tmp_path / "blob")
    assert verify_dataset(out).remarks == (
        f"{out / SHARD} is a link",
        f"{out / CARD} was edited by a person and was not verified",
    )


def test_data_set_of_schema_version_1_holds_with_a_remark(out: Path) -> None:
    for path in (out / FLOW).iterdir():
        table = pq.read_table(path)
        narrow = table.schema.set(3, pa.field("gap_ms", pa.int32(), nullable=False))
        pq.write_table(table.cast(narrow), path)
        path.rename(path.with_name(f"part-{file_sha256(path)[:PART_DIGITS]}.parquet"))
    write_manifest(out, dataclasses.replace(read_manifest(out), schema_version=1, files={}))
    assert "files" not in json.loads((out / MANIFEST).read_text())
    (remark,) = verify_dataset(out).remarks
    assert "were not verified" in remark


@pytest.mark.parametrize("name", [SHARD, CLIPS, REPORT, CARD])
def test_missing_and_resized_files_are_found_without_reading(out: Path, name: str) -> None:
    manifest = read_manifest(out)
    assert find_missing_or_resized(out, manifest) is None
    with (out / name).open("ab") as file:
        file.write(b"\0")
    assert find_missing_or_resized(out, manifest).startswith(f"{out / name} has ")
    (out / name).unlink()
    assert find_missing_or_resized(out, manifest) == f"{out / name} is missing"
