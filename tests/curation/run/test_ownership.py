"""What a run deletes and replaces in OUT: its own files, known by the manifest or the marker, and nothing else."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from curation.config import CurationConfig
from curation.errors import OutputError
from curation.export.dataset import read_finished
from curation.options import RunOptions
from curation.resplit import resplit
from curation.run.locks.folder_lock import hold_folder_lock
from curation.run.progress import Progress
from curation.run.workspace import Workspace
from shards.schema import CARD, CLIPS, MANIFEST, REPORT
from shards.verification.dataset import verify_dataset
from tests.curation.helpers import assert_same_dataset, run, shard_hashes

OTHER = CurationConfig(max_motion=10)


@pytest.fixture
def out(dataset: Path, tmp_path: Path) -> Path:
    """A copy of a finished data set."""
    return Path(shutil.copytree(dataset, tmp_path / "out"))


def read_all(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FOREIGN = {
    "manifest of another program": {"dataset.json": '{"labels": [["00000/img.png", 6]]}'},
    "manifest with a few of our fields": {"dataset.json": '{"schema_version": 1, "config": {}, "splits": {}}'},
    "list": {"dataset.json": "[1, 2]"},
    "deep nesting": {"dataset.json": "[" * 100_000},
    "work folder": {".work/notes.txt": "mine"},
    "work folder with a lock": {".work/lock": ""},
    "work folder with another marker": {".work/owner.json": '{"program": "another", "files": []}'},
    "nothing of ours": {},
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("files", FOREIGN.values(), ids=FOREIGN.keys())
def test_folder_of_another_program_is_left_alone(listing, tmp_path, files, overwrite):
    common = {"train/00000.tar": "tar", "quarantine/a.json": "{}", "flow/part-1.txt": "flow", "report.html": "mine"}
    for name, text in {**common, **files}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = read_all(tmp_path)
    with pytest.raises(OutputError, match=r"choose an(other| empty) folder"):
        run(listing, tmp_path, overwrite=overwrite)
    assert read_all(tmp_path) == before


def test_overwrite_deletes_only_what_the_manifest_lists(listing, out):
    (out / "quarantine").mkdir()
    (out / ".work").mkdir()
    names = ["train/mine.tar", "train/00077.tar", "val/00000.txt", "quarantine/mine.gif", "flow/part-mine.parquet",
             ".work/notes", ".mine.tmp", "report.html.bak"]  # fmt: skip
    for name in names:
        (out / name).write_text("mine")
    assert run(listing, out, CurationConfig(max_motion=10, samples_per_shard=40), overwrite=True)
    assert len(shard_hashes(out)) > 4
    run(listing, out, OTHER, overwrite=True)
    assert {path.name for path in (out / "train").iterdir()} == {"00000.tar", "mine.tar", "00077.tar"}
    assert {(out / name).read_text() for name in names} == {"mine"}


def test_file_of_others_with_the_name_of_a_new_shard_is_not_replaced(listing, out):
    (out / "train" / "00001.tar").write_text("mine")
    with pytest.raises(OutputError, match=r"train/00001\.tar is in the way"):
        run(listing, out, CurationConfig(samples_per_shard=40), overwrite=True)
    assert (out / "train" / "00001.tar").read_text() == "mine"
    (out / "train" / "00001.tar").unlink()
    assert run(listing, out, CurationConfig(samples_per_shard=40))
    verify_dataset(out)


@pytest.mark.parametrize("name", ["train", "flow", "quarantine", ".work", ".work/fetched", "val/00000.tar", REPORT])
def test_links_in_out_are_not_followed(listing, out, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    link = out / name
    link.parent.mkdir(exist_ok=True)
    if link.exists():
        link.rename(elsewhere)
    else:
        elsewhere.mkdir()
        (elsewhere / "00009.tar").write_text("mine")
    link.symlink_to(elsewhere)
    before = read_all(elsewhere) if elsewhere.is_dir() else elsewhere.read_bytes()
    with pytest.raises(OutputError, match=f"{name} is a symbolic link"):
        run(listing, out, OTHER, overwrite=True)
    assert (read_all(elsewhere) if elsewhere.is_dir() else elsewhere.read_bytes()) == before


def test_resplit_into_another_name_of_the_data_set_is_refused(out, tmp_path):
    (tmp_path / "alias").symlink_to(out)
    before = read_all(out)
    finished = read_finished(out)
    for alias in (tmp_path / "alias", out / ".." / "out", tmp_path / "alias" / "train" / ".."):
        options = RunOptions(listing="listing.tsv", out=alias, workers=0, overwrite=True)
        with pytest.raises(OutputError, match="is the data set itself"):
            resplit(finished, options, OTHER, Progress(quiet=True))
    assert read_all(out) == before


def set_version(out: Path) -> None:
    """Pretend that a newer version wrote the manifest."""
    manifest = json.loads((out / MANIFEST).read_text())
    (out / MANIFEST).write_text(json.dumps({**manifest, "schema_version": 99, "new": [1]}))


def edit_config(out: Path) -> None:
    """Edit the manifest without its digest."""
    manifest = json.loads((out / MANIFEST).read_text())
    (out / MANIFEST).write_text(json.dumps({**manifest, "config": {**manifest["config"], "seed": 5}}))


def flip(name: str) -> Callable[[Path], None]:
    """Return a function that flips a bit in the middle of a file."""

    def flip_bit(out: Path) -> None:
        (path,) = out.glob(name)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    return flip_bit


def remove(name: str) -> Callable[[Path], None]:
    """Return a function that removes a file."""
    return lambda out: next(out.glob(name)).unlink()


FLAWS = {
    "newer": (set_version, "of a newer pix2gif.*--overwrite"),
    "edited": (edit_config, "damaged.*config_digest.*--overwrite"),
    "report": (remove(REPORT), r"damaged \(.*report.html is missing\).*--overwrite"),
    "report flipped": (flip(REPORT), r"damaged \(.*report.html: its SHA-256 is not.*--overwrite"),
    "clips": (remove(CLIPS), r"damaged \(.*clips.parquet is missing\).*--overwrite"),
    "clips flipped": (flip(CLIPS), r"damaged \(.*clips.parquet.*\).*--overwrite"),
    "shard": (remove("val/*.tar"), r"damaged \(.*val/00000.tar is missing\).*--overwrite"),
    "flipped": (flip("val/*.tar"), r"damaged \(.*val/00000.tar is missing or damaged\).*--overwrite"),
    "part": (remove("flow/*"), r"damaged \(.*flow/part-.* is missing\).*--overwrite"),
}


@pytest.mark.parametrize(("harm", "message"), FLAWS.values(), ids=FLAWS.keys())
def test_finished_data_set_with_a_flaw_is_not_replaced(listing, out, dataset, harm, message):
    harm(out)
    before = read_all(out)
    with pytest.raises(OutputError, match=message):
        run(listing, out)
    assert read_all(out) == before
    if harm in (set_version, FLAWS["flipped"][0]):
        assert run(listing, out, overwrite=True)
        assert_same_dataset(out, dataset)


@pytest.mark.parametrize("overwrite", [False, True])
def test_unreadable_manifest_is_no_empty_folder(listing, out, overwrite):
    (out / MANIFEST).write_text((out / MANIFEST).read_text()[:-9])
    before = read_all(out)
    with pytest.raises(OutputError, match=r"dataset\.json that is not of a data set of pix2gif, or is damaged"):
        run(listing, out, overwrite=overwrite)
    assert read_all(out) == before


@pytest.mark.parametrize("left", ["run.json", "receipts", "lock"])
def test_run_that_an_earlier_version_began_is_resumed(listing, out, dataset, left):
    workspace = Workspace(out)
    workspace.mark_unfinished()
    (workspace.work / "owner.json").unlink()
    if left == "run.json":
        (workspace.work / left).write_text(json.dumps({"options": {}, "config": {}}))
    elif left == "receipts":
        workspace.receipts.mkdir()
        (workspace.receipts / "train-00000.json").write_text(json.dumps({"plan": "", "shard": {}}))
    else:
        (workspace.work / left).touch()
        for name in (CLIPS, REPORT, CARD, "train", "val"):
            shutil.rmtree(out / name) if (out / name).is_dir() else (out / name).unlink()
    summary = run(listing, out)
    assert summary.num_pairs_measured == 0
    assert_same_dataset(out, dataset)


def test_run_that_was_killed_after_its_marker_is_resumed(listing, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with contextlib.suppress(RuntimeError), Workspace(tmp_path).lock(overwrite=True):
        Workspace(tmp_path).mark_unfinished()
        raise RuntimeError
    with Workspace(tmp_path).lock(overwrite=False):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {".work", "thesis.tex"}


def test_lock_that_was_removed_while_another_run_opened_it_excludes_nobody(tmp_path, monkeypatch):
    path = tmp_path / ".work" / "lock"
    real_open, opened = os.open, []

    def open_and_lose(name, flags, mode):
        descriptor = real_open(name, flags, mode)
        if not opened:  # The first run ends now: it removes the file, and a third run makes it anew.
            opened.append(descriptor)
            path.unlink()
            path.touch()
        return descriptor

    monkeypatch.setattr(os, "open", open_and_lose)
    with hold_folder_lock(path, lambda: None):
        monkeypatch.undo()
        with pytest.raises(BlockingIOError), hold_folder_lock(path, lambda: None):
            pytest.fail("two runs hold the lock")


LOCK_OFTEN = """
import sys
from pathlib import Path
from curation.errors import OutputError
from curation.run.workspace import Workspace
held = 0
while held < 300:
    try:
        with Workspace(Path(sys.argv[1])).lock(overwrite=False):
            flag = Path(sys.argv[2])
            flag.touch(exist_ok=False)
            flag.unlink()
            held += 1
    except OutputError as error:
        assert "another run" in str(error), error
