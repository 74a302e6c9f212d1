"""The sandbox: limits and verdicts of single calls, retries, and the lifetime of the child process."""

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
from curation.run.sandbox import Failure, Limits, isolate
from shards.schema import Verdict

LIMITS = Limits(timeout_s=60, memory_gib=1)


def child_pid() -> int:
    """Return the id of the process that runs the calls."""
    pid = isolate(LIMITS, os.getpid)
    assert isinstance(pid, int)
    return pid


def is_running(pid: int) -> bool:
    """Return whether a process runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pid: int) -> bool:
    """Wait up to 60 s for a process to end; return whether it ended."""
    deadline = time.monotonic() + 60
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


def test_calls_share_one_child_process():
    assert child_pid() == child_pid() != os.getpid()
    assert isolate(LIMITS, math.hypot, 3.0, 4.0) == 5.0


@pytest.mark.parametrize(
    ("function", "arguments", "detail", "output"),
    [
        (os.abort, (), "signal SIGABRT", "Fatal Python error: Aborted"),
        (os._exit, (3,), "exit status 3", ""),
        (bytearray, (3 * 2**30,), "over 1 GiB of memory", "MemoryError"),
        (operator.truediv, (1, 0), "ZeroDivisionError: division by zero", "Traceback"),
    ],
)  # fmt: skip
def test_crash_returns_its_reason_and_the_next_call_works(function, arguments, detail, output):
    outcome = isolate(LIMITS, function, *arguments)
    assert isinstance(outcome, Failure)
    assert (outcome.verdict, outcome.detail) == (Verdict.CRASHED, detail)
    assert output in outcome.error
    assert isolate(LIMITS, math.sqrt, 4.0) == 2.0


def test_timeout_kills_the_child_and_returns_its_traceback():
    pid = child_pid()
    outcome = isolate(Limits(timeout_s=0.5, memory_gib=1), time.sleep, 1e6)
    assert isinstance(outcome, Failure)
    assert (outcome.verdict, outcome.detail) == (Verdict.TIMED_OUT, "over 0.5 s")
    assert "most recent call first" in outcome.error
    assert not is_running(pid)


def spin(seconds: float) -> str:
    """Use this much processor time."""
    end_s = time.process_time() + seconds
    while time.process_time() < end_s:
        pass
    return "done"


@pytest.mark.parametrize("what", ["run", "child"])
def test_paused_call_is_not_late(what):
    script = """
import os
from curation.run.sandbox import Limits, isolate
from tests.curation.run.test_sandbox import LIMITS, spin
print(isolate(LIMITS, os.getpid), isolate(LIMITS, spin, 0.0), flush=True)
print(isolate(Limits(timeout_s=1, memory_gib=1), spin, 0.5))
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline().split()[0])
        for _ in range(2):
            time.sleep(0.1)
            for pid in (parent.pid, child) if what == "run" else (child,):
                os.kill(pid, signal.SIGSTOP)
            time.sleep(1.1)
            for pid in (parent.pid, child) if what == "run" else (child,):
                os.kill(pid, signal.SIGCONT)
        assert parent.stdout.read() == "done\n"


def test_busy_call_times_out():
    outcome = isolate(Limits(timeout_s=0.2, memory_gib=1), spin, 1e6)
    assert isinstance(outcome, Failure)
    assert outcome.verdict is Verdict.TIMED_OUT


def fill(num_bytes: int) -> int:
    """Allocate and free memory."""
    return len(bytearray(num_bytes))


def test_memory_limit_is_per_call():
    for _ in range(2):
        outcome = isolate(LIMITS, bytearray, 2**28)
        assert isinstance(outcome, bytearray)
    for _ in range(18):  # A quarter of a gigabyte takes two seconds to send back.
        assert isolate(LIMITS, fill, 2**28) == 2**28


def kill_child_three_times(folder: str) -> str:
    """Kill this process on the first three calls, as the OOM killer would."""
    notes = list(Path(folder).iterdir())
    if len(notes) < 3:
        Path(folder, str(len(notes))).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def test_killed_call_is_retried(tmp_path):
    assert isolate(LIMITS, kill_child_three_times, str(tmp_path)) == "done"


def test_call_killed_four_times_fails():
    outcome = isolate(LIMITS, signal.raise_signal, signal.SIGKILL)
    assert isinstance(outcome, Failure)
    assert outcome.detail == "signal SIGKILL"


def test_child_that_died_between_calls_is_replaced():
    pid = child_pid()
    os.kill(pid, signal.SIGKILL)
    assert wait_until_gone(pid)
    assert child_pid() != pid


def test_interrupted_call_does_not_answer_the_next_one():
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


def test_child_ignores_interrupts():
    pid = child_pid()
    for signum in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, signum)
    assert child_pid() == pid


def test_curation_errors_are_raised_in_the_parent():
    with pytest.raises(ConfigError, match="quality is 'low'; it must be a whole number"):
        isolate(LIMITS, make_bad_config)


def make_bad_config() -> CurationConfig:
    """Raise ConfigError."""
    return CurationConfig(quality="low")


@pytest.mark.parametrize("busy", ["time.sleep, 1000.0", "os.getpid"], ids=["busy", "idle"])
def test_child_ends_when_its_parent_is_killed(busy):
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


@pytest.fixture
def no_child():
    """End this process's child before and after the test, so that a new one has to start."""
    kill_child()
    yield
    kill_child()


def kill_child() -> None:
    pid = child_pid()
    os.kill(pid, signal.SIGKILL)
    assert wait_until_gone(pid)


def test_child_that_cannot_start_raises_one_sentence(no_child, monkeypatch, tmp_path):
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1 is missing')")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)  # A child imports from where its parent does.
        with pytest.raises(SandboxError, match=r"does not start .exit status 1.: ImportError: libGL.so.1 is missing"):
            isolate(LIMITS, os.getpid)


def test_child_killed_at_start_is_restarted_a_few_times(no_child, monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(f"""
import os, pathlib, signal
note = pathlib.Path({str(tmp_path / "note")!r})
if not note.exists():
    note.touch()
    os.kill(os.getpid(), signal.SIGKILL)
""")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        assert isolate(LIMITS, math.sqrt, 4.0) == 2.0
        assert (tmp_path / "note").exists()
        kill_child()
        (tmp_path / "sitecustomize.py").write_text("import os; os.kill(os.getpid(), 9)")
        with pytest.raises(SandboxError, match="was killed several times while it started, probably because memory"):
            isolate(LIMITS, math.sqrt, 4.0)
