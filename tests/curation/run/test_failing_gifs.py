"""GIFs that crash or hang the decoder: verdict, quarantine, replay, and the same shards as without them."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from cli import app
from curation.config import CurationConfig
from curation.run.quarantine import list_incidents
from curation.run.workspace import Workspace
from shards.schema import Verdict
from shards.verification.dataset import verify_dataset
from tests.curation.helpers import check_independently, run, shard_hashes
from tests.curation.run.helpers import ABORT, ABORT_IN_EXPORT, add_comment, draw_huge, draw_slow, patch_decoder

PIX2GIF = str(Path(sys.executable).with_name("pix2gif"))
LIMITS = ["--max-pixels", str(2**33), "--clip-memory", "1", "--clip-timeout", "4", "--val-fraction", "0"]
FAILURES = {
    "huge": (Verdict.CRASHED, "over 1 GiB of memory"),
    "slow": (Verdict.TIMED_OUT, "over 4 s"),
    "aborts": (Verdict.CRASHED, "signal SIGABRT"),
    "aborts_in_export": (Verdict.CRASHED, "signal SIGABRT"),
}


@pytest.fixture(scope="module")
def failing(listing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Healthy GIFs and the four above."""
    folder = tmp_path_factory.mktemp("failing")
    rows = listing.read_text().splitlines(keepends=True)[:5]
    (folder / "gifs").mkdir()
    for row in rows:
        shutil.copy(listing.parent / row.split("\t")[0], folder / "gifs")
    (folder / "healthy.tsv").write_text("".join(rows))
    (folder / "gifs" / "huge.gif").write_bytes(draw_huge())
    (folder / "gifs" / "slow.gif").write_bytes(draw_slow())
    healthy = (folder / rows[0].split("\t")[0]).read_bytes()
    (folder / "gifs" / "aborts.gif").write_bytes(add_comment(healthy, ABORT))
    # Made from a GIF outside the listing: a copy would be removed as a duplicate before export.
    other = (listing.parent / "gifs" / "texture_009.gif").read_bytes()
    (folder / "gifs" / "aborts_in_export.gif").write_bytes(add_comment(other, ABORT_IN_EXPORT))
    rows[2:2] = [f"gifs/{name}.gif\ta caption\n" for name in FAILURES]
    (folder / "listing.tsv").write_text("".join(rows))
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the patched decoder."""
    return {**os.environ, "PYTHONPATH": patch_decoder(tmp_path_factory.mktemp("patch") / "site")}


def curate(failing: Path, out: Path, environment: dict[str, str], workers: int) -> None:
    """Run the command with the patched decoder."""
    words = [PIX2GIF, "curate", str(failing / "listing.tsv"), "--out", str(out), "--workers", str(workers), *LIMITS]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr


def verdicts(out: Path) -> dict[str, tuple[str, str]]:
    """Return (verdict, detail) of each clip that crashed or timed out, by file name."""
    rows = pq.read_table(out / "clips.parquet").to_pylist()
    return {
        Path(row["uri"]).stem: (row["verdict"], row["detail"])
        for row in rows
        if row["verdict"] in (Verdict.CRASHED, Verdict.TIMED_OUT)
    }


@pytest.fixture(scope="module")
def finished(failing: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set that a run without Ray makes of them."""
    out = tmp_path_factory.mktemp("finished") / "out"
    curate(failing, out, environment, workers=0)
    return out


def test_failing_gifs_get_a_verdict_and_do_not_change_the_shards(failing, finished, tmp_path):
    assert verdicts(finished) == FAILURES
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 3 * 2**20, "KiB: more than the memory limit allows"
    verify_dataset(finished)
    config = CurationConfig(max_pixels=2**33, clip_memory=1, clip_timeout=4, val_fraction=0)
    run(failing / "healthy.tsv", tmp_path / "healthy", config)
    assert shard_hashes(finished) == shard_hashes(tmp_path / "healthy")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_verdicts_and_files_do_not_depend_on_the_number_of_workers(failing, finished, environment, tmp_path, workers):
    curate(failing, tmp_path / "out", environment, workers)
    assert verdicts(tmp_path / "out") == FAILURES
    assert shard_hashes(tmp_path / "out") == shard_hashes(finished)
    for name in ("clips.parquet", *(f"flow/{path.name}" for path in (finished / "flow").iterdir())):
        assert (tmp_path / "out" / name).read_bytes() == (finished / name).read_bytes()


