"""The lock on OUT, its protection of other files, and the removal of leftovers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from curation.errors import OutputError
from curation.export.dataset import find_damage, read_intact_manifest
from curation.run.workspace import Workspace
from shards.manifest import read_manifest
from shards.schema import CARD, CLIPS, MANIFEST, REPORT

HOLD_LOCK = """
import sys
from pathlib import Path
from curation.run.workspace import Workspace
with Workspace(Path(sys.argv[1])).lock(overwrite=False):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def out(dataset: Path, tmp_path: Path) -> Path:
    """A copy of a finished data set."""
    return Path(shutil.copytree(dataset, tmp_path / "out"))


@pytest.mark.parametrize("exists", [False, True], ids=["missing", "empty"])
def test_lock_on_empty_folder_leaves_nothing_behind(tmp_path: Path, exists: bool) -> None:
    out = tmp_path / "a" / "out"
    if exists:
        out.mkdir(parents=True)
    with Workspace(out).lock(overwrite=False):
        assert (out / ".work").is_dir()
    assert list(out.iterdir()) == []


def test_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(OutputError, match="holds something else"), Workspace(tmp_path).lock(overwrite=False):
        pytest.fail("it was locked")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_overwrite_keeps_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("ten years")
    with Workspace(tmp_path).lock(overwrite=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_out_below_or_at_a_file_is_refused(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").write_text("kept")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError, match=f"--out {out}"), Workspace(out).lock(overwrite=overwrite):
            pytest.fail("it was locked")
    assert (tmp_path / "file").read_text() == "kept"


def test_started_and_finished_data_sets_can_be_locked(out: Path, tmp_path: Path) -> None:
    (tmp_path / "started" / ".work" / "receipts").mkdir(parents=True)
    (tmp_path / "started" / "train").mkdir()
    for folder in (out, tmp_path / "started"):
        with Workspace(folder).lock(overwrite=False):
            pass


def test_work_of_a_failed_run_is_kept(tmp_path: Path) -> None:
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


def test_second_run_is_refused_while_the_first_is_alive(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD_LOCK, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "locked\n"
        with (
            pytest.raises(OutputError, match="another run is writing"),
            Workspace(tmp_path / "out").lock(overwrite=True),
        ):
            pytest.fail("it was locked twice")
        first.kill()
    with Workspace(tmp_path / "out").lock(overwrite=False):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_unwritable_folder_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "out").mkdir(mode=mode)
    with pytest.raises(OutputError, match="--out"), Workspace(tmp_path / "out").lock(overwrite=False):
        pytest.fail("it was locked")


def test_finished_data_set_has_an_intact_manifest(out: Path) -> None:
    manifest = read_intact_manifest(Workspace(out))
    assert manifest is not None
    assert manifest.listing.num_rows == 15


@pytest.mark.parametrize("name", [CLIPS, REPORT, CARD, "train/00000.tar"])
@pytest.mark.parametrize("is_resized", [True, False], ids=["resized", "flipped"])
def test_data_set_with_a_changed_file_is_damaged(out: Path, name: str, is_resized: bool) -> None:
    data = bytearray((out / name).read_bytes())
    data[60] ^= 1
    (out / name).write_bytes(data + b"\0" if is_resized else data)
    manifest = read_manifest(out)
    damage = find_damage(Workspace(out), manifest)
    assert damage is not None
    assert name in damage


@pytest.mark.parametrize("name", [MANIFEST, CLIPS, REPORT, "train/00000.tar"])
def test_data_set_without_a_file_is_not_intact(out: Path, name: str) -> None:
    (out / name).unlink()
    assert read_intact_manifest(Workspace(out)) is None


def test_data_set_with_a_truncated_shard_or_manifest_is_not_intact(out: Path) -> None:
    shard = out / "val" / "00000.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-512])
    assert read_intact_manifest(Workspace(out)) is None
    shard.write_bytes(whole)
    assert read_intact_manifest(Workspace(out))
    (out / MANIFEST).write_text("{")
    assert read_intact_manifest(Workspace(out)) is None


def test_mark_unfinished_removes_only_the_manifest(out: Path) -> None:
    before = set(out.rglob("*"))
    Workspace(out).mark_unfinished()
    assert before - set(out.rglob("*")) == {out / MANIFEST}
    Workspace(out).mark_unfinished()


def test_unplanned_shards_are_removed_with_their_empty_folder(out: Path) -> None:
    (out / "train" / "notes.txt").write_text("mine")
    Workspace(out).remove_unplanned_shards({out / "val" / "00000.tar"})
    assert (out / "val" / "00000.tar").exists()
    assert [path.name for path in (out / "train").iterdir()] == ["notes.txt"]
    Workspace(out).remove_unplanned_shards(set())
    assert not (out / "val").exists()


def test_clean_up_keeps_fetched_gifs(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for folder in (workspace.fetched, workspace.fragments, workspace.receipts):
        folder.mkdir(parents=True)
        (folder / "file").write_text("")
    workspace.clean_up()
    assert [path.name for path in workspace.work.iterdir()] == ["fetched"]


def test_clean_up_removes_temporary_files_of_killed_processes_only(out: Path) -> None:
    before = set(out.rglob("*"))
    (out / ".work").mkdir()
    before.add(out / ".work")
    for folder, name in (
        ("train", "00000.tar"),
        ("flow", f"part-{'0' * 32}.parquet"),
        (".", "clips.parquet"),
        (".work", "run.json"),
    ):
        (out / folder / f".{name}.host-12.tmp").write_text("incomplete")
    (out / "train" / "mine.tmp").write_text("")
    Workspace(out).clean_up()
    assert set(out.rglob("*")) == before | {out / "train" / "mine.tmp"}
