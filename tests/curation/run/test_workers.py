"""Worker pools: results and exceptions, interrupts. That two workers write the bytes of none is in test_stores.py."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from curation.errors import CurationError
from curation.inspection.status import describe_run
from curation.run.workers import InProcess, open_workers
from tests.curation.helpers import ANY, find_processes, run, shard_hashes, wait_until
from tests.curation.run.helpers import WAIT, WAITS, add_comment, patch_decoder

COMMAND = str(Path(sys.executable).with_name("pix2gif-curate"))


def test_in_process_results_are_in_order():
    assert list(InProcess().map(abs, [3, -1, 2])) == [3, 1, 2]


def test_ray_runs_every_task_and_raises_its_exceptions(monkeypatch, tmp_path):
    # Each attempt starts a worker, which takes seconds.
    monkeypatch.setattr("curation.run.workers._LOST_WORKER_RETRIES", 2)

    # Nested, so that Ray pickles it by value: workers cannot import the tests.
    def square_or_fail(n: int) -> int:
        if n < 0:
            raise OSError(28, "No space left on device", "/somewhere")
        if n == 99:
            os.kill(os.getpid(), signal.SIGKILL)
        return n * n

    with open_workers(2) as workers:
        assert sorted(workers.map(square_or_fail, range(50))) == [n * n for n in range(50)]
        with pytest.raises(OSError, match="No space left") as raised:
            list(workers.map(square_or_fail, [1, -1]))
        assert raised.value.errno == 28
        with pytest.raises(CurationError, match="workers keep dying in square_or_fail"):
            list(workers.map(square_or_fail, [99]))


def interrupt(listing: Path, out: Path, signum: signal.Signals, python_path: str) -> None:
    """Start a run beside packages with our names; interrupt it when it has measured a part and waits in a clip.

    It leaves a message and no process.
    """
    marker = f"PIX2GIF_TEST_{out.parent.name}_{signum}"
    waits = out.parent / "patch" / WAITS
    waits.unlink(missing_ok=True)
    process = subprocess.Popen(
        [COMMAND, str(listing), "--out", str(out), "--workers", "2"],
        cwd=out.parent / "beside", env={**os.environ, "PYTHONPATH": python_path, marker: "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert wait_until(lambda: waits.exists() and count_parts(out) > 0, 240), "nothing was measured"
    os.killpg(process.pid, signum)  # Like a terminal, to every process of the group.
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1] == f"pix2gif-curate {listing} --out {out} --workers 2"
    assert "stopped before it had finished" in describe_run(out)
    assert "Traceback" not in stderr
    assert wait_until(lambda: not find_processes(marker, ANY), 60)


def write_packages_with_our_names(folder: Path) -> None:
    """Write packages that must not be imported in place of ours."""
    for name in ("training", "shards", "curation"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise RuntimeError('the wrong package was imported')")
    (folder / "cli.py").write_text("raise RuntimeError('the wrong module was imported')")


def count_parts(out: Path) -> int:
    return len(list(out.glob("flow/part-*.parquet")))


def test_interrupted_runs_leave_no_process_and_resume(listing, tmp_path):
    # One worker waits in a marked clip, so that the runs cannot finish. The other one measures the other clips.
    first, *others = listing.read_text().splitlines()
    uri, _, caption = first.partition("\t")
    (tmp_path / "waits.gif").write_bytes(add_comment((listing.parent / uri).read_bytes(), WAIT))
    rows = [*(f"{listing.parent}/{row}" for row in others), f"{tmp_path}/waits.gif\t{caption}"]
    (tmp_path / "listing.tsv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "out"
    write_packages_with_our_names(tmp_path / "beside")
    python_path = patch_decoder(tmp_path / "patch")
    for signum in (signal.SIGINT, signal.SIGTERM):
        interrupt(tmp_path / "listing.tsv", out, signum, python_path)
    measured = count_parts(out)
    summary = run(tmp_path / "listing.tsv", out)
    assert summary.num_reused >= measured
    run(tmp_path / "listing.tsv", tmp_path / "undisturbed")
    assert shard_hashes(out) == shard_hashes(tmp_path / "undisturbed")
