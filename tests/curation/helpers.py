"""Helpers for curation tests: run the pipeline, disturb a run, and compare data sets."""

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
from shards.verify import verify_dataset

PIX2GIF = str(Path(sys.executable).with_name("pix2gif"))
CHECKER = os.environ.get("PIX2GIF_CHECKER")
"""A check of a data set that shares no code with this project, and is no part of it; held against where it is there."""
DECIDED = ("train/*.tar", "val/*.tar", "test/*.tar", "flow/*", "clips.parquet")

WORKER = re.compile(rb"^ray::(IDLE|_call)")
"""Workers have names; so have agents of Ray's, which are none of ours."""
STARTING_WORKER = re.compile(rb"^[^\0]*python[^\0]*\0[^\0]*default_worker\.py\0")
"""A worker that has no name yet."""
SANDBOX = re.compile(rb"sandbox_child")
RAYLET = re.compile(rb"^[^\0]*/raylet/raylet\0")
ANY = re.compile(rb"")


def run(listing: Path, out: Path, config: CurationConfig | None = None, **options: Any) -> Summary | None:
    """Curate in this process."""
    return curate(
        RunOptions(listing=listing, out=out, workers=0, **options), config or CurationConfig(), Progress(quiet=True)
    )


def make_run(options: RunOptions, config: CurationConfig | None = None) -> Run:
    """Make a run for a single stage: in this process, without a lock."""
    return Run(
        options=options,
        config=config or CurationConfig(),
        workspace=Workspace(options.out),
        progress=Progress(quiet=True),
        workers=InProcess(),
    )


def shard_hashes(out: Path) -> dict[str, str]:
    """Return the SHA-256 of every shard, by its path in the data set."""
    paths = sorted(out.glob("*/*.tar"))
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def contents(out: Path) -> dict[str, bytes]:
    """All that a run decides: shards, flow table, verdicts."""
    return {str(path.relative_to(out)): path.read_bytes() for part in DECIDED for path in out.glob(part)}


def hold_against(out: Path, undisturbed: Path) -> None:
    """Prove a data set, and that it is the undisturbed one to the byte, with nothing left over."""
    verify_dataset(out)
    assert contents(out) == contents(undisturbed)
    assert [path for path in out.rglob("*") if path.name.endswith(".tmp") or ".work" in path.parts] == []


def words(listing: Path, out: Path, workers: int = 2) -> list[str]:
    """Say the command of a run."""
    return [PIX2GIF, "curate", str(listing), "--out", str(out), "--workers", str(workers), "--quiet"]


def finish(listing: Path, out: Path, undisturbed: Path, *options: str, workers: int = 2) -> None:
    """Run the command to its end and hold what it made against the undisturbed run, and to the independent check."""
    command = [*words(listing, out, workers), *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr
    hold_against(out, undisturbed)
    check_independently(listing, out)


def check_independently(listing: Path, out: Path, num_remeasured: int = 100) -> None:
    """Have a data set checked by CHECKER, where that is there."""
    if CHECKER:
        check = [sys.executable, CHECKER, str(out), "--listing", str(listing), "--remeasure", str(num_remeasured)]
        checked = subprocess.run(check, capture_output=True, text=True, timeout=900, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def find_processes(marker: str, line: re.Pattern[bytes]) -> list[int]:
    """Find other processes that carry `marker` in their environment, by their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if marker.encode() in (folder / "environ").read_bytes() and line.search(
                    (folder / "cmdline").read_bytes()
                ):
                    found.append(int(folder.name))
    return found


@contextlib.contextmanager
def every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Do something every few seconds for as long as the block lasts."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(seconds):
            act()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def wait_until(holds: Callable[[], object], seconds: float) -> bool:
    """Wait for something, so many seconds at most; tells whether it came."""
    deadline_s = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True
