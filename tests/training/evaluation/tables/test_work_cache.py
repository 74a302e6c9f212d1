import numpy as np
import pytest

from tests.training.evaluation.helpers import draw_frames
from training.evaluation.tables.work_cache import Ranks, Work


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path / "work")


def never():
    raise AssertionError("it was there already")


def test_numbers_are_made_once_and_anew_for_another_recipe(work):
    numbers = np.array([1.5, 2.5])
    assert np.array_equal(work.numbers("a/b.i3d", {"seed": 1}, lambda: numbers), numbers)
    assert np.array_equal(work.numbers("a/b.i3d", {"seed": 1}, never), numbers)
    assert np.array_equal(work.numbers("a/b.i3d", {"seed": 2}, lambda: numbers + 1), numbers + 1)
    assert np.array_equal(work.numbers("a/b.i3d", {"seed": 2}, never), numbers + 1)


@pytest.mark.parametrize("damage", [b"", b"PK and no more", b"\x93NUMPY"])
def test_a_damaged_file_is_made_anew(work, damage):
    work.numbers("a", {}, lambda: np.zeros(2))
    (work.folder / "a.npz").write_bytes(damage)
    assert work.numbers("a", {}, lambda: np.ones(2)).tolist() == [1, 1]
    assert work.numbers("a", {}, never).tolist() == [1, 1]


def test_frames_are_kept_without_loss_and_made_anew_for_another_recipe(work):
    frames = draw_frames([0, 3, 6])
    work.frames("full/clip", {"seed": 1}, lambda: frames)
    assert np.array_equal(work.frames("full/clip", {"seed": 1}, never), frames)
    work.frames("full/clip", {"seed": 2}, lambda: frames[:2])
    assert np.array_equal(work.frames("full/clip", {"seed": 2}, never), frames[:2])
    assert sorted(path.name for path in (work.folder / "full").iterdir()) == ["clip"]


def test_frames_whose_making_failed_leave_nothing(work):
    with pytest.raises(ZeroDivisionError):
        work.frames("full/clip", {}, lambda: 1 / 0)
    assert not (work.folder / "full").exists()


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b"no picture")])
def test_frames_that_are_damaged_or_gone_are_made_anew(work, harm):
    frames = draw_frames([0, 3, 6])
    work.frames("clip", {}, lambda: frames)
    harm(work.folder / "clip" / "001.png")
    assert np.array_equal(work.frames("clip", {}, lambda: frames[::-1]), frames[::-1])


def test_a_recipe_that_is_torn_is_not_believed(work):
    work.frames("clip", {}, lambda: draw_frames([0, 3]))
    (work.folder / "clip" / "recipe.json").write_text('{"digest"')
    assert len(work.frames("clip", {}, lambda: draw_frames([0]))) == 1


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_shares_are_disjoint_and_complete(world_size):
    items = list(range(7))
    shares = [Ranks(rank=rank, world_size=world_size).share(items) for rank in range(world_size)]
    assert sorted(item for share in shares for item in share) == items
