"""What is encoded is what is decoded, the same bytes every time; a finished shard is known by its plan and hash."""

import dataclasses
import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curation.config import SOURCE_SIZE, CurationConfig
from curation.decode.decoder import FrameDecoder
from curation.errors import SourceChangedError
from curation.export.encode import EncodeTask, SourceClip, encode_fragment, encode_frames
from curation.export.pack import PackTask, finished_shard, make_record, pack_shard, plan_digest, shard_path
from curation.export.reuse import Span
from curation.export.shard_plan import PlannedClip, PlannedPair, PlannedShard
from curation.listing.clips import Clip
from shards.reader import read_shard
from shards.writer import file_sha256

PAIRS = tuple(
    PlannedPair(source_index=i, target_index=j, gap_ms=100 * (j - i), motion_px=2.0 + j) for i, j in [(0, 3), (3, 7)]
)
FRAMES = (0, 3, 7)
PLANNED = PlannedClip(clip_key="clip", pairs=PAIRS)
SHARD = PlannedShard(split="val", number=3, clips=(PLANNED,))


@pytest.fixture
def source(listing: Path) -> SourceClip:
    """A drawn clip with two captions."""
    path = listing.parent / "gifs" / "texture_000.gif"
    clip = Clip(key="clip", uri="u", location=str(path), captions=("one", "two"), split="val", row=1)
    return SourceClip(clip=clip, path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def make_task(fragment: Path, source: SourceClip, config: CurationConfig) -> EncodeTask:
    """Ask for one clip's pictures."""
    return EncodeTask(
        shard=SHARD.key,
        num_samples=2,
        clips=((source, FRAMES),),
        config=config,
        fragment=fragment,
        quarantine=fragment.with_name("quarantine"),
    )


def make_shard(folder: Path, source: SourceClip, config: CurationConfig) -> PackTask:
    """Encode and pack one shard."""
    fragment = folder / "fragment.arrow"
    encoded = encode_fragment(make_task(fragment, source, config))
    assert (encoded.shard, encoded.num_samples, encoded.failures) == (("val", 3), 2, ())
    digest = plan_digest(SHARD, {"clip": source}, config)
    task = PackTask(
        shard=SHARD,
        clips={"clip": source.clip},
        config=config,
        fragments=(fragment,),
        ready={},
        path=shard_path(folder, SHARD.split, SHARD.number),
        receipt=folder / "receipt.json",
        plan_digest=digest,
    )
    packed = pack_shard(task)
    entry = packed.entry
    assert (packed.shard, entry.name, entry.num_samples) == (("val", 3), "00003.tar", 2)
    assert entry.sha256 == file_sha256(folder / "val/00003.tar")
    return task


@pytest.mark.parametrize(
    ("image_format", "kind"),
    [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")],
)
def test_pictures_are_the_decoded_frames_in_the_format_asked_for(
    tmp_path: Path, source: SourceClip, image_format: str, kind: str
) -> None:
    config = CurationConfig(image_format=image_format, resolution=128)  # type: ignore[arg-type]
    task = make_shard(tmp_path, source, config)
    data = Path(source.path).read_bytes()
    frames = [np.asarray(frame.rgb, np.int64) for frame in FrameDecoder(data, 128)]
    for sample in read_shard(task.path):
        assert sample.image_format == image_format
        for picture, index in (
            (sample.source, sample.record.source_index),
            (sample.target, sample.record.target_index),
        ):
            with Image.open(io.BytesIO(picture)) as found:
                assert (found.format, found.mode, found.size) == (kind, "RGB", (128, 128))
                error = np.abs(np.asarray(found, np.int64) - frames[index])
            assert error.max() == 0 if image_format == "png" else error.mean() < 4
            assert all(np.abs(frames[k] - frames[index]).mean() > 4 for k in (0, 3, 7) if k != index)


def test_a_fragment_holds_each_frame_once(tmp_path: Path, source: SourceClip) -> None:
    fragment = tmp_path / "fragment.arrow"
    encode_fragment(make_task(fragment, source, CurationConfig()))
    with pa.memory_map(str(fragment)) as file:
        rows = pa.ipc.open_file(file).read_all().to_pylist()
    pictures = encode_frames(FRAMES, source, CurationConfig())
    assert pictures.keys() == {0, 3, 7}
    assert [tuple(row.values()) for row in rows] == [("clip", frame, pictures[frame]) for frame in FRAMES]
    assert PLANNED.frames == FRAMES


def test_a_picture_may_come_out_of_a_fragment_or_out_of_another_shard(tmp_path: Path, source: SourceClip) -> None:
    anew = make_shard(tmp_path / "anew", source, CurationConfig())
    pictures = encode_frames(FRAMES, source, CurationConfig())
    there = tmp_path / "there.tar"
    there.write_bytes(b"." * 5 + pictures[0] + pictures[7])
    spans = {
        ("clip", 7): Span(there, 5 + len(pictures[0]), len(pictures[7])),
        ("clip", 0): Span(there, 5, len(pictures[0])),
    }
    fragment = tmp_path / "three.arrow"
    encode_fragment(dataclasses.replace(make_task(fragment, source, CurationConfig()), clips=((source, (3,)),)))
    path = tmp_path / "copied.tar"
    pack_shard(dataclasses.replace(anew, fragments=(fragment,), ready=spans, path=path))
    assert path.read_bytes() == anew.path.read_bytes()


def test_frames_can_keep_the_gifs_own_size(source: SourceClip) -> None:
    pictures = encode_frames(FRAMES, source, CurationConfig(resolution=SOURCE_SIZE))
    with Image.open(source.path) as gif, Image.open(io.BytesIO(pictures[0])) as picture:
        assert picture.size == gif.size


def test_quality_changes_the_bytes(source: SourceClip) -> None:
    low, high = (encode_frames(FRAMES, source, CurationConfig(quality=quality))[0] for quality in (30, 95))
    assert len(low) < len(high)


def test_the_same_plan_is_the_same_bytes_also_where_a_lost_workers_shard_is_packed_again(
    tmp_path: Path, source: SourceClip
) -> None:
    first, second = (make_shard(tmp_path / name, source, CurationConfig()) for name in ("a", "b"))
    assert first.path.read_bytes() == second.path.read_bytes()
    pack_shard(first)
    assert first.path.read_bytes() == second.path.read_bytes()


def test_the_records_tell_the_pair_and_one_of_the_captions(source: SourceClip) -> None:
    record = make_record(PAIRS[0], source.clip, CurationConfig())
    assert (record.source_index, record.target_index, record.gap_ms, record.motion_px) == (0, 3, 300, 5.0)
    assert (record.captions, record.split, record.uri, record.key) == (("one", "two"), "val", "u", "clip_0000_0003")
    drawn = [
        make_record(PAIRS[0]._replace(target_index=k), source.clip, CurationConfig(seed=seed)).caption
        for seed in (0, 1)
        for k in range(1, 101)
    ]
    assert 30 < drawn[:100].count("one") < 70
    assert drawn[:100] != drawn[100:]


def test_a_finished_shard_is_found_again_by_its_plan(tmp_path: Path, source: SourceClip) -> None:
    task = make_shard(tmp_path, source, CurationConfig())
    found = finished_shard(task.path, task.receipt, task.plan_digest)
    assert found is not None
    assert (found.name, found.sha256, found.num_bytes) == (
        "00003.tar",
        file_sha256(task.path),
        task.path.stat().st_size,
    )


def flip_shard(task: PackTask) -> None:
    """Flip a bit of the shard."""
    data = bytearray(task.path.read_bytes())
    data[-20_000] ^= 1
    task.path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        flip_shard,
        lambda task: task.path.unlink(),
        lambda task: task.receipt.unlink(),
        lambda task: task.receipt.write_text(task.receipt.read_text()[:-5]),
        lambda task: task.receipt.write_text("[]"),
        lambda task: task.receipt.write_text("{}"),
    ],
    ids=["shard flipped", "shard gone", "receipt gone", "receipt torn", "receipt a list", "receipt empty"],
)
def test_a_shard_that_is_not_sound_or_has_no_receipt_is_made_again(
    tmp_path: Path, source: SourceClip, damage: object
) -> None:
    task = make_shard(tmp_path, source, CurationConfig())
    assert callable(damage)
    damage(task)
    assert finished_shard(task.path, task.receipt, task.plan_digest) is None


