"""The compile stage: compile before work is timed, so that no estimate of the time left counts it."""

import operator
import os
from collections.abc import Callable
from typing import Any

from curation.code_cache import open_cache
from curation.run.context import Run
from curation.run.sandbox import Limits, isolate
from curation.run.workers import InProcess, Workers

_NO_LIMITS = Limits(timeout_s=60.0, memory_gib=1.0)
"""Of a call that does nothing. Warm-ups have no limits."""


def compile_for_workers(run: Run, warm_up: Callable[[], None], name: str) -> None:
    """Let a worker call `warm_up`, a function of `fill_once`, unless its machine's cache holds the code.

    `name` names the code in the line that is printed. On a cluster, the other nodes compile when they start to work.
    """
    _compile(run, run.workers, _warm_up_sandbox, warm_up, name)


def compile_for_driver(run: Run, warm_up: Callable[[], None], name: str) -> None:
    """Call `warm_up` in this process, unless this machine's cache holds the code."""
    _compile(run, InProcess(), operator.call, warm_up, name)


def _compile(run: Run, workers: Workers, call: Callable[..., Any], warm_up: Callable[[], None], name: str) -> None:
    ((must_compile, fault),) = workers.map(_read_cache_state, [warm_up])
    if fault:
        run.progress.note(f"compiled code is not cached, so every process compiles: {fault}")
    if must_compile:
        with run.progress.stage("compile"):
            run.progress.note(f"compiling {name}, once on this machine")
            list(workers.map(call, [warm_up]))


def _read_cache_state(warm_up: Callable[[], None]) -> tuple[bool, str | None]:
    """Return whether this machine's cache lacks the code, and why the cache is not used."""
    cache = open_cache()
    return cache.needs(warm_up), cache.fault


def _warm_up_sandbox(warm_up: Callable[[], None]) -> None:
    """Call a warm-up in the child process in which this worker will decode and measure."""
    isolate(_NO_LIMITS, os.getpid, warm_up=warm_up)
