"""Whatever happens to a run, the same command ends with the bytes of an undisturbed one. docs/faults.md tells of it.

The slow ones run with `python -m pytest -m slow tests/curation/test_faults.py`.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from curation import flow_stage, schedule
from examples.draw_gifs import draw_folder
from shards.verify import verify_dataset
from tests.curation.test_pipeline import hashes, run

PIX2GIF = str(Path(sys.executable).with_name("pix2gif"))
NUM_KILLS = 20
DECIDED = ("train/*.tar", "val/*.tar", "flow/*", "clips.parquet")


def contents(out: Path) -> dict[str, bytes]:
    """All that a run decides: shards, flow table, verdicts."""
    return {str(path.relative_to(out)): path.read_bytes() for part in DECIDED for path in out.glob(part)}


def hold_against(out: Path, undisturbed: Path) -> None:
    """Prove a data set, and that it is the undisturbed one to the byte, with nothing left over."""
    verify_dataset(out)
    assert contents(out) == contents(undisturbed)
    assert [path for path in out.rglob("*") if path.name.endswith(".tmp") or ".work" in path.parts] == []


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A listing of 60 GIFs."""
    return draw_folder(tmp_path_factory.mktemp("many"), num_gifs=60, seed=1)


@pytest.fixture(scope="module")
def undisturbed(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an undisturbed run in one process makes of it."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run(many, out)
    verify_dataset(out)
    return out


def words(listing: object, out: object) -> list[str]:
    """The command of a run."""
    return [PIX2GIF, "curate", str(listing), "--out", str(out), "--workers", "2", "--quiet"]


def finish(listing: Path, out: Path, undisturbed: Path) -> None:
    """Run the command to its end and hold what it made against the undisturbed run."""
    ended = subprocess.run(words(listing, out), capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr
    hold_against(out, undisturbed)


def truncate(path: Path) -> None:
    """Tear a file."""
    path.write_bytes(path.read_bytes()[:-40])


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("is_finished", [True, False], ids=["finished", "unfinished"])
@pytest.mark.parametrize("pattern", ["flow/part-*", "train/*.tar"], ids=["part", "shard"])
@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink], ids=["truncated", "flipped", "deleted"])
def test_what_is_damaged_between_runs_is_made_again(listing, dataset, tmp_path, is_finished, pattern, damage):
    out = Path(shutil.copytree(dataset, tmp_path / "out"))
    damage(sorted(out.glob(pattern))[0])
    if not is_finished:
        (out / "dataset.json").unlink()
        (out / ".work").mkdir()
    summary = run(listing, out)
    assert summary is not None, "it did not count as finished"
    if pattern == "flow/part-*":
        assert 0 < summary.num_pairs_measured < summary.curated.num_pairs
    else:
        assert summary.num_pairs_measured == 0
    hold_against(out, dataset)


def read_flow(out: Path) -> list[dict[str, object]]:
    """Read all rows of a flow table, in an order of their own."""
    order = [(name, "ascending") for name in ("clip_key", "source_index", "target_index")]
    table = ds.dataset(out / "flow", format="parquet").to_table()
    return table.set_column(0, "clip_key", table["clip_key"].cast("string")).sort_by(order).to_pylist()


@pytest.fixture
def tiny_slices(monkeypatch):
    """Let every clip be a giant."""
    monkeypatch.setattr(schedule, "_SLICE_US", 1000)
    monkeypatch.setattr(schedule, "_SLICE_TO_DECODING", 0)


def test_giants_in_slices_have_the_same_rows_and_shards(listing, dataset, tmp_path, tiny_slices):
    run(listing, tmp_path / "out")
    assert len(list((tmp_path / "out" / "flow").iterdir())) == 13, "a part each"
    assert read_flow(tmp_path / "out") == read_flow(dataset)
    assert hashes(tmp_path / "out") == hashes(dataset)
    verify_dataset(tmp_path / "out")


def test_a_run_that_stops_among_slices_measures_only_the_missing_ones(
    listing, dataset, tmp_path, tiny_slices, monkeypatch
):
    done = []

    def make_part_or_stop(task):
        if len(done) == 30:
            raise KeyboardInterrupt
        done.append(task)
        return make_part(task)

    make_part = flow_stage.make_part
    monkeypatch.setattr(flow_stage, "make_part", make_part_or_stop)
    with pytest.raises(KeyboardInterrupt):
        run(listing, tmp_path / "out")
    slices = {path.name for path in (tmp_path / "out" / ".work" / "slices").iterdir()}
    assert len(slices) == 30
    monkeypatch.setattr(flow_stage, "make_part", make_part)
    summary = run(listing, tmp_path / "out")
    assert 0 < summary.num_pairs_measured < summary.curated.num_pairs
    assert hashes(tmp_path / "out") == hashes(dataset)
    assert not (tmp_path / "out" / ".work").exists()


@pytest.mark.slow
def test_a_driver_that_is_killed_at_random_moments_loses_only_what_was_in_flight(many, undisturbed, tmp_path):
    out, draw = tmp_path / "out", random.Random(7)  # noqa: S311 # Not for secrets.
    start = time.monotonic()
    subprocess.run(words(many, tmp_path / "timed"), check=True, timeout=900)
    whole_s = time.monotonic() - start
    parts: set[str] = set()
    for _ in range(NUM_KILLS):
        process = subprocess.Popen(words(many, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0, whole_s))
        process.kill()
        process.wait()
        time.sleep(1)  # For Ray's processes to notice.
        sound = {path.name for path in out.glob("flow/part-*")}
        assert parts <= sound, "what was measured is kept from run to run"
        parts = sound
    finish(many, out, undisturbed)


def find_processes(marker: str, name: bytes) -> list[int]:
    """Processes that carry `marker` in their environment and `name` in their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if marker.encode() in (folder / "environ").read_bytes() and name in (folder / "cmdline").read_bytes():
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


@pytest.mark.slow
@pytest.mark.parametrize("name", [b"ray::", b"sandbox_child"], ids=["worker", "its child"])
def test_workers_or_their_children_that_are_killed_every_few_seconds_cost_time_alone(
    many, undisturbed, tmp_path, monkeypatch, name
):
    marker, draw, killed = f"PIX2GIF_TEST_{tmp_path.name}", random.Random(3), []  # noqa: S311 # Not for secrets.
    monkeypatch.setenv(marker, "1")

    def kill_one() -> None:
        if found := find_processes(marker, name):
            killed.append(draw.choice(found))
            with contextlib.suppress(ProcessLookupError):
                os.kill(killed[-1], signal.SIGKILL)

    with every(5.0, kill_one):
        finish(many, tmp_path / "out", undisturbed)
    assert killed


@pytest.mark.slow
@pytest.mark.parametrize("size_kb", [100, 2_000, 10_000])
def test_a_full_disk_is_told_in_one_sentence_and_the_same_command_goes_on_when_there_is_room(
    many, undisturbed, tmp_path, size_kb
):
    """In measure, in export and in packing: the flow table takes 200 KB, a shard and its fragments 25 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        ended = subprocess.run(words(many, disk / "out"), capture_output=True, text=True, timeout=900, check=False)
        assert ended.returncode == 1, ended.stderr
        assert "No space left on device" in ended.stderr
        assert "run the same command again" in ended.stderr
        assert "Traceback" not in ended.stderr
        subprocess.run(["/bin/mount", "-o", "remount,size=200m", str(disk)], check=True)
        finish(many, disk / "out", undisturbed)
    finally:
        subprocess.run(["/bin/umount", "-l", str(disk)], check=True)
