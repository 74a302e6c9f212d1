"""Cells of the pixel grid, compiled: which lanes have entered a new cell, and the window sums there.

A lane is one target frame; see `tracking`. The sums of a cell are eight: four shifts of the window by a pixel, for two
gradients. A window that moves by one pixel along one axis keeps half of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curation.flow.lucas_kanade.templates import PAD
from curation.flow.lucas_kanade.window_sums import sum_half, sum_windows
from curation.flow.reference import WINDOW_PX
from curation.jit import compile_part

LANES = 64

_u = np.uint64

# Rows of the state, each LANES wide, in one flat array, float64 [17 * LANES]. With constant offsets the compiler can
# prove that rows do not overlap, and vectorises without a run-time check.
ROW = np.uint64(LANES)
X, Y = _u(0), ROW  # Top left of the window, in pixels of the level.
CELL_X, CELL_Y = _u(2) * ROW, _u(3) * ROW  # Its integer part.
LAST_DX, LAST_DY = _u(4) * ROW, _u(5) * ROW
ACTIVE = _u(6) * ROW  # 1 while the lane iterates.
LOST = _u(7) * ROW  # 1 if the window has left the level.
STALE = _u(8) * ROW  # 0 if the sums belong to the cell, 1 if to another one, more if to a neighbour: see `enter_cells`.
SUMS = _u(9) * ROW  # Eight rows.
STATE_SIZE = 17 * LANES


@compile_part
def enter_cells(state: Any, num_lanes: Any, num_rows: float, num_cols: float) -> None:
    """Deactivate the lanes whose window has left the level; mark those whose window is in a new cell.

    The mark is 1; or 2 plus the first of the two shifts to compute, and 4 more if the step is vertical, if the window
    moved by one pixel along one axis.
    """
    for t in range(num_lanes):
        x, y, active = state[X + t], state[Y + t], state[ACTIVE + t]
        inside = (x >= -WINDOW_PX) & (x < num_cols) & (y >= -WINDOW_PX) & (y < num_rows)
        state[LOST + t] = 1.0 if (active != 0.0) & (not inside) else state[LOST + t]
        active = active if inside else 0.0
        cell_x, cell_y = np.floor(x), np.floor(y)
        right, down = cell_x - state[CELL_X + t], cell_y - state[CELL_Y + t]
        # Shifts are numbered (0, 0), (1, 0), (0, 1), (1, 1). After a step of +1 those ahead are new, else those behind.
        mark = 2.0 + 0.5 * (right + 1.0) if down == 0.0 else 6.0 + (down + 1.0)
        mark = mark if abs(right) + abs(down) == 1.0 else 1.0
        moved = (right != 0.0) | (down != 0.0)
        state[STALE + t] = mark if (active != 0.0) & moved else 0.0
        state[CELL_X + t], state[CELL_Y + t] = cell_x, cell_y
        state[ACTIVE + t] = active


@compile_part
def _sum_all(image: Any, y: int, x: int, template: Any, state: Any, k: Any) -> None:
    """Compute the sums of a lane, state[k], state[k + ROW] and so on."""
    s0, s1, s2, s3, s4, s5, s6, s7 = sum_windows(image, y, x, template)
    state[k] = s0
    state[k + ROW] = s1
    state[k + _u(2) * ROW] = s2
    state[k + _u(3) * ROW] = s3
    state[k + _u(4) * ROW] = s4
    state[k + _u(5) * ROW] = s5
    state[k + _u(6) * ROW] = s6
    state[k + _u(7) * ROW] = s7


@compile_part
def _sum_after_step(image: Any, y: int, x: int, template: Any, mark: int, state: Any, k: Any) -> None:
    """Compute the sums of a lane whose window moved by one pixel: the sums of the two shifts behind are known."""
    axis = 1 if mark < 6 else 2
    first = (mark - 2) & 3
    second = first + 3 - axis
    s0, s1, s2, s3 = sum_half(image, y, x, template, first, second)
    y_gradient = _u(4) * ROW
    new_a, new_b = k + _u(first) * ROW, k + _u(second) * ROW
    old_a, old_b = k + _u(first ^ axis) * ROW, k + _u(second ^ axis) * ROW
    state[old_a] = state[new_a]
    state[old_b] = state[new_b]
    state[old_a + y_gradient] = state[new_a + y_gradient]
    state[old_b + y_gradient] = state[new_b + y_gradient]
    state[new_a] = s0
    state[new_b] = s1
    state[new_a + y_gradient] = s2
    state[new_b + y_gradient] = s3


@compile_part
def refresh_sums(images: Any, first: int, state: Any, stale: Any, num_lanes: Any, template: Any) -> Any:
    """Compute the window sums of the stale lanes, where lane 0 is frame `first`; return the number of these lanes."""
    num_stale: Any = _u(0)
    for lane in range(num_lanes):
        stale[num_stale] = lane
        num_stale += _u(state[STALE + lane] != 0.0)
    for k in range(num_stale):
        t: Any = _u(stale[k])
        y, x = int(state[CELL_Y + t]) + PAD, int(state[CELL_X + t]) + PAD
        mark = int(state[STALE + t])
        if mark == 1:
            _sum_all(images[first + np.int64(t)], y, x, template, state, SUMS + t)
        else:
            _sum_after_step(images[first + np.int64(t)], y, x, template, mark, state, SUMS + t)
    return np.int64(num_stale)
