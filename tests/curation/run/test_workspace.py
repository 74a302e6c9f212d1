"""OUT is claimed by one run at a time, and never taken from somebody else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from curation.errors import OutputError
from curation.export.dataset import read_intact_manifest
from curation.run.workspace import Workspace
from shards.schema import CLIPS, MANIFEST, REPORT

HOLD_THE_LOCK = """
import sys
from pathlib import Path
from curation.run.workspace import Workspace
with Workspace(Path(sys.argv[1])).lock(overwrite=False):
    print("claimed", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def out(dataset: Path, tmp_path: Path) -> Path:
    """A copy of a finished data set."""
    return Path(shutil.copytree(dataset, tmp_path / "out"))


@pytest.mark.parametrize("make", [False, True], ids=["not there", "empty"])
def test_an_empty_folder_is_claimed_and_left_as_it_was(tmp_path: Path, make: bool) -> None:
    out = tmp_path / "a" / "out"
    if make:
        out.mkdir(parents=True)
    with Workspace(out).lock(overwrite=False):
        assert (out / ".work").is_dir()
    assert list(out.iterdir()) == []


def test_a_folder_that_holds_something_else_is_refused_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(OutputError, match="holds something else"), Workspace(tmp_path).lock(overwrite=False):
        pytest.fail("it was claimed")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_with_overwrite_it_is_claimed_and_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("ten years")
    with Workspace(tmp_path).lock(overwrite=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_refused_as_out_and_as_a_folder_above_it(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").write_text("kept")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError, match=f"--out {out}"), Workspace(out).lock(overwrite=overwrite):
            pytest.fail("it was claimed")
    assert (tmp_path / "file").read_text() == "kept"


def test_what_an_earlier_run_began_or_finished_is_claimed(out: Path, tmp_path: Path) -> None:
    (tmp_path / "begun" / ".work" / "receipts").mkdir(parents=True)
    (tmp_path / "begun" / "train").mkdir()
    for folder in (out, tmp_path / "begun"):
        with Workspace(folder).lock(overwrite=False):
            pass


def test_what_a_failed_run_leaves_is_kept_for_the_next_one(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "out")

    def run() -> None:
        with workspace.lock(overwrite=False):
            workspace.receipts.mkdir()
            raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        run()
    assert workspace.receipts.is_dir()
    with workspace.lock(overwrite=False):
        workspace.clean_up()
    assert list(workspace.out.iterdir()) == []


def test_a_second_run_on_the_same_out_is_refused_while_the_first_one_lives(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "claimed\n"
        with (
            pytest.raises(OutputError, match="another run is writing"),
            Workspace(tmp_path / "out").lock(overwrite=True),
        ):
            pytest.fail("it was claimed twice")
        first.kill()
    with Workspace(tmp_path / "out").lock(overwrite=False):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "out").mkdir(mode=mode)
    with pytest.raises(OutputError, match="--out"), Workspace(tmp_path / "out").lock(overwrite=False):
        pytest.fail("it was claimed")


def test_a_finished_data_set_is_known_by_its_manifest_and_its_files_sizes(out: Path) -> None:
    manifest = read_intact_manifest(Workspace(out))
    assert manifest is not None
    assert manifest.listing.num_rows == 15


@pytest.mark.parametrize("name", [MANIFEST, CLIPS, REPORT, "train/00000.tar"])
def test_a_data_set_that_lacks_a_file_is_not_finished(out: Path, name: str) -> None:
    (out / name).unlink()
    assert read_intact_manifest(Workspace(out)) is None


def test_a_data_set_with_a_shard_cut_short_or_a_torn_manifest_is_not_finished(out: Path) -> None:
    shard = out / "val" / "00000.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-512])
    assert read_intact_manifest(Workspace(out)) is None
    shard.write_bytes(whole)
    assert read_intact_manifest(Workspace(out))
    (out / MANIFEST).write_text("{")
    assert read_intact_manifest(Workspace(out)) is None


def test_reopening_takes_the_manifest_away_and_nothing_else(out: Path) -> None:
    before = set(out.rglob("*"))
    Workspace(out).mark_unfinished()
    assert before - set(out.rglob("*")) == {out / MANIFEST}
    Workspace(out).mark_unfinished()


def test_shards_that_are_not_planned_are_dropped_with_their_empty_folder(out: Path) -> None:
    (out / "train" / "notes.txt").write_text("mine")
    Workspace(out).remove_unplanned_shards({out / "val" / "00000.tar"})
    assert (out / "val" / "00000.tar").exists()
    assert [path.name for path in (out / "train").iterdir()] == ["notes.txt"]
    Workspace(out).remove_unplanned_shards(set())
    assert not (out / "val").exists()


def test_clearing_keeps_what_was_fetched(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for folder in (workspace.fetched, workspace.fragments, workspace.receipts):
        folder.mkdir(parents=True)
        (folder / "file").write_text("")
    workspace.clean_up()
    assert [path.name for path in workspace.work.iterdir()] == ["fetched"]


def test_clearing_takes_away_what_a_killed_worker_was_writing_and_nothing_of_a_users(out: Path) -> None:
    before = set(out.rglob("*"))
    for name in ("train/.00000.tar.host-12.tmp", "flow/.part-0.parquet.host-12.tmp", ".clips.parquet.host-12.tmp"):
        (out / name).write_text("half")
    (out / "train" / "mine.tmp").write_text("")
    Workspace(out).clean_up()
    assert set(out.rglob("*")) == before | {out / "train" / "mine.tmp"}
