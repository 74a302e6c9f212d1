"""Poison costs itself: the shards as without it, a verdict, bytes in quarantine, and a command that replays it."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.run.quarantine import list_incidents
from shards.schema import Verdict
from shards.verify import verify_dataset
from tests.curation.helpers import check_independently, run, shard_hashes
from tests.curation.run.poison import ABORT_IN_EXPORT, draw_aborting, draw_endless, draw_huge, patch_decoder

PIX2GIF = str(Path(sys.executable).with_name("pix2gif"))
LIMITS = ["--max-pixels", str(2**33), "--clip-memory", "1", "--clip-timeout", "8", "--val-fraction", "0"]
POISON = {
    "huge": (Verdict.CRASHED, "over 1 GiB of memory"),
    "endless": (Verdict.TIMED_OUT, "over 8 s"),
    "aborts": (Verdict.CRASHED, "signal SIGABRT"),
    "aborts_in_export": (Verdict.CRASHED, "signal SIGABRT"),
}


@pytest.fixture(scope="module")
def poisoned(listing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some sound GIFs with poison among them."""
    folder = tmp_path_factory.mktemp("poisoned")
    rows = listing.read_text().splitlines(keepends=True)[:5]
    (folder / "gifs").mkdir()
    for row in rows:
        shutil.copy(listing.parent / row.split("\t")[0], folder / "gifs")
    (folder / "sound.tsv").write_text("".join(rows))
    (folder / "gifs" / "huge.gif").write_bytes(draw_huge())
    (folder / "gifs" / "endless.gif").write_bytes(draw_endless())
    sound = (folder / rows[0].split("\t")[0]).read_bytes()
    (folder / "gifs" / "aborts.gif").write_bytes(draw_aborting(sound))
    # Of another GIF than the rest, as a copy would be left out as a duplicate before it comes to export.
    other = (listing.parent / "gifs" / "texture_009.gif").read_bytes()
    (folder / "gifs" / "aborts_in_export.gif").write_bytes(draw_aborting(other, ABORT_IN_EXPORT))
    rows[2:2] = [f"gifs/{name}.gif\tpoison\n" for name in POISON]
    (folder / "listing.tsv").write_text("".join(rows))
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """That of a decoder that aborts, and has no limits of its own."""
    return {**os.environ, "PYTHONPATH": patch_decoder(tmp_path_factory.mktemp("patch") / "site")}


def curate(poisoned: Path, out: Path, environment: dict[str, str], workers: int) -> None:
    """Run the command."""
    words = [PIX2GIF, "curate", str(poisoned / "listing.tsv"), "--out", str(out), "--workers", str(workers), *LIMITS]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr


def verdicts(out: Path) -> dict[str, tuple[str, str]]:
    """(verdict, detail) of each clip that was lost, by file name."""
    rows = pq.read_table(out / "clips.parquet").to_pylist()
    return {
        Path(row["uri"]).stem: (row["verdict"], row["detail"])
        for row in rows
        if row["verdict"] in (Verdict.CRASHED, Verdict.TIMED_OUT)
    }


