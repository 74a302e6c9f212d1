"""Measuring one GIF: CSV, heat map, errors."""

import csv
import io

import numpy as np
import pytest

from curation.config import CurationConfig
from curation.errors import CurationError
from curation.inspection.one_gif import draw_heat_map, format_csv, measure_file


def test_csv_has_every_pair_of_the_gif(listing):
    measurement, rows = measure_file(listing.parent / "gifs" / "texture_000.gif", CurationConfig())
    assert rows.num_rows == measurement.num_frames * (measurement.num_frames - 1) // 2
    lines = list(csv.DictReader(io.StringIO(format_csv(rows))))
    assert list(lines[0]) == ["source_index", "target_index", "gap_ms", "motion_px", "tracked_fraction", "across_cut"]
    assert [float(line["motion_px"]) for line in lines] == pytest.approx(rows["motion_px"].to_pylist(), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "reason"), [("gone.gif", "an HTML page"), ("still.gif", "one frame"), ("no.gif", "no file")]
)
def test_unmeasurable_file_raises_with_the_reason(listing, name, reason):
    with pytest.raises(CurationError, match=reason):
        measure_file(listing.parent / "gifs" / name, CurationConfig())


def test_heat_map_brightens_with_motion_and_is_blank_below_the_diagonal():
    num_frames = 6
    sources, targets = np.triu_indices(num_frames, k=1)
    picture = np.asarray(draw_heat_map((targets - sources).astype(np.float32), num_frames, "title")).astype(int)
    cell, margin = 120, 64
    colour = {
        (i, j): picture[margin + cell * i + cell // 2, margin + cell * j + cell // 2]
        for i in range(num_frames)
        for j in range(num_frames)
    }
    assert all((colour[i, j] == 255).all() for i, j in colour if i >= j)
    brightness = [colour[0, j].sum() for j in range(1, num_frames)]
    assert brightness == sorted(brightness)
    assert (colour[0, 1] == colour[4, 5]).all()
