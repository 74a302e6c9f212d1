import numpy as np
from PIL import Image

from training.generation.sheet import draw_flow, draw_sheet, to_displacements


def test_a_sheet_holds_pictures_of_different_sizes():
    rows = [[Image.new("RGB", (width, height), "red")] for width, height in ((30, 20), (10, 50))]
    sheet = np.asarray(draw_sheet(rows, ["wide", "high"], ["source"]))
    assert (sheet == [255, 0, 0]).all(axis=-1).sum() == 30 * 20 + 10 * 50


def test_a_flow_to_the_left_is_a_displacement_to_the_right():
    """The flow points back to the old position: -0.5 grid units is a quarter of the width to the left."""
    flow = np.zeros((1, 2, 8, 8), np.float32)
    flow[0, 0] = -0.5
    displacement = to_displacements(flow, "residual", (64, 32))[0]
    np.testing.assert_allclose(displacement, np.stack([np.full((8, 8), 16.0), np.zeros((8, 8))]))
    picture = np.asarray(draw_flow(Image.new("RGB", (64, 32), "white"), displacement, 16.0)).astype(int)
    assert np.median(picture[..., 0] - picture[..., 2]) > 100  # Red is motion to the right.


def test_an_absolute_identity_flow_displaces_nothing():
    centres = (np.arange(8) * 2 + 1) / 8 - 1
    grid = np.stack(np.meshgrid(centres, centres))[None].astype(np.float32)
    assert np.abs(to_displacements(grid, "absolute", (64, 64))[0]).max() < 1e-4
