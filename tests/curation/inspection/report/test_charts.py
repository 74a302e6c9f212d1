"""Axes, normalized histograms, heat map cells and bin positions."""

import pytest

from curation.inspection.report.charts import bin_position, list_cells, make_axis, normalize
from curation.inspection.report.report_data import Grid


def test_axis_has_round_ticks_and_cuts_off_extreme_end_bins() -> None:
    assert make_axis((1.0, 10.0, 4.0)).ticks == (0, 2, 4, 6, 8, 10)
    assert make_axis((0, 2, 1), min_step=1).ticks == (0, 1, 2)
    assert make_axis((0.0, 0.37, 0.1)).ticks == pytest.approx((0, 0.1, 0.2, 0.3))
    assert make_axis((100.0, 4.0, 10.0, 3.0)).top == pytest.approx(1.05 * 11.5)
    assert make_axis((100.0, 4.0, 10.0, 3.0)).fraction(100.0) == 1
    assert make_axis((100.0, 60.0, 3.0)).top == pytest.approx(105)
    assert make_axis(()).top > 0


def test_normalize_sums_to_one_or_returns_zeros() -> None:
    assert normalize((1, 3)) == (0.25, 0.75)
    assert normalize((0, 0)) == (0, 0)


def test_cells_have_their_share_of_the_column_or_grid() -> None:
    grid = Grid(column_edges=(0, 1, 2, 3), row_edges=(0, 1, 2), counts=((1, 3), (0, 0), (4, 0)))
    by_column = {(cell.column, cell.row): cell for cell in list_cells(grid, by_column=True)}
    assert {place: cell.share for place, cell in by_column.items()} == {(0, 0): 0.25, (0, 1): 0.75, (2, 0): 1.0}
    assert by_column[2, 0].opacity == 1
    assert 0 < by_column[0, 0].opacity < by_column[0, 1].opacity < 1
    by_grid = {(cell.column, cell.row): cell.share for cell in list_cells(grid, by_column=False)}
    assert by_grid == {(0, 0): 0.125, (0, 1): 0.375, (2, 0): 0.5}
    assert list(list_cells(Grid(column_edges=(0, 1), row_edges=(0, 1), counts=((0,),)), by_column=True)) == []


def test_bin_position_interpolates_and_centers_the_open_bin() -> None:
    edges = (0, 10, 100, 200)
    assert [bin_position(edges, value) for value in (0, 5, 10, 55, 100, 5000)] == [0, 0.5, 1, 1.5, 2.5, 2.5]
