"""Vectorised window sums equal the plain ones at any position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.flow.lucas_kanade.templates import PAD, allocate_buffers
from curation.flow.lucas_kanade.window_sums import sum_windows_plain, sum_windows_vector
from curation.flow.reference import WINDOW_PX
from curation.jit import CHECKS_BOUNDS, compile_part

_vector: Any = sum_windows_vector  # An intrinsic, which has another signature for a type checker.


@compile_part
def _sum_vector(image: Any, y: int, x: int, template: Any) -> Any:
    return _vector(image, y, x, template)


@pytest.mark.skipif(CHECKS_BOUNDS, reason="vector loads have no bounds checks")
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_vectorised_sums_equal_plain_sums(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    height, width = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    image = rng.integers(0, 256, (height + 2 * PAD, width + 2 * PAD), dtype=np.uint8)
    template = allocate_buffers()[0]
    template[:] = rng.integers(-4080, 4081, template.shape)
    y, x = data.draw(st.integers(-WINDOW_PX, height - 1)), data.draw(st.integers(-WINDOW_PX, width - 1))
    assert _sum_vector(image, y + PAD, x + PAD, template) == sum_windows_plain(image, y + PAD, x + PAD, template)


def test_largest_gradients_do_not_overflow() -> None:
    image, template = np.full((16, 16), 255, np.uint8), allocate_buffers()[0]
    template[:] = 4080
    assert max(sum_windows_plain(image, 0, 0, template)) == 255 * 4080 * 256 < 2**31
