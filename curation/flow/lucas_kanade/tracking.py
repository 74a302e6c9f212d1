"""Pyramidal Lucas-Kanade tracking (Bouguet, 2001), compiled: corners of a source frame into all later frames.

A lane is one target frame. All lanes of a source frame share a corner's template, so each step is a loop over lanes
without branches, which the compiler vectorises.

    T frames, S source frames, P pairs, C corners
    pyramid: three arrays, uint8 [T, rows + 2 PAD, cols + 2 PAD], padded by reflection
    images: one of them
    counters: int64 [2], incremented by the number of iterations and of visited cells
    work: see `templates.allocate_buffers`; buffers: work, the state of the lanes, and the list of stale lanes
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curation.flow.lucas_kanade.templates import PAD, build_template
from curation.flow.lucas_kanade.window_sums import sum_windows
from curation.flow.reference import EPSILON_PX, MAX_ITERATIONS, MIN_DISPLACEMENT_PX, WINDOW_PX
from curation.jit import compile_entry, compile_part

HALF = WINDOW_PX // 2 * 1.0
EPSILON_SQUARED = EPSILON_PX * EPSILON_PX
OSCILLATION_PX = 0.01
LANES = 64

_u = np.uint64

# Rows of the state, each LANES wide, in one flat array, float64 [17 * LANES]. With constant offsets the compiler can
# prove that rows do not overlap, and vectorises without a run-time check.
_ROW = np.uint64(LANES)
_X, _Y = _u(0), _ROW  # Top left of the window, in pixels of the level.
_CELL_X, _CELL_Y = _u(2) * _ROW, _u(3) * _ROW  # Its integer part.
_LAST_DX, _LAST_DY = _u(4) * _ROW, _u(5) * _ROW
_ACTIVE = _u(6) * _ROW  # 1 while the lane iterates.
_LOST = _u(7) * _ROW  # 1 if the window has left the level.
_STALE = _u(8) * _ROW  # 1 if the sums belong to another cell.
_SUMS = _u(9) * _ROW  # Eight rows.
STATE_SIZE = 17 * LANES


@compile_part
def _enter_cells(state: Any, num_lanes: Any, num_rows: float, num_cols: float) -> None:
    """Deactivate the lanes whose window has left the level; mark those whose window is in a new cell."""
    for t in range(num_lanes):
        x, y, active = state[_X + t], state[_Y + t], state[_ACTIVE + t]
        inside = (x >= -WINDOW_PX) & (x < num_cols) & (y >= -WINDOW_PX) & (y < num_rows)
        state[_LOST + t] = 1.0 if (active != 0.0) & (not inside) else state[_LOST + t]
        active = active if inside else 0.0
        cell_x, cell_y = np.floor(x), np.floor(y)
        moved = (cell_x != state[_CELL_X + t]) | (cell_y != state[_CELL_Y + t])
        state[_STALE + t] = 1.0 if (active != 0.0) & moved else 0.0
        state[_CELL_X + t], state[_CELL_Y + t] = cell_x, cell_y
        state[_ACTIVE + t] = active


@compile_part
def _refresh_sums(images: Any, first: int, state: Any, stale: Any, num_lanes: Any, template: Any) -> Any:
    """Compute the window sums of the stale lanes, where lane 0 is frame `first`; return the number of these lanes."""
    num_stale: Any = _u(0)
    for lane in range(num_lanes):
        stale[num_stale] = lane
        num_stale += _u(state[_STALE + lane] != 0.0)
    for k in range(num_stale):
        t: Any = _u(stale[k])
        y, x = int(state[_CELL_Y + t]) + PAD, int(state[_CELL_X + t]) + PAD
        s0, s1, s2, s3, s4, s5, s6, s7 = sum_windows(images[first + np.int64(t)], y, x, template)
        state[_SUMS + t] = s0
        state[_SUMS + _ROW + t] = s1
        state[_SUMS + _u(2) * _ROW + t] = s2
        state[_SUMS + _u(3) * _ROW + t] = s3
        state[_SUMS + _u(4) * _ROW + t] = s4
        state[_SUMS + _u(5) * _ROW + t] = s5
        state[_SUMS + _u(6) * _ROW + t] = s6
        state[_SUMS + _u(7) * _ROW + t] = s7
    return np.int64(num_stale)


@compile_part
def _step(state: Any, num_lanes: Any, model: Any, oscillation: float) -> None:
    """Move every active lane by one Gauss-Newton step; deactivate those that converged or oscillate.

    A step that undoes the previous one to within `oscillation` pixels is halved, as in OpenCV.
    """
    m11, m12, m22, bias_x, bias_y = model[0], model[1], model[2], model[3], model[4]
    for t in range(num_lanes):
        x, y = state[_X + t], state[_Y + t]
        fx, fy = x - state[_CELL_X + t], y - state[_CELL_Y + t]
        k = _SUMS + t
        s0, s1, s2, s3 = state[k], state[k + _ROW], state[k + _u(2) * _ROW], state[k + _u(3) * _ROW]
        bx = (s0 + fx * (s1 - s0)) + fy * ((s2 - s0) + fx * ((s0 - s1) - (s2 - s3))) - bias_x
        k += _u(4) * _ROW
        s0, s1, s2, s3 = state[k], state[k + _ROW], state[k + _u(2) * _ROW], state[k + _u(3) * _ROW]
        by = (s0 + fx * (s1 - s0)) + fy * ((s2 - s0) + fx * ((s0 - s1) - (s2 - s3))) - bias_y
        dx, dy = m12 * by - m22 * bx, m12 * bx - m11 * by
        active = state[_ACTIVE + t] != 0.0
        converged = dx * dx + dy * dy <= EPSILON_SQUARED
        back_x, back_y = abs(dx + state[_LAST_DX + t]), abs(dy + state[_LAST_DY + t])
        oscillates = (not converged) & (back_x < oscillation) & (back_y < oscillation)
        part = 0.5 if oscillates else 1.0
        part = part if active else 0.0
        state[_X + t], state[_Y + t] = x + part * dx, y + part * dy
        state[_LAST_DX + t], state[_LAST_DY + t] = dx, dy
        state[_ACTIVE + t] = 1.0 if active & (not converged) & (not oscillates) else 0.0


@compile_part
def _track_level(
    images: Any, first: int, num_lanes: int, template: Any, model: Any, state: Any, stale: Any, counters: Any
) -> None:
    """Iterate all lanes at one level, starting from their current positions."""
    num_rows, num_cols = float(images.shape[1] - 2 * PAD), float(images.shape[2] - 2 * PAD)
    lanes = _u(num_lanes)
    whole_vectors = (lanes + _u(7)) // _u(8) * _u(8)
    for t in range(whole_vectors):
        state[_ACTIVE + t] = 1.0 if t < lanes else 0.0
        state[_CELL_X + t] = -1e9
    for iteration in range(MAX_ITERATIONS):
        _enter_cells(state, whole_vectors, num_rows, num_cols)
        counters[1] += _refresh_sums(images, first, state, stale, lanes, template)
        num_active = 0.0
        for t in range(lanes):
            num_active += state[_ACTIVE + t]
        if num_active == 0.0:
            break
        counters[0] += int(num_active)
        # The first step has no previous one.
        _step(state, whole_vectors, model, OSCILLATION_PX if iteration > 0 else -1.0)


@compile_part
def _track_corner(
    pyramid: Any,
    num_levels: int,
    source: int,
    first: int,
    num_lanes: int,
    x: float,
    y: float,
    buffers: Any,
    counters: Any,
) -> None:
    """Track one corner of the source frame into the frames first, first + 1, ..., from the coarsest level down.

    x, y: the corner, in pixels of level 0. Writes the final positions to the state.
    """
    work, state, stale = buffers
    template, model = work[0], work[1]
    lanes = _u(num_lanes)
    shrink = 0.5 ** (num_levels - 1)
    for t in range(lanes):
        state[_X + t], state[_Y + t] = x * shrink - HALF, y * shrink - HALF
    for level in range(num_levels - 1, -1, -1):
        shrink = 0.5**level
        images = pyramid[level]
        has_texture = build_template(images[source], y * shrink - HALF, x * shrink - HALF, work)
        for t in range(lanes):
            # A corner that is lost at a coarse level is tried again at the next.
            state[_LOST + t] = 0.0 if has_texture else 1.0
        if has_texture:
            _track_level(images, first, num_lanes, template, model, state, stale, counters)
        if level > 0:
            for t in range(lanes):
                state[_X + t] = 2.0 * (state[_X + t] + HALF) - HALF
                state[_Y + t] = 2.0 * (state[_Y + t] + HALF) - HALF


@compile_part
def _gather_corner(state: Any, num_lanes: int, num_rows: int, num_cols: int, x: float, y: float, totals: Any) -> None:
    """Add one corner to totals, float64 [3, LANES]: count if tracked, count if moving, displacement in pixels if so."""
    for t in range(num_lanes):
        k = _u(t)
        left, top = state[_X + k], state[_Y + k]
        inside = -WINDOW_PX <= left < num_cols and -WINDOW_PX <= top < num_rows
        if inside and state[_LOST + k] == 0.0:
            totals[0, t] += 1.0
            length = np.sqrt((left + HALF - x) ** 2 + (top + HALF - y) ** 2)
            if length > MIN_DISPLACEMENT_PX:
                totals[1, t] += 1.0
                totals[2, t] += length


@compile_part
def _track_source(
    pyramid: Any,
    num_levels: int,
    source: int,
    corners: Any,
    buffers: Any,
    motion_px: Any,
    tracked_fraction: Any,
    counters: Any,
) -> None:
    """Measure the pairs of one source frame, with corners float32 [C, 2] as (x, y), with all later frames."""
    num_frames = pyramid[0].shape[0]
    num_rows, num_cols = pyramid[0].shape[1] - 2 * PAD, pyramid[0].shape[2] - 2 * PAD
    totals = np.zeros((3, LANES))
    for first in range(source + 1, num_frames, LANES):
        num_lanes = min(LANES, num_frames - first)
        totals[:] = 0.0
        for c in range(corners.shape[0]):
            x, y = float(corners[c, 0]), float(corners[c, 1])
            _track_corner(pyramid, num_levels, source, first, num_lanes, x, y, buffers, counters)
            _gather_corner(buffers[1], num_lanes, num_rows, num_cols, x, y, totals)
        for t in range(num_lanes):
            pair = first - source - 1 + t
            motion_px[pair] = totals[2, t] / totals[1, t] if totals[1, t] > 0.0 else 0.0
            tracked_fraction[pair] = totals[0, t] / corners.shape[0] if corners.shape[0] else 0.0


@compile_entry
def track_sources(
    pyramid: Any,
    num_levels: int,
    sources: Any,
    corners: Any,
    num_corners: Any,
    work: Any,
    motion_px: Any,
    tracked_fraction: Any,
    counters: Any,
) -> None:
    """Measure the pairs of S source frames with all later frames.

    sources: frame indices, int64 [S]. corners: float32 [S, C, 2] as (x, y) in pixels of level 0; the first
    num_corners[s] of frame s are valid, int64 [S]. work: see `templates.allocate_buffers`.
    Writes motion_px and tracked_fraction, float32 [P], ordered by source, then target; increments counters.
    """
    buffers = (work, np.zeros(STATE_SIZE), np.zeros(LANES + 1, np.int64))
    start = 0
    for s in range(sources.shape[0]):
        stop = start + pyramid[0].shape[0] - 1 - sources[s]
        _track_source(
            pyramid, num_levels, sources[s], corners[s, : num_corners[s]], buffers,
            motion_px[start:stop], tracked_fraction[start:stop], counters
        )  # fmt: skip
        start = stop
