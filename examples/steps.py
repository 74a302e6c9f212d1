"""What the larger examples share: steps that are taken once, and the project's own commands called and shown."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from shards.atomic import write_atomically

_COMMANDS = Path(sys.executable).parent
"""Where pip put `pix2gif`."""


def take_steps(out: Path, chosen: Mapping[str, object], steps: Mapping[str, Callable[[], None]]) -> dict[str, float]:
    """Take each step that is not done yet, in order; returns what each took, in seconds, now or before.

    What is done is noted in OUT/done.json. Ends the example where OUT holds a run of other choices.
    """
    path = out / "done.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {**chosen, "seconds": {}}
    if any(found[name] != value for name, value in chosen.items()):
        sys.exit(f"Error: {out} holds a run of another preset or seed; choose another --out")
    seconds: dict[str, float] = found["seconds"]
    for name, step in steps.items():
        if name in seconds:
            print(f"{name}: done before, in {seconds[name]:.0f} s", flush=True)
            continue
        start = time.monotonic()
        step()
        seconds[name] = round(time.monotonic() - start, 1)
        print(f"{name}: {seconds[name]:.0f} s", flush=True)
        write_text(path, json.dumps(found, indent=2))
    return seconds


def make_command(name: str, *arguments: object, **options: object) -> list[str]:
    """Put a command of the project together."""
    return [str(_COMMANDS / name), *map(str, arguments), *(str(part) for pair in options.items() for part in pair)]


def call(*commands: Sequence[str], threads: int | None = None) -> None:
    """Run commands side by side; ends the example where one fails, whose own words are on the screen by then."""
    environment = os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    for words in commands:
        print("$", Path(words[0]).name, *words[1:], flush=True)
    running = [subprocess.Popen(words, env=environment) for words in commands]  # noqa: S603 (Our own commands.)
    ended = [process.wait() for process in running]
    if any(ended):
        sys.exit(1)


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
