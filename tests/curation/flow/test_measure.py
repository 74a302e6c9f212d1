"""A clip gets a row for each pair, or a verdict; a file that changed stops the run."""

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
from tests.curation.decode.helpers import PIXEL, WHITE_PIXEL, gif_frame, gif_start, probe_bytes

CONFIG = CurationConfig()


def draw(path: Path, **fields: float) -> bytes:
    """Draw a GIF of known motion; return its bytes."""
    gif = DrawnGif(name="", caption="", **{"width": 256, "height": 256, "num_frames": 4, **fields})
    save_gif(path, draw_frames(gif), gif.duration_ms)
    return path.read_bytes()


def probe(folder: Path, data: bytes) -> ProbedClip:
    """Write and probe a GIF without a verdict."""
    probed = probe_bytes(folder, data)
    assert probed.verdict is None
    return probed


def test_every_pair_has_a_row_with_its_gap_and_motion(tmp_path: Path) -> None:
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


def test_gaps_are_sums_of_frame_delays(tmp_path: Path) -> None:
    frames = [gif_frame(left=k, delay_cs=delay) for k, delay in enumerate((50, 0, 3, 7))]
    data = gif_start(8, 8) + b"".join(frames)
    _, rows = measure_clip(probe(tmp_path, data.replace(PIXEL, WHITE_PIXEL)), CONFIG)
    assert rows is None  # All frames are white.
    _, rows = measure_clip(probe(tmp_path, data), CONFIG)
    assert rows is not None
    assert rows["gap_ms"].to_pylist() == [500, 600, 630, 100, 130, 30]


def test_motion_is_measured_at_the_config_resolution(tmp_path: Path) -> None:
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
            "damaged after 1 sound frames: the pixels end early",
        ),
        (
            gif_start(4, 4) + gif_frame() * 2 + gif_frame(width=4, height=4),
            Verdict.STILL,
            "all 2 frames are alike; damaged after 2 sound frames: the pixels end early",
        ),
        (gif_start(4, 4) + gif_frame(width=4, height=4), Verdict.UNDECODABLE, "frame 0: the pixels end early"),
    ],
    ids=["one frame", "all alike", "one frame before damage", "alike and damaged", "no frame"],
)
def test_clip_without_usable_pairs_gets_a_verdict(tmp_path: Path, data: bytes, verdict: Verdict, detail: str) -> None:
    measurement, rows = measure_clip(probe(tmp_path, data), CONFIG)
    assert rows is None
    assert measurement.verdict is verdict
    assert measurement.detail is not None
    assert measurement.detail.startswith(detail)
    assert measurement.num_pairs == 0


def test_pairs_before_the_damage_are_measured(tmp_path: Path) -> None:
    data = draw(tmp_path / "d.gif", num_frames=6)
    _, whole = measure_clip(probe(tmp_path, data), CONFIG)
    measurement, rows = measure_clip(probe(tmp_path, data[: len(data) * 2 // 3]), CONFIG)
    assert whole is not None
    assert rows is not None
    assert 2 <= measurement.num_frames < 6
    assert measurement.detail is not None
    assert measurement.detail.startswith(f"damaged after {measurement.num_frames} sound frames: ")
    assert rows.to_pylist() == [row for row in whole.to_pylist() if row["target_index"] < measurement.num_frames]


def test_frame_limit_is_enforced_while_decoding(tmp_path: Path) -> None:
    clip = probe(tmp_path, draw(tmp_path / "d.gif", num_frames=4))
    measurement, rows = measure_clip(clip, CurationConfig(max_frames=3))
    assert rows is None
    assert (measurement.verdict, measurement.detail) == (Verdict.TOO_LARGE, "more frames than the limit of 3")


@pytest.mark.parametrize("cut", [0, 1, 3, 5])
def test_slices_concatenate_to_the_whole_clip(tmp_path: Path, cut: int) -> None:
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
def test_file_changed_since_probing_raises(tmp_path: Path, change: object) -> None:
    clip = probe(tmp_path, draw(tmp_path / "d.gif"))
    assert read_clip(clip.path, clip.sha256, CONFIG.max_bytes) == Path(clip.path).read_bytes()
    assert callable(change)
    change(Path(clip.path))
    with pytest.raises(SourceChangedError, match=r"a\.gif .*run the same command again"):
        measure_clip(clip, CONFIG)


def test_method_digest_depends_only_on_what_changes_a_measurement() -> None:
    other = CurationConfig(min_motion=1, max_motion=9, pairs_per_gif=3, seed=4, image_format="png", quality=9)
    assert method_digest(other) == method_digest(CONFIG)
    assert method_digest(CurationConfig(resolution=128)) != method_digest(CONFIG)
    assert method_digest(CurationConfig(max_frames=999)) != method_digest(CONFIG)
