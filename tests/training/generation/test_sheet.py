import numpy as np
from PIL import Image

from training.generation.sheet import draw_flow, draw_sheet, to_displacements


def test_a_flow_to_the_left_draws_a_move_to_the_right():
    """Where something comes to be, a flow of -1 grid units points to where it was, half a picture to the left."""
    flow = np.zeros((1, 2, 8, 8), np.float32)
    flow[0, 0] = -0.5
    moved = to_displacements(flow, "residual", (64, 32))[0]
    np.testing.assert_allclose(moved, np.stack([np.full((8, 8), 16.0), np.zeros((8, 8))]))
    drawn = np.asarray(draw_flow(Image.new("RGB", (64, 32), "white"), moved, 16.0)).astype(int)
    assert np.median(drawn[..., 0] - drawn[..., 2]) > 100  # Rightwards is red.


def test_an_absolute_flow_that_is_the_identity_moves_nothing():
    centres = (np.arange(8) * 2 + 1) / 8 - 1
    grid = np.stack(np.meshgrid(centres, centres))[None].astype(np.float32)
    assert np.abs(to_displacements(grid, "absolute", (64, 64))[0]).max() < 1e-4


def test_a_sheet_takes_pictures_of_unlike_sizes() -> None:
    rows = [[Image.new("RGB", (width, height), "red")] for width, height in ((30, 20), (10, 50))]
    sheet = np.asarray(draw_sheet(rows, ["wide", "high"], ["source"]))
    assert (sheet == [255, 0, 0]).all(axis=-1).sum() == 30 * 20 + 10 * 50
