"""Every command in README and docs runs, in the order of the page.

A command is a line that begins with `$ ` in a fenced `console` block; a `toml` block becomes `run.toml`. The commands
of a page run in one folder with drawn tgif.tsv, gifs/ and splits/, and mine/ with GIFs in every form; `make` runs in
the project's folder. Commands that several pages begin with run once, and each page continues with a copy of the
folder. Commands in blocks without a language need a GPU, a cluster or weights: only their names and options are
checked.
"""

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from examples.draw_demo import draw_folder
from examples.listing_forms import read_gifs, write_forms
from tests.docs.helpers import PAGES, ROOT, blocks, commands, list_options, page_id

RUNS_THESE_TESTS = {"make test"}
"""The suite cannot run inside itself; CI runs it first."""
FOREIGN_OPTIONS = {"--multi_gpu", "--num_processes", "--cpu", "--signal"}
"""Options of Slurm, torchrun and others that the text mentions."""

pytestmark = pytest.mark.docs


def run(command: str, folder: Path) -> None:
    if command in RUNS_THESE_TESTS:
        return
    where = ROOT if command.startswith("make ") else folder
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ended = subprocess.run(  # noqa: S602  # Our own pages, run as in a reader's shell.
        command, shell=True, cwd=where, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stderr}"


def shared_beginning(page: Path) -> tuple[str, ...]:
    """Return the longest sequence of commands that this page and another one begin with."""
    own, longest = commands(page), 0
    for other in PAGES:
        pairs = zip(own, commands(other), strict=False) if other != page else ()
        longest = max(longest, sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
    return own[:longest]


class Folders:
    """Folders of a reader, by the commands that ran in them."""

    def __init__(self, folder: Path, fresh: Path) -> None:
        self._folder = folder
        self._after = {(): fresh}

    def copy_after(self, done: tuple[str, ...]) -> Path:
        """Return a copy of a folder in which these commands ran; run them first if none has."""
        if done not in self._after:
            folder = self.copy_after(done[:-1])
            run(done[-1], folder)
            self._after[done] = folder
        copy = self._folder / str(len(list(self._folder.iterdir())))
        return shutil.copytree(self._after[done], copy, symlinks=True)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A user's folder: a TGIF listing of URLs, downloaded GIFs, official split lists."""
    fresh = tmp_path_factory.mktemp("reader")
    listing = draw_folder(tmp_path_factory.mktemp("demo"))
    shutil.copytree(listing.parent / "gifs", fresh / "gifs")
    rows = [line.split("\t") for line in listing.read_text().splitlines()]
    urls = [f"https://example.invalid/{uri}" for uri, _ in rows]
    lines = [f"{url}\t{caption}\n" for url, (_, caption) in zip(urls, rows, strict=True)]
    (fresh / "tgif.tsv").write_text("".join(lines))
    (fresh / "splits").mkdir()
    val = [url for url in urls if url.endswith(("ball.gif", "street.gif"))]
    (fresh / "splits" / "val.txt").write_text("\n".join(val))
    (fresh / "splits" / "train.txt").write_text("\n".join(url for url in urls if url not in val))
    write_forms(read_gifs(listing, num_gifs=3), fresh / "mine")
    (fresh / "demo").symlink_to(ROOT / "demo")  # `make demo` writes to the project's folder.
    (fresh / "examples").symlink_to(ROOT / "examples")
    (fresh / ".venv").symlink_to(sys.prefix)
    return Folders(tmp_path_factory.mktemp("pages"), fresh)


def pages_with_commands() -> list:
    """Return pages with commands; those with the same first command run in one process, to share it."""
    pages = [page for page in PAGES if commands(page)]
    marks = {page: pytest.mark.xdist_group(commands(page)[0]) for page in pages}
    return [pytest.param(page, marks=marks[page], id=page_id(page)) for page in pages]


@pytest.mark.parametrize("page", pages_with_commands())
def test_commands_of_the_page_run(page, folders):
    shared = shared_beginning(page)
    folder = folders.copy_after(shared)
    for language, text in blocks(page):
        if language == "toml":
            (folder / "run.toml").write_text(text)
    for command in commands(page)[len(shared) :]:
        run(command, folder)


@pytest.mark.xdist_group("reading")
@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_that_are_not_run_exist(page):
    program = list_options()
    program |= {"pix2gif-curate": program["pix2gif curate"]}
    for language, text in blocks(page):
        lines = text.splitlines() if language == "" else []
        for line in lines:
            called = re.search(r"\bpix2gif(-curate)? .*", line)
            if not called or line.startswith("Error:"):
                continue
            words = shlex.split(called[0], comments=True)
            name = next(
                (
                    name
                    for name in sorted(program, key=len, reverse=True)
                    if f"{shlex.join(words)} ".startswith(f"{name} ")
                ),
                None,
            )
            assert name, line
            assert {word for word in words if word.startswith("--")} <= program[name], line


@pytest.mark.xdist_group("reading")
@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_options_in_the_text_exist(page):
    known = set().union(*list_options().values()) | FOREIGN_OPTIONS
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    named = {word for code in re.findall(r"`(--[^`]*)`", text) for word in code.split() if word.startswith("--")}
    assert named - known == set()


@pytest.mark.xdist_group("reading")
@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_are_not_broken(page):
    for link in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.xdist_group("reading")
@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "benchmarks").glob("*.md"))], ids=page_id)
def test_source_files_in_the_text_exist(page):
    named = re.findall(
        r"\b(?:benchmarks|curation|docs|examples|shards|tests|training)/[\w/-]+\.(?:py|sh|yaml)\b",
        page.read_text(encoding="utf-8"),
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.xdist_group("reading")
def test_every_benchmark_record_is_indexed():
    index = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert [page.name for page in (ROOT / "benchmarks").glob("*.md") if page.name not in index] == []
