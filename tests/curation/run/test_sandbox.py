"""A call that crashes, hangs, or eats memory costs itself; a child that is killed from outside costs nothing."""

import math
import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curation.config import CurationConfig
from curation.errors import ConfigError, SandboxError
from curation.run import sandbox
from curation.run.sandbox import Failure, Limits, isolate
from shards.schema import Verdict

LIMITS = Limits(timeout_s=60, memory_gib=1)


def child_pid() -> int:
    """The process that calls run in."""
    pid = isolate(LIMITS, os.getpid)
    assert isinstance(pid, int)
    return pid


def is_running(pid: int) -> bool:
    """Tell whether a process lives; one that is dead and not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pid: int) -> bool:
    """Wait some seconds for a process to end."""
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


def test_calls_run_in_one_process_that_is_not_this_one():
    assert child_pid() == child_pid() != os.getpid()
    assert isolate(LIMITS, math.hypot, 3.0, 4.0) == 5.0


@pytest.mark.parametrize(
    ("function", "arguments", "detail", "said"),
    [
        (os.abort, (), "signal SIGABRT", "Fatal Python error: Aborted"),
        (os._exit, (3,), "exit status 3", ""),
        (bytearray, (3 * 2**30,), "over 1 GiB of memory", "MemoryError"),
        (operator.truediv, (1, 0), "ZeroDivisionError: division by zero", "Traceback"),
    ],
)  # fmt: skip
def test_what_breaks_gets_a_verdict_in_words_and_the_next_call_is_well(function, arguments, detail, said):
    outcome = isolate(LIMITS, function, *arguments)
    assert isinstance(outcome, Failure)
    assert (outcome.verdict, outcome.detail) == (Verdict.CRASHED, detail)
    assert said in outcome.error
    assert isolate(LIMITS, math.sqrt, 4.0) == 2.0


def test_what_never_ends_is_stopped_at_the_deadline_and_says_where_it_was():
    pid = child_pid()
    outcome = isolate(Limits(timeout_s=0.5, memory_gib=1), time.sleep, 1e6)
    assert isinstance(outcome, Failure)
    assert (outcome.verdict, outcome.detail) == (Verdict.TIMED_OUT, "over 0.5 s")
    assert "most recent call first" in outcome.error
    assert not is_running(pid)


def fill(num_bytes: int) -> int:
    """Have so much memory in use for a moment."""
    return len(bytearray(num_bytes))


def test_memory_is_counted_from_what_is_in_use_so_sound_calls_fit_again_and_again():
    for _ in range(2):
        outcome = isolate(LIMITS, bytearray, 2**28)
        assert isinstance(outcome, bytearray)
    for _ in range(18):  # A quarter of a gigabyte takes two seconds to send back.
        assert isolate(LIMITS, fill, 2**28) == 2**28


def kill_child_three_times(folder: str) -> str:
    """Be killed three times, as by somebody outside."""
    notes = list(Path(folder).iterdir())
    if len(notes) < 3:
        Path(folder, str(len(notes))).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def test_a_call_whose_child_is_killed_from_outside_is_made_again(tmp_path):
    assert isolate(LIMITS, kill_child_three_times, str(tmp_path)) == "done"


def test_a_call_that_kills_its_child_four_times_is_the_clips_own_fault():
    outcome = isolate(LIMITS, signal.raise_signal, signal.SIGKILL)
    assert isinstance(outcome, Failure)
    assert outcome.detail == "signal SIGKILL"


def test_a_child_that_died_between_calls_is_replaced():
    pid = child_pid()
    os.kill(pid, signal.SIGKILL)
    assert wait_until_gone(pid)
    assert child_pid() != pid


def test_a_call_that_is_interrupted_leaves_no_answer_for_the_next_one():
    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    child_pid()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            isolate(LIMITS, time.sleep, 3.0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert isolate(LIMITS, math.sqrt, 4.0) == 2.0


def test_the_terminals_interruption_is_for_the_parent():
    pid = child_pid()
    for signum in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, signum)
    assert child_pid() == pid


def test_what_the_user_must_act_on_is_raised_as_it_was():
    with pytest.raises(ConfigError, match="quality is 'low'; it must be a whole number"):
        isolate(LIMITS, make_bad_config)


def make_bad_config() -> CurationConfig:
    """Raise ConfigError."""
    return CurationConfig(quality="low")


@pytest.mark.parametrize("busy", ["time.sleep, 1000.0", "os.getpid"], ids=["busy", "idle"])
def test_a_child_ends_with_its_parent_however_that_ends(busy):
    script = f"""
import os, threading, time
from curation.run.sandbox import Limits, isolate
limits = Limits(timeout_s=2000, memory_gib=1)
print(isolate(limits, os.getpid), flush=True)
isolate(limits, {busy})
print("idle", flush=True)
time.sleep(1000)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if busy == "os.getpid":
            parent.stdout.readline()
        assert is_running(pid)
        parent.kill()
    assert wait_until_gone(pid)


def test_a_child_that_cannot_start_is_told_in_one_sentence(monkeypatch):
    monkeypatch.setattr(sandbox, "_BOOT", "raise ImportError('no module called numba')")
    monkeypatch.setattr(sandbox, "_child", None)
    with pytest.raises(SandboxError, match=r"did not start .exit status 1.: ImportError: no module called numba"):
        isolate(LIMITS, os.getpid)


def test_a_child_that_is_killed_while_it_starts_is_started_again_a_few_times(monkeypatch, tmp_path):
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    once = f"import pathlib; note = pathlib.Path({str(tmp_path / 'note')!r}); note.exists() or (note.touch(), "
    once += f"exec({kill!r})); "
    monkeypatch.setattr(sandbox, "_child", None)
    monkeypatch.setattr(sandbox, "_BOOT", once + sandbox._BOOT)
    assert isolate(LIMITS, math.sqrt, 4.0) == 2.0
    monkeypatch.setattr(sandbox, "_child", None)
    monkeypatch.setattr(sandbox, "_BOOT", kill)
    with pytest.raises(SandboxError, match="killed again and again before it has started, most likely for want of mem"):
        isolate(LIMITS, math.sqrt, 4.0)
