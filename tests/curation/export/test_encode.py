"""Encoding frames, packing shards, and recognizing completed shards by plan and hash."""

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
from curation.export.completed_shards import find_completed_shard
from curation.export.encode import EncodeTask, SourceClip, encode_fragment, encode_frames, encode_picture
from curation.export.pack import PackTask, compute_plan_digest, make_record, pack_shard, shard_path
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
    """A clip with two captions."""
    path = listing.parent / "gifs" / "texture_000.gif"
    clip = Clip(key="clip", uri="u", location=str(path), captions=("one", "two"), split="val", row=1)
    return SourceClip(clip=clip, path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def make_task(fragment: Path, source: SourceClip, config: CurationConfig) -> EncodeTask:
    """Make the task of encoding FRAMES of one clip."""
    return EncodeTask(
        shard=SHARD.key,
        num_samples=2,
        clips=((source, FRAMES),),
        config=config,
        fragment=fragment,
        quarantine=fragment.with_name("quarantine"),
    )


def make_shard(folder: Path, source: SourceClip, config: CurationConfig) -> PackTask:
    """Encode and pack SHARD; returns the packing task."""
    fragment = folder / "fragment.arrow"
    encoded = encode_fragment(make_task(fragment, source, config))
    assert (encoded.shard, encoded.num_samples, encoded.failures) == (("val", 3), 2, ())
    digest = compute_plan_digest(SHARD, {"clip": source}, config)
    task = PackTask(
        shard=SHARD,
        clips={"clip": source.clip},
        config=config,
        fragments=(fragment,),
        reused={},
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
def test_pictures_are_the_decoded_frames_in_the_requested_format(
    tmp_path: Path, source: SourceClip, image_format: str, kind: str
) -> None:
    config = CurationConfig(image_format=image_format, resolution=128)  # type: ignore[arg-type]
    task = make_shard(tmp_path, source, config)
    data = Path(source.path).read_bytes()
    frames = [np.asarray(frame.rgb, np.int64) for frame in FrameDecoder(data, 128, max_pixels=2**24)]
    for sample in read_shard(task.path):
        assert sample.image_format == image_format
        for picture, index in (
            (sample.source, sample.record.source_index),
            (sample.target, sample.record.target_index),
        ):
            with Image.open(io.BytesIO(picture)) as image:
                assert (image.format, image.mode, image.size) == (kind, "RGB", (128, 128))
                error = np.abs(np.asarray(image, np.int64) - frames[index])
            assert error.max() == 0 if image_format == "png" else error.mean() < 4
            assert all(np.abs(frames[k] - frames[index]).mean() > 4 for k in (0, 3, 7) if k != index)


def test_a_fragment_contains_each_frame_once(tmp_path: Path, source: SourceClip) -> None:
    fragment = tmp_path / "fragment.arrow"
    encode_fragment(make_task(fragment, source, CurationConfig()))
    with pa.memory_map(str(fragment)) as file:
        rows = pa.ipc.open_file(file).read_all().to_pylist()
    pictures = encode_frames(FRAMES, source, CurationConfig())
    assert pictures.keys() == {0, 3, 7}
    assert [tuple(row.values()) for row in rows] == [("clip", frame, pictures[frame]) for frame in FRAMES]
    assert PLANNED.frames == FRAMES


def test_packing_combines_fragments_and_reused_pictures(tmp_path: Path, source: SourceClip) -> None:
    encoded = make_shard(tmp_path / "encoded", source, CurationConfig())
    pictures = encode_frames(FRAMES, source, CurationConfig())
    other_shard = tmp_path / "other.tar"
    other_shard.write_bytes(b"." * 5 + pictures[0] + pictures[7])
    spans = {
        ("clip", 7): Span(str(other_shard), 5 + len(pictures[0]), len(pictures[7])),
        ("clip", 0): Span(str(other_shard), 5, len(pictures[0])),
    }
    fragment = tmp_path / "three.arrow"
    encode_fragment(dataclasses.replace(make_task(fragment, source, CurationConfig()), clips=((source, (3,)),)))
    path = tmp_path / "copied.tar"
    pack_shard(dataclasses.replace(encoded, fragments=(fragment,), reused=spans, path=path))
    assert path.read_bytes() == encoded.path.read_bytes()


def test_source_size_keeps_the_size_of_the_gif(source: SourceClip) -> None:
    pictures = encode_frames(FRAMES, source, CurationConfig(resolution=SOURCE_SIZE))
    with Image.open(source.path) as gif, Image.open(io.BytesIO(pictures[0])) as picture:
        assert picture.size == gif.size


def test_jpeg_has_the_bytes_of_pillow_with_subsampled_chroma() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (33, 50, 3), np.uint8)
    for quality in (1, 75, 95, 100):
        expected = io.BytesIO()
        Image.fromarray(rgb).save(expected, "JPEG", quality=quality, subsampling="4:2:0")
        assert encode_picture(rgb, CurationConfig(quality=quality)) == expected.getvalue()


def test_a_frame_too_large_for_jpeg_is_an_error() -> None:
    with pytest.raises(ValueError, match="65501 x 2 pixels as JPEG"):
        encode_picture(np.zeros((2, 65_501, 3), np.uint8), CurationConfig())


def test_lower_quality_gives_smaller_pictures(source: SourceClip) -> None:
    low, high = (encode_frames(FRAMES, source, CurationConfig(quality=quality))[0] for quality in (30, 95))
    assert len(low) < len(high)


def test_packing_again_gives_the_same_bytes(tmp_path: Path, source: SourceClip) -> None:
    first, second = (make_shard(tmp_path / name, source, CurationConfig()) for name in ("a", "b"))
    assert first.path.read_bytes() == second.path.read_bytes()
    pack_shard(first)
    assert first.path.read_bytes() == second.path.read_bytes()


def test_a_record_has_the_pair_and_one_of_the_captions(source: SourceClip) -> None:
    record = make_record(PAIRS[0], source.clip, CurationConfig())
    assert (record.source_index, record.target_index, record.gap_ms, record.motion_px) == (0, 3, 300, 5.0)
    assert (record.captions, record.split, record.uri, record.key) == (("one", "two"), "val", "u", "clip_0000_0003")
    chosen = [
        make_record(PAIRS[0]._replace(target_index=k), source.clip, CurationConfig(seed=seed)).caption
        for seed in (0, 1)
        for k in range(1, 101)
    ]
    assert 30 < chosen[:100].count("one") < 70
    assert chosen[:100] != chosen[100:]


def test_a_completed_shard_is_found_by_its_plan(tmp_path: Path, source: SourceClip) -> None:
    task = make_shard(tmp_path, source, CurationConfig())
    entry = find_completed_shard(task.path, task.receipt, task.plan_digest)
    assert entry is not None
    assert (entry.name, entry.sha256, entry.num_bytes) == (
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
    ids=["shard damaged", "shard missing", "receipt missing", "receipt truncated", "receipt a list", "receipt empty"],
)
def test_a_shard_without_intact_bytes_or_receipt_is_not_complete(
    tmp_path: Path, source: SourceClip, damage: object
) -> None:
    task = make_shard(tmp_path, source, CurationConfig())
    assert callable(damage)
    damage(task)
    assert find_completed_shard(task.path, task.receipt, task.plan_digest) is None


def test_the_plan_digest_covers_everything_that_decides_the_bytes(tmp_path: Path, source: SourceClip) -> None:
    config = CurationConfig()
    task = make_shard(tmp_path, source, config)
    other_pair = dataclasses.replace(PLANNED, pairs=PAIRS[:1])
    other_captions = dataclasses.replace(source.clip, captions=("two",))
    others = [
        compute_plan_digest(SHARD, {"clip": source}, CurationConfig(quality=94)),
        compute_plan_digest(SHARD, {"clip": source}, CurationConfig(seed=1)),
        compute_plan_digest(dataclasses.replace(SHARD, clips=(other_pair,)), {"clip": source}, config),
        compute_plan_digest(SHARD, {"clip": dataclasses.replace(source, sha256="0" * 64)}, config),
        compute_plan_digest(SHARD, {"clip": dataclasses.replace(source, clip=other_captions)}, config),
    ]
    assert len({task.plan_digest, *others}) == 6
    assert all(find_completed_shard(task.path, task.receipt, digest) is None for digest in others)


def test_a_changed_gif_or_a_missing_frame_raises(tmp_path: Path, source: SourceClip) -> None:
    with pytest.raises(SourceChangedError, match="was changed during the run"):
        encode_frames(FRAMES, dataclasses.replace(source, sha256="0" * 64), CurationConfig())
    with pytest.raises(SourceChangedError, match="frame 900 was measured but is missing now"):
        encode_frames([0, 900], source, CurationConfig())
