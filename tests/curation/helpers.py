"""Run the pipeline, disturb a run, and compare data sets."""

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from curation.config import CurationConfig
from curation.finish import Summary
from curation.options import RunOptions
from curation.pipeline import curate
from curation.run.context import Run
from curation.run.progress import Progress
from curation.run.workers import InProcess
from curation.run.workspace import Workspace
from shards.verification.dataset import verify_dataset

PIX2GIF = str(Path(sys.executable).with_name("pix2gif"))
CHECKER = os.environ.get("PIX2GIF_CHECKER")
"""A checker that shares no code with this project and is not part of it; used where it exists."""
DETERMINED = ("train/*.tar", "val/*.tar", "test/*.tar", "flow/*", "clips.parquet")
"""The files whose bytes a run determines: shards, flow table, verdicts."""

WORKER = re.compile(rb"^ray::(IDLE|_call)")
"""Ray's own agents have names too, and do not count."""
STARTING_WORKER = re.compile(rb"^[^\0]*python[^\0]*\0[^\0]*default_worker\.py\0")
"""A worker before Ray names it."""
SANDBOX = re.compile(rb"sandbox_child")
"""The child in which a worker decodes and measures."""
RAYLET = re.compile(rb"^[^\0]*/raylet/raylet\0")
ANY = re.compile(rb"")


def run(listing: Path, out: Path, config: CurationConfig | None = None, **options: Any) -> Summary | None:
    """Curate in this process."""
    return curate(
        RunOptions(listing=listing, out=out, workers=0, **options), config or CurationConfig(), Progress(quiet=True)
    )


def make_run(options: RunOptions, config: CurationConfig | None = None, progress: Progress | None = None) -> Run:
    """Return a run for a single stage: in this process, without a lock."""
    return Run(
        options=options,
        config=config or CurationConfig(),
        workspace=Workspace(options.out),
        progress=progress or Progress(quiet=True),
        workers=InProcess(),
    )


def shard_hashes(out: Path) -> dict[str, str]:
    """Return the SHA-256 of every shard, by its path in the data set."""
    paths = sorted(out.glob("*/*.tar"))
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def read_contents(out: Path) -> dict[str, bytes]:
    """Return the files that a run determines, by path."""
    return {str(path.relative_to(out)): path.read_bytes() for part in DETERMINED for path in out.glob(part)}


def assert_same_dataset(out: Path, undisturbed: Path) -> None:
    """Check that a data set is valid, equals the undisturbed one byte for byte, and has no leftovers."""
    verify_dataset(out)
    assert read_contents(out) == read_contents(undisturbed)
    assert [path for path in out.rglob("*") if path.name.endswith(".tmp") or ".work" in path.parts] == []


def curate_command(listing: Path, out: Path, workers: int = 2) -> list[str]:
    """Return the command line of a run."""
    return [PIX2GIF, "curate", str(listing), "--out", str(out), "--workers", str(workers), "--quiet"]


def run_and_compare(listing: Path, out: Path, undisturbed: Path, *options: str, workers: int = 2) -> None:
    """Run the command and compare its data set with the undisturbed one."""
    command = [*curate_command(listing, out, workers), *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr
    assert_same_dataset(out, undisturbed)
    check_independently(listing, out)


def check_independently(listing: Path, out: Path, num_remeasured: int = 100) -> None:
    """Check a data set by CHECKER, measuring `num_remeasured` pairs again."""
    if CHECKER:
        check = [sys.executable, CHECKER, str(out), "--listing", str(listing), "--remeasure", str(num_remeasured)]
        checked = subprocess.run(check, capture_output=True, text=True, timeout=900, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def find_processes(marker: str, line: re.Pattern[bytes]) -> list[int]:
    """Return the ids of other processes with `marker` in their environment whose command line matches."""
    pids = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if marker.encode() in (folder / "environ").read_bytes() and line.search(
                    (folder / "cmdline").read_bytes()
                ):
                    pids.append(int(folder.name))
    return pids


@contextlib.contextmanager
def call_every(seconds: float, function: Callable[[], None]) -> Iterator[None]:
    """Call a function every few seconds while the block runs."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(seconds):
            function()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def wait_until(condition: Callable[[], object], timeout_s: float) -> bool:
    """Wait until a condition holds; return False on timeout."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True
