"""Where lines, bars and cells of a chart are."""

import pytest

from curation.inspection.report.charts import axis_for, cells_of, place_in, shares
from curation.inspection.report.report_data import Grid


def test_an_axis_ends_above_its_values_but_for_an_end_that_dwarfs_them() -> None:
    assert axis_for((1.0, 10.0, 4.0)).ticks == (0, 2, 4, 6, 8, 10)
    assert axis_for((0, 2, 1), least_step=1).ticks == (0, 1, 2)
    assert axis_for((0.0, 0.37, 0.1)).ticks == pytest.approx((0, 0.1, 0.2, 0.3))
    assert axis_for((100.0, 4.0, 10.0, 3.0)).top == pytest.approx(1.05 * 11.5)
    assert axis_for((100.0, 4.0, 10.0, 3.0)).share(100.0) == 1
    assert axis_for((100.0, 60.0, 3.0)).top == pytest.approx(105)
    assert axis_for(()).top > 0


def test_shares_sum_to_one_or_are_none() -> None:
    assert shares((1, 3)) == (0.25, 0.75)
    assert shares((0, 0)) == (0, 0)


def test_cells_are_as_deep_as_their_share_of_column_or_whole() -> None:
    grid = Grid(column_edges=(0, 1, 2, 3), row_edges=(0, 1, 2), counts=((1, 3), (0, 0), (4, 0)))
    by_column = {(cell.column, cell.row): cell for cell in cells_of(grid, by_column=True)}
    assert {place: cell.share for place, cell in by_column.items()} == {(0, 0): 0.25, (0, 1): 0.75, (2, 0): 1.0}
    assert by_column[2, 0].depth == 1
    assert 0 < by_column[0, 0].depth < by_column[0, 1].depth < 1
    of_all = {(cell.column, cell.row): cell.share for cell in cells_of(grid, by_column=False)}
    assert of_all == {(0, 0): 0.125, (0, 1): 0.375, (2, 0): 0.5}
    assert list(cells_of(Grid(column_edges=(0, 1), row_edges=(0, 1), counts=((0,),)), by_column=True)) == []


def test_bins_of_any_width_are_drawn_alike_and_the_last_is_open() -> None:
    edges = (0, 10, 100, 200)
    assert [place_in(edges, value) for value in (0, 5, 10, 55, 100, 5000)] == [0, 0.5, 1, 1.5, 2.5, 2.5]