"""


def test_runs_that_lock_and_unlock_never_overlap(tmp_path):
    arguments = [sys.executable, "-c", LOCK_OFTEN, str(tmp_path / "out"), str(tmp_path / "flag")]
    processes = [subprocess.Popen(arguments, stderr=-1) for _ in range(3)]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors.decode()
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "out" / ".work").exists()


READ_ONLY = """
import os, sys
from pathlib import Path
from curation.config import CurationConfig
from curation.errors import OutputError
from tests.curation.helpers import run
if os.geteuid() == 0:
    os.setuid(65534)
listing, out = map(Path, sys.argv[1:])
assert run(listing, out) is None
try:
    run(listing, out, CurationConfig(max_motion=10), overwrite=True)
except OutputError as error:
    assert "cannot write to --out" in str(error), error
else:
    sys.exit("it was written")
try:
    run(listing, out, CurationConfig(max_motion=10))
except OutputError as error:
    assert "other parameters" in str(error), error
"""


def test_finished_data_set_that_cannot_be_written_is_finished(listing, dataset):
    with tempfile.TemporaryDirectory() as folder:  # Pytest's own folders cannot be entered by other users.
        inputs, out = (
            Path(shutil.copytree(source, f"{folder}/{source.name}-copy")) for source in (listing.parent, dataset)
        )
        for path in (Path(folder), *Path(folder).rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = read_all(out)
        arguments = [sys.executable, "-c", READ_ONLY, str(inputs / listing.name), str(out)]
        ended = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 0, ended.stderr
        assert read_all(out) == before
        assert {path.name for path in out.iterdir()} == {path.name for path in dataset.iterdir()}
        for path in Path(folder).rglob("*"):
            path.chmod(0o755)
