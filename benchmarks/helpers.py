"""Shared by the scripts: command line, machine, GIFs, data sets, medians and Markdown."""

import argparse
import contextlib
import datetime
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from examples.draw_gifs import draw_folder

ROOT = Path(__file__).resolve().parents[1]
PIX2GIF = str(Path(sys.executable).with_name("pix2gif"))
CURATE = f"{PIX2GIF}-curate"
CURATION_PACKAGES = ("numpy", "numba", "opencv-python-headless", "pillow")


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that prints the script's docstring as its help."""
    prog = f"python -m benchmarks.{Path(sys.argv[0]).stem}"
    return argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def describe_machine(*packages: str) -> str:
    """Describe date, commit, processor, cores, load, and the versions of Python and of packages."""
    import llvmlite.binding  # Not above: scripts that measure memory would count its 40 MB.

    packages = packages or CURATION_PACKAGES
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    cpu = f"{next(names, platform.machine())} ({llvmlite.binding.get_host_cpu_name()})"
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    when = f"{datetime.datetime.now(datetime.UTC).date()}, commit {commit or 'unknown'}"
    cores = f"{count_cores()} cores, load {os.getloadavg()[0]:.1f}"
    return f"{when}; {cpu}, {cores}; Python {platform.python_version()}, {versions}."


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def open_gifs(folder: Path | None, num_drawn: int = 8) -> Iterator[list[Path]]:
    """Yield the paths of the GIFs of a folder, or of GIFs drawn for the block."""
    with tempfile.TemporaryDirectory() as scratch:
        if folder is None:
            draw_folder(Path(scratch), num_drawn, seed=0)
            yield sorted(Path(scratch).glob("gifs/texture_*.gif"))
            return
        paths = sorted(folder.glob("*.gif"))
        if not paths:
            raise SystemExit(f"no GIFs in {folder}")
        yield paths


def draw_dataset(folder: Path, num_gifs: int, *options: str) -> Path:
    """Draw GIFs and curate them with these options; return the data set."""
    listing, out = draw_folder(folder / "gifs", num_gifs, seed=0), folder / "shards"
    command = [CURATE, str(listing), "--out", str(out), *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    return out


def read_peak_mb() -> float:
    """Return the peak memory of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage also counts the peak of the parent before it started this process.
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def summarize(values: Sequence[float], form: str) -> str:
    """Format median, minimum and maximum: "34.3 (33.6 to 34.9)"."""
    median, low, high = (format(value, form) for value in (statistics.median(values), min(values), max(values)))
    return f"{median} ({low} to {high})"


def print_header(*names: str) -> None:
    """Print the first two lines of a Markdown table."""
    print_row(*names)
    print(f"{'|---' * len(names)}|", flush=True)


def print_row(*cells: object) -> None:
    """Print one line of a Markdown table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
