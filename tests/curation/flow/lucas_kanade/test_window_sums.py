"""Vector sums are the plain sums, wherever a window stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.flow.lucas_kanade.templates import PAD, new_work
from curation.flow.lucas_kanade.window_sums import _window_sums_plain, _window_sums_vector
from curation.flow.reference import WINDOW_PX
from curation.jit import CHECKS_BOUNDS, compile_part

_vector: Any = _window_sums_vector  # typed as Numba sees it, not as it is called


@compile_part
def _sum_vector(image: Any, y: int, x: int, template: Any) -> Any:
    return _vector(image, y, x, template)


@pytest.mark.skipif(CHECKS_BOUNDS, reason="vector loads have no bounds checks")
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_sums_in_vectors_are_the_plain_sums(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    height, width = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    image = rng.integers(0, 256, (height + 2 * PAD, width + 2 * PAD), dtype=np.uint8)
    template = new_work()[0]
    template[:] = rng.integers(-4080, 4081, template.shape)
    y, x = data.draw(st.integers(-WINDOW_PX, height - 1)), data.draw(st.integers(-WINDOW_PX, width - 1))
    assert _sum_vector(image, y + PAD, x + PAD, template) == _window_sums_plain(image, y + PAD, x + PAD, template)


def test_a_template_as_steep_as_can_be_does_not_overflow() -> None:
    image, template = np.full((16, 16), 255, np.uint8), new_work()[0]
    template[:] = 4080
    assert max(_window_sums_plain(image, 0, 0, template)) == 255 * 4080 * 256 < 2**31
