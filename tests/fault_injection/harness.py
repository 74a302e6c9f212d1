"""Run cases, each in forked processes: a command with one fault, then the same command without."""

import contextlib
import dataclasses
import hashlib
import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from unittest import mock

import cli
from curation.decode.decoder import warm_up_decoder
from curation.flow.measure import warm_up_measuring
from tests.fault_injection.commands import COMMANDS, make_inputs
from tests.fault_injection.preload import Fault, Operation, arm, parse_log

_TIMEOUT_S = 120.0


@dataclasses.dataclass(frozen=True)
class Ended:
    """An ended run."""

    status: int
    """Exit status, or minus the signal."""
    output: str


class Harness:
    """A command that writes to a folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self._command = COMMANDS[name]
        self._inputs = folder / "inputs"
        self._start = folder / "start"
        self._log = folder / "log"
        self._output = folder / "output"
        self.out = self._find_out(folder)
        self._prepare()
        self._reset()
        ended = self._run(0, None, log=True)
        assert ended.status == 0, ended.output
        self.operations = parse_log(self._log.read_text())
        self._undisturbed = self._find_determined()
        assert self._undisturbed
        self._names = self._list_names()
        self._survived: set[str] = set()

    def survive(self, operation: Operation, fault: Fault) -> str | None:
        """Run the command with a fault and again without; return what is wrong, or None."""
        self._reset()
        ended = self._run(operation.number, fault)
        if problem := self._find_problem(ended, fault):
            return f"{problem}\n{ended.output[-2000:]}"
        # What the next run finds decides what it does: one test of each state is enough.
        state = self._digest_state()
        if state in self._survived:
            return None
        again = self._run(0, None)
        if again.status != 0:
            return f"the next run ended with {again.status}\n{ended.output}\n{again.output[-2000:]}"
        if self._find_determined() != self._undisturbed:
            return f"the next run wrote other bytes: {self._list_differences()}\n{ended.output}"
        if self._list_names() != self._names:
            return f"other files are left: {sorted(self._list_names() ^ self._names)}\n{ended.output}"
        self._survived.add(state)
        return None

    def _find_problem(self, ended: Ended, fault: Fault) -> str | None:
        if fault in (Fault.KILL, Fault.KILL_TORN) and ended.status == -signal.SIGKILL:
            return None
        if ended.status == 0:
            same = self._find_determined() == self._undisturbed
            return None if same else f"exit status 0 with other bytes: {self._list_differences()}"
        if ended.status != 1:
            return f"ended with {ended.status}"
        lines = [line for line in ended.output.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("Error: ")]
        return None if len(errors) == 1 and lines[-1] == errors[0] else "printed more than one sentence"

    def _run(self, number: int, fault: Fault | None, *, log: bool = False) -> Ended:
        pid = os.fork()
        if not pid:
            self._run_in_child(number, fault, log=log)
        deadline_s = time.monotonic() + _TIMEOUT_S
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > deadline_s:
                os.kill(pid, signal.SIGABRT)
                deadline_s += _TIMEOUT_S
            time.sleep(0.005)
        return Ended(os.waitstatus_to_exitcode(status), self._output.read_text(errors="replace"))

    def _run_in_child(self, number: int, fault: Fault | None, *, log: bool) -> None:
        code = 70
        try:
            output = os.open(self._output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            log_fd = os.open(self._log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC) if log else -1
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            sys.argv = ["pix2gif", *self._command.words(str(self._inputs), str(self.out))]
            with _no_sandbox():
                self._arm(number, fault, log_fd)
                try:
                    cli.main()
                    code = 0
                except SystemExit as error:
                    code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        except BaseException:
            traceback.print_exc()
            code = 71
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _find_determined(self) -> dict[str, bytes]:
        """Return the files whose bytes a run determines."""
        return {
            name: data
            for name, data in self._read_files().items()
            if any(PurePosixPath(name).match(pattern) for pattern in self._command.determined)
        }

    def _list_differences(self) -> list[str]:
        files = self._find_determined()
        names = files.keys() | self._undisturbed.keys()
        return sorted(name for name in names if files.get(name) != self._undisturbed.get(name))

    def _digest_state(self) -> str:
        state = hashlib.sha256()
        for name, data in sorted(self._read_files().items()):
            # Temporary files have the numbers of process and thread in their names; locks are random.
            state.update(repr((re.sub(r"-\d+-\d+\.tmp|[0-9a-f]{32}\.json", "", name), data)).encode())
        return state.hexdigest()

    def _list_names(self) -> set[str]:
        return {name for name in self._read_files() if not name.startswith("tensorboard/")}

    def _find_out(self, folder: Path) -> Path | str:
        return folder / "out"

    def _prepare(self) -> None:
        """Warm up what the runs need, make the inputs and what OUT holds at the start."""
        warm_up_measuring()
        warm_up_decoder()
        with _no_sandbox():
            make_inputs(self._inputs, self._command.resolution)
            self._command.start(self._inputs, self._start)

    def _reset(self) -> None:
        """Let OUT hold what it holds at the start."""
        shutil.rmtree(self.out, ignore_errors=True)
        if self._start.exists():
            shutil.copytree(self._start, self.out)

    def _arm(self, number: int, fault: Fault | None, log_fd: int) -> None:
        """In the process of a run: count the operations on OUT, and let one of them have a fault."""
        arm(str(self.out), number, fault, log_fd)

    def _read_files(self) -> dict[str, bytes]:
        """Return all files of OUT, by path."""
        paths = [path for path in Path(self.out).rglob("*") if path.is_file()]
        return {path.relative_to(self.out).as_posix(): path.read_bytes() for path in paths}


@contextlib.contextmanager
def _no_sandbox() -> Iterator[None]:
    """Run what is isolated in this process: the sandbox has tests of its own, and its child writes no files."""

    def call(limits: object, function: Callable[..., object], *arguments: object, warm_up: object = None) -> object:
        return function(*arguments)

    with (
        mock.patch("curation.flow.tasks.isolate", call),
        mock.patch("curation.export.encode.isolate", call),
    ):
        yield