def test_whatever_decides_the_bytes_enters_the_plans_name(tmp_path: Path, source: SourceClip) -> None:
    config = CurationConfig()
    task = make_shard(tmp_path, source, config)
    other_pair = dataclasses.replace(PLANNED, pairs=PAIRS[:1])
    other_captions = dataclasses.replace(source.clip, captions=("two",))
    others = [
        plan_digest(SHARD, {"clip": source}, CurationConfig(quality=94)),
        plan_digest(SHARD, {"clip": source}, CurationConfig(seed=1)),
        plan_digest(dataclasses.replace(SHARD, clips=(other_pair,)), {"clip": source}, config),
        plan_digest(SHARD, {"clip": dataclasses.replace(source, sha256="0" * 64)}, config),
        plan_digest(SHARD, {"clip": dataclasses.replace(source, clip=other_captions)}, config),
    ]
    assert len({task.plan_digest, *others}) == 6
    assert all(finished_shard(task.path, task.receipt, digest) is None for digest in others)


def test_a_gif_that_changed_or_lost_a_frame_stops_the_run(tmp_path: Path, source: SourceClip) -> None:
    with pytest.raises(SourceChangedError, match="was changed during the run"):
        encode_frames(FRAMES, dataclasses.replace(source, sha256="0" * 64), CurationConfig())
    with pytest.raises(SourceChangedError, match="frame 900 was measured but is not there"):
        encode_frames([0, 900], source, CurationConfig())
