"""Ctrl-C and SIGTERM end a run in any case."""

import signal
import subprocess
import sys

import pytest

_RUN = """
import time
import typer
from pathlib import Path
from curation.commands import interruption

def main():
    interruption.PATIENCE_S = 0.5
    with interruption.say_how_to_go_on(Path("/"), "the command"):
        print("begun", flush=True)
        while True:
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                if {swallows}:
                    continue
                raise

typer.run(main)
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("swallows", [False, True])
def test_signal_ends_the_run_also_where_it_is_swallowed(signum: signal.Signals, swallows: bool) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN.format(swallows=swallows)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signum)
    _, message = process.communicate(timeout=60)
    assert (process.returncode, message.splitlines()[-1]) == (130, "the command")
