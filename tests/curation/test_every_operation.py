"""A fault at one file operation of a command: the same bytes or one sentence, and the next run finishes.

`python -m tests.fault_injection COMMAND` runs all cases of a command; docs/faults.md has the numbers.
"""

import subprocess
import sys

import pytest

from tests.fault_injection.preload import COMPILER

pytestmark = pytest.mark.skipif(
    COMPILER is None or sys.platform != "linux", reason="the library that injects faults needs a C compiler and Linux"
)


def survive(*words: str) -> None:
    """Run cases and check that the harness finds nothing wrong."""
    command = [sys.executable, "-m", "tests.fault_injection", *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]


def test_drawn_faults_of_a_curation_are_survived():
    survive("curate", "--sample", "8")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["curate", "resplit", "retry", "encode"])
def test_every_fault_is_survived(command):
    survive(command)


@pytest.mark.slow
def test_drawn_faults_of_a_training_run_are_survived():
    survive("train", "--sample", "60")
