import numpy as np
import pytest

from tests.training.evaluation.helpers import draw_frames
from training.evaluation.errors import EvaluationError
from training.evaluation.tables.work_cache import WorkCache


@pytest.fixture
def work(tmp_path):
    return WorkCache(tmp_path / "work")


def fail():
    raise AssertionError("a cached item was computed again")


def test_arrays_are_computed_once_for_each_recipe(work):
    numbers = np.array([1.5, 2.5])
    assert np.array_equal(work.get_array("a/b.i3d", {"seed": 1}, lambda: numbers), numbers)
    assert np.array_equal(work.get_array("a/b.i3d", {"seed": 1}, fail), numbers)
    assert np.array_equal(work.get_array("a/b.i3d", {"seed": 2}, lambda: numbers + 1), numbers + 1)
    assert np.array_equal(work.get_array("a/b.i3d", {"seed": 2}, fail), numbers + 1)


@pytest.mark.parametrize("damage", [b"", b"PK and no more", b"\x93NUMPY"])
def test_damaged_array_is_computed_again(work, damage):
    work.get_array("a", {}, lambda: np.zeros(2))
    (work.folder / "a.npz").write_bytes(damage)
    assert work.get_array("a", {}, lambda: np.ones(2)).tolist() == [1, 1]
    assert work.get_array("a", {}, fail).tolist() == [1, 1]


def test_frames_are_cached_without_loss_for_each_recipe(work):
    frames = draw_frames([0, 3, 6])
    work.get_frames("full/clip", {"seed": 1}, lambda: frames)
    assert np.array_equal(work.get_frames("full/clip", {"seed": 1}, fail), frames)
    work.get_frames("full/clip", {"seed": 2}, lambda: frames[:2])
    assert np.array_equal(work.get_frames("full/clip", {"seed": 2}, fail), frames[:2])
    assert sorted(path.name for path in (work.folder / "full").iterdir()) == ["clip"]


def test_failed_generation_leaves_no_folder(work):
    with pytest.raises(ZeroDivisionError):
        work.get_frames("full/clip", {}, lambda: 1 / 0)
    assert not (work.folder / "full").exists()


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"no picture")])
def test_damaged_or_missing_frames_are_generated_again(work, damage):
    frames = draw_frames([0, 3, 6])
    work.get_frames("clip", {}, lambda: frames)
    damage(work.folder / "clip" / "001.png")
    assert np.array_equal(work.get_frames("clip", {}, lambda: frames[::-1]), frames[::-1])


def test_frames_with_a_damaged_recipe_are_generated_again(work):
    work.get_frames("clip", {}, lambda: draw_frames([0, 3]))
    (work.folder / "clip" / "recipe.json").write_text('{"digest"')
    assert len(work.get_frames("clip", {}, lambda: draw_frames([0]))) == 1


def test_folder_of_others_is_not_replaced(work):
    (work.folder / "clip").mkdir(parents=True)
    (work.folder / "clip" / "notes.txt").write_text("mine")
    with pytest.raises(EvaluationError, match="holds no frames of pix2gif"):
        work.get_frames("clip", {}, lambda: draw_frames([0]))
    assert (work.folder / "clip" / "notes.txt").read_text() == "mine"
