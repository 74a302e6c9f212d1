"""Run the steps of an example once each, and call the project's commands."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from shards.storage.atomic import write_atomically

_COMMANDS = Path(sys.executable).parent
"""The folder of the installed command `pix2gif`."""


def run_steps(out: Path, chosen: Mapping[str, object], steps: Mapping[str, Callable[[], None]]) -> dict[str, float]:
    """Run each step that is not done yet, in order; return the seconds that each took, in this run or an earlier one.

    OUT/done.json records the steps that are done. Exits if OUT holds a run with other choices.
    """
    path = out / "done.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {**chosen, "seconds": {}}
    if any(record[name] != value for name, value in chosen.items()):
        sys.exit(f"Error: {out} holds a run with another preset or seed; choose another --out")
    seconds: dict[str, float] = record["seconds"]
    for name, step in steps.items():
        if name in seconds:
            print(f"{name}: done before, in {seconds[name]:.0f} s", flush=True)
            continue
        start = time.monotonic()
        step()
        seconds[name] = round(time.monotonic() - start, 1)
        print(f"{name}: {seconds[name]:.0f} s", flush=True)
        write_text(path, json.dumps(record, indent=2))
    return seconds


def make_command(name: str, *arguments: object, **options: object) -> list[str]:
    """Return the words of a command of the project."""
    return [str(_COMMANDS / name), *map(str, arguments), *(str(part) for pair in options.items() for part in pair)]


def call(*commands: Sequence[str], threads: int | None = None) -> None:
    """Run commands in parallel and print them. Exits if one fails; it has printed its own error."""
    environment = os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    for words in commands:
        print("$", Path(words[0]).name, *words[1:], flush=True)
    running = [subprocess.Popen(words, env=environment) for words in commands]  # noqa: S603
    ended = [process.wait() for process in running]
    if any(ended):
        sys.exit(1)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
