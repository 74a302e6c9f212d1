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

from curation.flow import reference
from curation.flow.lucas_kanade import cells, templates, window_sums
from curation.flow.lucas_kanade.cells import (
    ACTIVE,
    CELL_X,
    CELL_Y,
    LANES,
    LAST_DX,
    LAST_DY,
    LOST,
    ROW,
    STATE_SIZE,
    SUMS,
    X,
    Y,
    enter_cells,
    refresh_sums,
)
from curation.flow.lucas_kanade.templates import PAD, build_template
from curation.flow.reference import EPSILON_PX, MAX_ITERATIONS, MIN_DISPLACEMENT_PX, WINDOW_PX
from curation.jit import compile_entry, compile_part, digest_sources

HALF = WINDOW_PX // 2 * 1.0
EPSILON_SQUARED = EPSILON_PX * EPSILON_PX
OSCILLATION_PX = 0.01

_u = np.uint64


@compile_part
def _step(state: Any, num_lanes: Any, model: Any, oscillation: float) -> None:
    """Move every active lane by one Gauss-Newton step; deactivate those that converged or oscillate.

    A step that undoes the previous one to within `oscillation` pixels is halved, as in OpenCV.
    """
    m11, m12, m22, bias_x, bias_y = model[0], model[1], model[2], model[3], model[4]
    for t in range(num_lanes):
        x, y = state[X + t], state[Y + t]
        fx, fy = x - state[CELL_X + t], y - state[CELL_Y + t]
        k = SUMS + t
        s0, s1, s2, s3 = state[k], state[k + ROW], state[k + _u(2) * ROW], state[k + _u(3) * ROW]
        bx = (s0 + fx * (s1 - s0)) + fy * ((s2 - s0) + fx * ((s0 - s1) - (s2 - s3))) - bias_x
        k += _u(4) * ROW
        s0, s1, s2, s3 = state[k], state[k + ROW], state[k + _u(2) * ROW], state[k + _u(3) * ROW]
        by = (s0 + fx * (s1 - s0)) + fy * ((s2 - s0) + fx * ((s0 - s1) - (s2 - s3))) - bias_y
        dx, dy = m12 * by - m22 * bx, m12 * bx - m11 * by
        active = state[ACTIVE + t] != 0.0
        converged = dx * dx + dy * dy <= EPSILON_SQUARED
        back_x, back_y = abs(dx + state[LAST_DX + t]), abs(dy + state[LAST_DY + t])
        oscillates = (not converged) & (back_x < oscillation) & (back_y < oscillation)
        part = 0.5 if oscillates else 1.0
        part = part if active else 0.0
        state[X + t], state[Y + t] = x + part * dx, y + part * dy
        state[LAST_DX + t], state[LAST_DY + t] = dx, dy
        state[ACTIVE + t] = 1.0 if active & (not converged) & (not oscillates) else 0.0


@compile_part
def _track_level(
    images: Any, first: int, num_lanes: int, template: Any, model: Any, state: Any, stale: Any, counters: Any
) -> None:
    """Iterate all lanes at one level, starting from their current positions."""
    num_rows, num_cols = float(images.shape[1] - 2 * PAD), float(images.shape[2] - 2 * PAD)
    lanes = _u(num_lanes)
    whole_vectors = (lanes + _u(7)) // _u(8) * _u(8)
    for t in range(whole_vectors):
        state[ACTIVE + t] = 1.0 if t < lanes else 0.0
        state[CELL_X + t] = -1e9
    for iteration in range(MAX_ITERATIONS):
        enter_cells(state, whole_vectors, num_rows, num_cols)
        counters[1] += refresh_sums(images, first, state, stale, lanes, template)
        num_active = 0.0
        for t in range(lanes):
            num_active += state[ACTIVE + t]
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
        state[X + t], state[Y + t] = x * shrink - HALF, y * shrink - HALF
    for level in range(num_levels - 1, -1, -1):
        shrink = 0.5**level
        images = pyramid[level]
        has_texture = build_template(images[source], y * shrink - HALF, x * shrink - HALF, work)
        for t in range(lanes):
            # A corner that is lost at a coarse level is tried again at the next.
            state[LOST + t] = 0.0 if has_texture else 1.0
        if has_texture:
            _track_level(images, first, num_lanes, template, model, state, stale, counters)
        if level > 0:
            for t in range(lanes):
                state[X + t] = 2.0 * (state[X + t] + HALF) - HALF
                state[Y + t] = 2.0 * (state[Y + t] + HALF) - HALF


@compile_part
def _gather_corner(state: Any, num_lanes: int, num_rows: int, num_cols: int, x: float, y: float, totals: Any) -> None:
    """Add one corner to totals, float64 [3, LANES]: count if tracked, count if moving, displacement in pixels if so."""
    for t in range(num_lanes):
        k = _u(t)
        left, top = state[X + k], state[Y + k]
        inside = -WINDOW_PX <= left < num_cols and -WINDOW_PX <= top < num_rows
        if inside and state[LOST + k] == 0.0:
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


def _define_entry() -> Any:
    sources_digest = digest_sources(reference, templates, window_sums, cells)

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
        _ = sources_digest  # A closed-over value is part of the cache key.
        buffers = (work, np.zeros(STATE_SIZE), np.zeros(LANES + 1, np.int64))
        start = 0
        for s in range(sources.shape[0]):
            stop = start + pyramid[0].shape[0] - 1 - sources[s]
            _track_source(
                pyramid, num_levels, sources[s], corners[s, : num_corners[s]], buffers,
                motion_px[start:stop], tracked_fraction[start:stop], counters
            )  # fmt: skip
            start = stop

    return track_sources


track_sources = _define_entry()
