"""Simulated runs that compete for one OUT in an object store. Runs on a real service are in test_stores.py."""

import pytest

from tests.curation.run.lock_simulation import simulate


@pytest.mark.parametrize("seeds", [range(40), pytest.param(range(40, 1_000), marks=pytest.mark.slow)], ids=str)
def test_one_run_at_a_time_holds_the_lock(seeds):
    for seed in seeds:
        simulation = simulate(seed)
        outcomes = [process.outcome for process in simulation.processes]
        assert simulation.overlaps == [], f"python -m tests.curation.run.lock_simulation {seed}"
        assert outcomes[-1] == "finished", f"seed {seed}: the lock of an ended run does not expire"
        if simulation.is_calm:
            assert "lost" not in outcomes, f"seed {seed}"
            assert "finished" in outcomes[:-1], f"seed {seed}: each run was refused because of another one"
