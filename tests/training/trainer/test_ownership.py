"""What encoding and training replace and delete in --out: their own files, and nothing else."""

import json
from pathlib import Path

import pytest

from shards.schema import MANIFEST
from training.errors import TrainingError
from training.giftune.tuner import TUNING_RUN
from training.runtime.guards import check_run_folder
from training.trainer.config import tiny
from training.trainer.encode_latents import encode_dataset
from training.trainer.trainer import TRAINING_RUN


def read_all(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_files(folder: Path, *names: str) -> None:
    """Write files that are not ours."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}" if name.endswith(".json") else "mine")


@pytest.mark.parametrize(
    "names",
    [
        (MANIFEST, ".work/fetched/objects/ab/abc"),
        ("train/00000.arrow",),
        (".work/notes.txt",),
        ("latents.json",),
        ("thesis.tex",),
    ],
    ids=["data set", "arrow", "work", "latents.json", "others"],
)
def test_encode_into_a_folder_of_others_is_refused(small_shards, tmp_path, names):
    write_files(tmp_path, *names)
    before = read_all(tmp_path)
    with pytest.raises(TrainingError, match="choose an"):
        encode_dataset(small_shards, tmp_path, tiny(), map, progress=lambda n: None)
    assert read_all(tmp_path) == before


def test_encode_through_a_link_is_refused(small_shards, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TrainingError, match=r"something else \(train\)"):
        encode_dataset(small_shards, tmp_path / "out", tiny(), map, progress=lambda n: None)


def test_encode_resumes_what_an_earlier_version_began_and_keeps_files_of_others(small_shards, tmp_path):
    (tmp_path / ".work").mkdir()
    (tmp_path / ".work" / "train-00000.tar.json").write_text(json.dumps({"plan": "", "shard": {}}))
    write_files(tmp_path, ".work/notes.txt", "train/notes.txt")
    assert encode_dataset(small_shards, tmp_path, tiny(), map, progress=lambda n: None)
    assert [path.name for path in (tmp_path / ".work").iterdir()] == ["notes.txt"]
    assert (tmp_path / "train" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", [TRAINING_RUN, TUNING_RUN])
@pytest.mark.parametrize(
    "names",
    [
        ("config.json", "model.safetensors"),
        ("checkpoints/step-00000001/notes.txt",),
        ("validation/cat.gif",),
        (MANIFEST, "train/00000.tar"),
        ("latents.json",),
    ],
    ids=["model", "checkpoints", "validation", "data set", "latents"],
)
def test_run_in_a_folder_of_others_is_refused(tmp_path, names, kind):
    write_files(tmp_path, *names)
    before = read_all(tmp_path)
    with pytest.raises(TrainingError, match="choose another folder"):
        check_run_folder(tmp_path, kind)
    assert read_all(tmp_path) == before


def test_run_folder_may_hold_a_log_and_an_earlier_run(tmp_path):
    check_run_folder(tmp_path / "absent", TRAINING_RUN)
    write_files(tmp_path, "slurm-1.out", "notes/plan.md")
    check_run_folder(tmp_path, TRAINING_RUN)
    config = {"data": "shards", "model": {}, "global_batch": 8, "max_steps": 1}
    write_files(tmp_path, "checkpoints/step-00000001/model.pt", "metrics.jsonl")
    (tmp_path / "config.json").write_text(json.dumps(config))
    check_run_folder(tmp_path, TRAINING_RUN)
    with pytest.raises(TrainingError, match=r"config\.json that is not of a GIF-Tune run"):
        check_run_folder(tmp_path, TUNING_RUN)