@pytest.fixture(scope="module")
def survived(poisoned: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run in this process makes of it."""
    out = tmp_path_factory.mktemp("survived") / "out"
    curate(poisoned, out, environment, workers=0)
    return out


def test_poison_gets_its_verdict_and_all_else_is_as_without_it(poisoned, survived, tmp_path):
    assert verdicts(survived) == POISON
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 3 * 2**20, "kilobytes: more than the limit allows"
    verify_dataset(survived)
    config = CurationConfig(max_pixels=2**33, clip_memory=1, clip_timeout=8, val_fraction=0)
    run(poisoned / "sound.tsv", tmp_path / "sound", config)
    assert shard_hashes(survived) == shard_hashes(tmp_path / "sound")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_loses_the_same_clips_and_makes_the_same_files(
    poisoned, survived, environment, tmp_path, workers
):
    curate(poisoned, tmp_path / "out", environment, workers)
    assert verdicts(tmp_path / "out") == POISON
    assert shard_hashes(tmp_path / "out") == shard_hashes(survived)
    for name in ("clips.parquet", *(f"flow/{path.name}" for path in (survived / "flow").iterdir())):
        assert (tmp_path / "out" / name).read_bytes() == (survived / name).read_bytes()


def test_the_bytes_and_the_error_are_kept_with_a_command_that_replays_it(poisoned, survived, environment):
    keys = {key.rpartition("-")[0]: key for key in list_incidents(survived / "quarantine")}
    assert keys.keys() == POISON.keys()
    report = (survived / "report.html").read_text()
    for name, key in keys.items():
        assert f"pix2gif replay . {key}</code>" in report
        assert f'href="quarantine/{key}.gif"' in report
        assert (survived / "quarantine" / f"{key}.gif").read_bytes() == (poisoned / "gifs" / f"{name}.gif").read_bytes()
        record = json.loads((survived / "quarantine" / f"{key}.json").read_text())
        assert (record["verdict"], record["detail"]) == POISON[name]
        assert record["command"] == f"pix2gif replay {survived} {key}"
    record = json.loads((survived / "quarantine" / f"{keys['aborts']}.json").read_text())
    assert "Fatal Python error: Aborted" in record["error"]
    assert any("open_or_abort" in line for line in record["error"])
    assert record["frames"] is None
    assert json.loads((survived / "quarantine" / f"{keys['aborts_in_export']}.json").read_text())["frames"]


def test_a_clip_that_is_lost_in_export_is_replayed_there(survived, environment):
    (key,) = (key for key in list_incidents(survived / "quarantine") if key.startswith("aborts_in_export"))
    assert replay(survived, key, environment).stderr.endswith(f"Error: {key}: crashed, signal SIGABRT\n")
    assert "frames encoded" in replay(survived, key, {**os.environ}).stdout


def replay(out: Path, key: str, environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command that the quarantine names."""
    words = [PIX2GIF, "replay", str(out), key, *options]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=900, check=False)


def test_a_replay_fails_as_the_run_did_and_goes_well_where_the_decoder_is_mended(survived, environment):
    (key,) = (key for key in list_incidents(survived / "quarantine") if key.startswith("aborts-"))
    again = replay(survived, key, environment)
    assert again.returncode == 1
    assert again.stderr.endswith(f"Error: {key}: crashed, signal SIGABRT\n")
    mended = replay(survived, key, {**os.environ})
    assert (mended.returncode, mended.stderr) == (0, "")
    assert "pairs of" in mended.stdout
    bare = replay(survived, key, environment, "--bare")
    assert bare.returncode == -6, "without the sandbox it takes the command itself"
    unknown = replay(survived, "nothing", environment)
    assert unknown.returncode == 1
    assert f"no clip nothing in {survived / 'quarantine'}; available: {key}" in unknown.stderr


def test_lost_clips_are_not_tried_again_until_the_limits_change(poisoned, survived, environment, tmp_path):
    out = shutil.copytree(survived, tmp_path / "out")
    config = CurationConfig(max_pixels=2**33, clip_memory=1, clip_timeout=8, val_fraction=0)
    (out / "dataset.json").unlink()
    (out / ".work").mkdir(exist_ok=True)
    # No decoder is patched here, so what was lost to it would be measured, were it tried.
    summary = run(poisoned / "listing.tsv", out, config)
    assert verdicts(out) == POISON
    assert summary.num_pairs_measured == 0
    assert summary.num_reused == 9


def test_no_broken_gif_stops_a_run_or_takes_more_than_itself(real_gifs, tmp_path):
    broken = sorted((real_gifs / "broken").glob("*.gif"))
    listing = tmp_path / "broken.tsv"
    listing.write_text("".join(f"{path}\t{path.stem}\n" for path in broken))
    summary = run(listing, tmp_path / "out", CurationConfig(clip_memory=1, clip_timeout=60))
    counts = summary.manifest.verdicts
    assert sum(counts.values()) == len(broken)
    assert counts["crashed"] == counts["timed_out"] == 0, "each was done in a minute and a gigabyte"
    assert not (tmp_path / "out" / "quarantine").exists()
    verify_dataset(tmp_path / "out")
    check_independently(listing, tmp_path / "out", num_remeasured=0)