def test_quarantine_holds_bytes_error_and_replay_command(failing, finished, environment):
    keys = {key.rpartition("-")[0]: key for key in list_incidents(finished / "quarantine")}
    assert keys.keys() == FAILURES.keys()
    report = (finished / "report.html").read_text()
    for name, key in keys.items():
        assert f"pix2gif replay . {key}</code>" in report
        assert f'href="quarantine/{key}.gif"' in report
        assert (finished / "quarantine" / f"{key}.gif").read_bytes() == (failing / "gifs" / f"{name}.gif").read_bytes()
        record = json.loads((finished / "quarantine" / f"{key}.json").read_text())
        assert (record["verdict"], record["detail"]) == FAILURES[name]
        assert record["command"] == f"pix2gif replay {finished} {key}"
    record = json.loads((finished / "quarantine" / f"{keys['aborts']}.json").read_text())
    assert "Fatal Python error: Aborted" in record["error"]
    assert any("open_or_abort" in line for line in record["error"])
    assert record["frames"] is None
    assert json.loads((finished / "quarantine" / f"{keys['aborts_in_export']}.json").read_text())["frames"]


def test_replay_repeats_a_failure_in_export(finished, environment):
    (key,) = (key for key in list_incidents(finished / "quarantine") if key.startswith("aborts_in_export"))
    assert replay(finished, key, environment).stderr.endswith(f"Error: {key}: crashed, signal SIGABRT\n")
    assert "frames encoded" in replay_unpatched(finished, key).stdout


def replay(out: Path, key: str, environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command of a quarantine record."""
    words = [PIX2GIF, "replay", str(out), key, *options]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=900, check=False)


def replay_unpatched(out: Path, key: str) -> Result:
    """Run the command in this process, whose decoder is not patched."""
    return CliRunner().invoke(app, ["replay", str(out), key])


def test_replay_fails_as_the_run_did_until_the_decoder_is_fixed(finished, environment):
    (key,) = (key for key in list_incidents(finished / "quarantine") if key.startswith("aborts-"))
    again = replay(finished, key, environment)
    assert again.returncode == 1
    assert again.stderr.endswith(f"Error: {key}: crashed, signal SIGABRT\n")
    fixed = replay_unpatched(finished, key)
    assert (fixed.exit_code, fixed.stderr) == (0, "")
    assert "pairs of" in fixed.stdout
    bare = replay(finished, key, environment, "--bare")
    assert bare.returncode == -6, "without the sandbox the command itself aborts"
    unknown = replay_unpatched(finished, "nothing")
    assert unknown.exit_code == 1
    assert f"no clip nothing in {finished / 'quarantine'}; available: {key}" in str(unknown.exception)


def test_failed_clips_are_not_retried_under_the_same_limits(failing, finished, environment, tmp_path):
    out = shutil.copytree(finished, tmp_path / "out")
    config = CurationConfig(max_pixels=2**33, clip_memory=1, clip_timeout=4, val_fraction=0)
    Workspace(out).mark_unfinished()
    # The decoder is not patched here: a clip that aborted would be measured now if it were tried.
    summary = run(failing / "listing.tsv", out, config)
    assert verdicts(out) == FAILURES
    assert summary.num_pairs_measured == 0
    assert summary.num_reused == 9


def test_broken_real_gifs_stay_within_the_limits(real_gifs, tmp_path):
    broken = sorted((real_gifs / "broken").glob("*.gif"))
    listing = tmp_path / "broken.tsv"
    listing.write_text("".join(f"{path}\t{path.stem}\n" for path in broken))
    summary = run(listing, tmp_path / "out", CurationConfig(clip_memory=1, clip_timeout=60))
    counts = summary.manifest.verdicts
    assert sum(counts.values()) == len(broken)
    assert counts["crashed"] == counts["timed_out"] == 0, "each takes less than a minute and 1 GiB"
    assert not (tmp_path / "out" / "quarantine").exists()
    verify_dataset(tmp_path / "out")
    check_independently(listing, tmp_path / "out", num_remeasured=0)
