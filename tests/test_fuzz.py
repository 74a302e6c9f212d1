"""Fuzzers of what strangers give us, briefly; `python -m pytest -m slow tests/test_fuzz.py` takes minutes."""

import pytest

from tests.fuzz.run import FUZZERS, run_seeds

_COUNTS = {"answers": (8, 1_000)}
_DEFAULT = (150, 20_000)


@pytest.mark.parametrize("kind", FUZZERS)
def test_every_seed_ends_in_values_or_one_error(kind):
    run_seeds(kind, range(_COUNTS.get(kind, _DEFAULT)[0]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", FUZZERS)
def test_many_seeds_end_in_values_or_one_error(kind):
    run_seeds(kind, range(*_COUNTS.get(kind, _DEFAULT)))
