import numpy as np
from PIL import Image

from training.generation.pictures import draw_sheet


def test_a_sheet_takes_pictures_of_unlike_sizes() -> None:
    rows = [[Image.new("RGB", (width, height), "red")] for width, height in ((30, 20), (10, 50))]
    sheet = np.asarray(draw_sheet(rows, ["wide", "high"], ["source"]))
    assert (sheet == [255, 0, 0]).all(axis=-1).sum() == 30 * 20 + 10 * 50
