import numpy as np

from shards.splitmix import GAMMA, mix64


def test_outputs_match_the_reference_implementation() -> None:
    # The first outputs of Vigna's splitmix64.c with seed 1234567.
    states = np.uint64(1234567) + GAMMA * np.arange(1, 4, dtype=np.uint64)
    assert mix64(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]
