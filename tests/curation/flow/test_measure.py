"""A clip becomes rows for all its pairs, or a verdict; a file that changed stops the run."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curation.config import SOURCE_SIZE, CurationConfig
from curation.decode.probe import ProbedClip
from curation.errors import SourceChangedError
from curation.fetch.read import read_clip
from curation.flow.measure import measure_clip, method_digest
from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from shards.schema import FLOW_SCHEMA, Verdict
from tests.curation.decode.test_header import gif_frame, gif_start
from tests.curation.decode.test_probe import probe_bytes

CONFIG = CurationConfig()


def draw(path: Path, **what: float) -> bytes:
    """Draw a GIF of known motion; returns its bytes."""
    gif = DrawnGif(name="", caption="", **{"width": 256, "height": 256, "num_frames": 4, **what})
    save_gif(path, draw_frames(gif), gif.duration_ms)
    return path.read_bytes()


def probe(folder: Path, data: bytes) -> ProbedClip:
    """Look at some bytes, as a run does before it measures them."""
    found = probe_bytes(folder, data)
    assert found.verdict is None
    return found


def test_every_pair_has_a_row_in_order_with_its_gap_and_its_motion(tmp_path: Path) -> None:
    data = draw(tmp_path / "d.gif", num_frames=5, dx=3.0, dy=4.0, duration_ms=70)
    measurement, rows = measure_clip(probe(tmp_path, data), CONFIG)
    assert rows is not None
    assert rows.schema.equals(FLOW_SCHEMA)
    sources, targets = np.triu_indices(5, k=1)
    assert rows["source_index"].to_pylist() == sources.tolist()
    assert rows["target_index"].to_pylist() == targets.tolist()
    assert rows["gap_ms"].to_pylist() == (70 * (targets - sources)).tolist()
    assert np.allclose(rows["motion_px"].to_numpy()[[0, 4, 7, 9]], 5.0, atol=0.1)
    assert set(rows["clip_key"].to_pylist()) == {"clip"}
    assert (measurement.verdict, measurement.detail) == (None, None)
    assert (measurement.num_frames, measurement.num_pairs, measurement.width) == (5, 10, 256)
    assert measurement.sha256 == hashlib.sha256(data).hexdigest()


def test_gaps_go_by_the_gifs_own_delays(tmp_path: Path) -> None:
    frames = [gif_frame(left=k, delay_cs=delay) for k, delay in enumerate((50, 0, 3, 7))]
    _, rows = measure_clip(probe(tmp_path, gif_start(8, 8) + b"".join(frames)), CONFIG)
    assert rows is None  # All black: still.
    data = (gif_start(8, 8) + b"".join(frames)).replace(b"\x02\x02\x44\x01\0", b"\x02\x02\x4c\x01\0")
    _, rows = measure_clip(probe(tmp_path, data), CONFIG)
    assert rows is not None
    assert rows["gap_ms"].to_pylist() == [500, 600, 630, 100, 130, 30]


def test_motion_is_measured_at_the_runs_resolution(tmp_path: Path) -> None:
    clip = probe(tmp_path, draw(tmp_path / "d.gif", width=128, height=128, num_frames=2, dx=2.0))
    measured = {}
    for resolution in (128, 256, SOURCE_SIZE):
        _, rows = measure_clip(clip, CurationConfig(resolution=resolution))
        assert rows is not None
        measured[resolution] = rows["motion_px"][0].as_py()
    assert measured[256] == pytest.approx(4.0, abs=0.1)
    assert measured[128] == measured[SOURCE_SIZE] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    ("data", "verdict", "detail"),
    [
        (gif_start(4, 4) + gif_frame() + b";", Verdict.STILL, "one frame"),
        (gif_start(4, 4) + gif_frame() * 3 + b";", Verdict.STILL, "all 3 frames are alike"),
        (
            gif_start(4, 4) + gif_frame() + gif_frame(width=4, height=4),
            Verdict.UNDECODABLE,
            "damaged after 1 sound frames: image file is truncated",
        ),
        (
            gif_start(4, 4) + gif_frame() * 2 + gif_frame(width=4, height=4),
            Verdict.STILL,
            "all 2 frames are alike; damaged after 2 sound frames: image file is truncated",
        ),
        (gif_start(4, 4) + gif_frame(width=4, height=4), Verdict.UNDECODABLE, "image file is truncated"),
    ],
    ids=["one frame", "all alike", "one sound frame", "alike and damaged", "no sound frame"],
)
def test_a_clip_that_cannot_be_selected_from_has_a_verdict_and_no_rows(
    tmp_path: Path, data: bytes, verdict: Verdict, detail: str
) -> None:
    measurement, rows = measure_clip(probe(tmp_path, data), CONFIG)
    assert rows is None
    assert measurement.verdict is verdict
    assert measurement.detail is not None
    assert measurement.detail.startswith(detail)
    assert measurement.num_pairs == 0


def test_a_damaged_tail_leaves_the_pairs_of_the_sound_frames(tmp_path: Path) -> None:
    data = draw(tmp_path / "d.gif", num_frames=6)
    _, whole = measure_clip(probe(tmp_path, data), CONFIG)
    measurement, rows = measure_clip(probe(tmp_path, data[: len(data) * 2 // 3]), CONFIG)
    assert whole is not None
    assert rows is not None
    assert 2 <= measurement.num_frames < 6
    assert measurement.detail is not None
    assert measurement.detail.startswith(f"damaged after {measurement.num_frames} sound frames: ")
    assert rows.to_pylist() == [row for row in whole.to_pylist() if row["target_index"] < measurement.num_frames]


def test_more_sound_frames_than_allowed_are_found_while_decoding(tmp_path: Path) -> None:
    clip = probe(tmp_path, draw(tmp_path / "d.gif", num_frames=4))
    measurement, rows = measure_clip(clip, CurationConfig(max_frames=3))
    assert rows is None
    assert (measurement.verdict, measurement.detail) == (Verdict.TOO_LARGE, "more frames than the limit of 3")


@pytest.mark.parametrize("cut", [0, 1, 3, 5])
def test_slices_of_source_frames_joined_are_the_whole(tmp_path: Path, cut: int) -> None:
    clip = probe(tmp_path, draw(tmp_path / "d.gif", num_frames=6))
    whole, rows = measure_clip(clip, CONFIG)
    first, upper = measure_clip(clip, CONFIG, range(cut))
    second, lower = measure_clip(clip, CONFIG, range(cut, 6))
    assert rows is not None
    assert upper is not None
    assert lower is not None
    assert pa.concat_tables([upper, lower]).to_pylist() == rows.to_pylist()
    assert first.num_pairs + second.num_pairs == whole.num_pairs
    assert dataclasses.replace(first, num_pairs=15) == dataclasses.replace(second, num_pairs=15) == whole


@pytest.mark.parametrize("change", [lambda path: path.write_bytes(b"other"), Path.unlink], ids=["changed", "gone"])
def test_a_file_that_changed_since_it_was_probed_stops_the_run(tmp_path: Path, change: object) -> None:
    clip = probe(tmp_path, draw(tmp_path / "d.gif"))
    assert read_clip(clip.path, clip.sha256, CONFIG.max_bytes) == Path(clip.path).read_bytes()
    assert callable(change)
    change(Path(clip.path))
    with pytest.raises(SourceChangedError, match=r"a\.gif .*run the same command again"):
        measure_clip(clip, CONFIG)


def test_the_method_is_named_by_what_changes_a_measurement_and_by_nothing_else() -> None:
    other_choices = CurationConfig(min_motion=1, max_motion=9, pairs_per_gif=3, seed=4, image_format="png", quality=9)
    assert method_digest(other_choices) == method_digest(CONFIG)
    assert method_digest(CurationConfig(resolution=128)) != method_digest(CONFIG)
    assert method_digest(CurationConfig(max_frames=999)) != method_digest(CONFIG)
