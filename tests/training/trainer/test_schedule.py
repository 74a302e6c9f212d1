import dataclasses

import pytest

from training.trainer.config import tiny
from training.trainer.schedule import compute_learning_rate


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.75, 0.5, 0.25, 0]),
        ("cosine", [0.5, 1, 1, 0.853553, 0.5, 0.146447, 0]),
    ],
)
def test_the_learning_rate_rises_and_falls_to_zero_at_the_last_step(schedule, expected):
    config = dataclasses.replace(tiny(), learning_rate=0.01, warmup_steps=2, max_steps=6, lr_schedule=schedule)
    rates = [compute_learning_rate(config, step) for step in range(7)]
    assert rates == pytest.approx([0.01 * factor for factor in expected], abs=1e-8)


def test_a_run_without_warm_up_starts_at_the_full_rate():
    config = dataclasses.replace(tiny(), warmup_steps=0, max_steps=1, lr_schedule="linear")
    assert compute_learning_rate(config, 0) == config.learning_rate
