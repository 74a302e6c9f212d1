"""One run over animations of every format, and what of it a later run reuses."""

import dataclasses
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.export.dataset import find_sources, read_finished
from curation.options import RunOptions
from curation.resplit import resplit
from curation.run.progress import Progress
from examples.draw_formats import FORMATS, draw_folder, encode
from examples.draw_gifs import DrawnGif, draw_frames
from shards.manifest import read_manifest
from shards.verification.dataset import verify_dataset
from tests.curation.helpers import run, shard_hashes

CONFIG = CurationConfig(resolution=64, min_motion=0.3, near_distance=0, pairs_per_gif=5)


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A listing of one animation in every format, under names that say nothing, and of files that are none."""
    folder = tmp_path_factory.mktemp("formats")
    draw_folder(folder)
    for name in FORMATS:
        (folder / f"texture.{name}").rename(folder / f"{name}.gif")
    frames = draw_frames(DrawnGif(name="", caption="", width=64, height=48, num_frames=30, dx=1.0, seed=3))
    (folder / "long.gif").write_bytes(encode(frames, "mp4"))
    (folder / "song.gif").write_bytes(encode(frames[:2], "mp4")[:200])
    frames[0].save(folder / "still.gif", "WEBP")
    names = (*FORMATS, "long", "song", "still")
    listing = folder / "listing.tsv"
    listing.write_text("".join(f"{name}.gif\tan animation as {name}\n" for name in names))
    return listing


@pytest.fixture(scope="module")
def out(listing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of the listing."""
    folder = tmp_path_factory.mktemp("made") / "out"
    run(listing, folder, dataclasses.replace(CONFIG, max_frames=20))
    return folder


def read_clips(out: Path) -> dict[str, dict[str, object]]:
    """Return the rows of clips.parquet by the name of the file."""
    return {row["uri"].removesuffix(".gif"): row for row in pq.read_table(out / "clips.parquet").to_pylist()}


def test_every_format_is_kept_and_named(out: Path) -> None:
    clips = read_clips(out)
    for name in FORMATS:
        assert clips[name]["format"] == name
        assert (clips[name]["width"], clips[name]["height"], clips[name]["num_frames"]) == (160, 120, 14)
        # Formats without loss hold the same pictures.
        assert clips[name]["verdict"] == ("duplicate" if name in ("webp", "apng", "mov") else "kept"), name
    assert (clips["long"]["verdict"], clips["long"]["format"]) == ("too_large", "mp4")
    assert (clips["song"]["verdict"], clips["song"]["format"]) == ("undecodable", "mp4")
    assert (clips["still"]["verdict"], clips["still"]["format"]) == ("not_a_gif", None)
    verify_dataset(out)


def test_manifest_names_what_decodes_avif_and_video_only_where_they_are(listing: Path, out: Path) -> None:
    assert {"av", "avif"} <= read_manifest(out).software.keys()
    gifs = listing.with_name("gifs.tsv")
    gifs.write_text("gif.gif\ta GIF\n")
    run(gifs, out.with_name("gifs"), CONFIG)
    manifest = read_manifest(out.with_name("gifs"))
    assert manifest.software.keys().isdisjoint({"av", "avif"})
    assert manifest.config.keys().isdisjoint({"fps", "robots", "ignore_opt_outs"})


def test_other_rate_measures_videos_again_and_nothing_else(listing: Path, out: Path) -> None:
    config = dataclasses.replace(CONFIG, max_frames=20, fps=5.0)
    summary = run(listing, out.with_name("slower"), config, flow=out / "flow")
    assert summary is not None
    assert summary.num_reused == 4
    assert read_manifest(out.with_name("slower")).config["fps"] == 5.0
    clips = read_clips(out.with_name("slower"))
    assert [clips[name]["num_frames"] for name in FORMATS] == [14] * 4 + [7] * 3
    assert clips["long"]["verdict"] != "too_large"
    verify_dataset(out.with_name("slower"))


def test_resplit_makes_the_same_shards_without_measuring(out: Path) -> None:
    dataset = read_finished(out)
    again = out.with_name("again")
    options = RunOptions(out=again, workers=0, flow=out / "flow", **find_sources(dataset, None))
    summary = resplit(dataset, options, dataset.config({}), Progress(quiet=True))
    assert summary is not None
    assert summary.num_pairs_measured == 0
    assert shard_hashes(again) == shard_hashes(out)
    assert read_clips(again)["mp4"]["format"] == "mp4"
