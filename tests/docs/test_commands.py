"""Every command in README and docs runs, in the order in which it stands there.

Commands are lines that begin with `$ ` in a fenced `console` block; a `toml` block before them becomes `run.toml`.
A page's commands run in one folder, where tgif.tsv, gifs/ and splits/ lie ready, drawn; those of make, in the
project's own folder. Where pages begin with the same commands, these run once, and each goes on with a copy.
Commands in blocks of no language need a GPU, a cluster or weights: they are held against the program's options.
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

from tests.docs.pages import PAGES, ROOT, blocks, commands, list_options, page_id

RUNS_THIS = {"make test"}
"""The suite itself: it cannot run inside itself, and CI runs it first."""
OF_OTHERS = {"--multi_gpu", "--num_processes", "--cpu", "--signal"}
"""Options in the text that are those of Slurm, torchrun and the like."""

pytestmark = pytest.mark.docs


def run(command: str, desk: Path) -> None:
    if command in RUNS_THIS:
        return
    where = ROOT if command.startswith("make ") else desk
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ended = subprocess.run(  # noqa: S602  # Our own pages, run as a reader's shell would run them.
        command, shell=True, cwd=where, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stderr}"


def shared_beginning(page: Path) -> tuple[str, ...]:
    """The commands with which this page begins, and some other page too."""
    own, longest = commands(page), 0
    for other in PAGES:
        pairs = zip(own, commands(other), strict=False) if other != page else ()
        longest = max(longest, sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
    return own[:longest]


class Desks:
    """Folders as a reader's, by the commands that were run in them."""

    def __init__(self, folder: Path, fresh: Path) -> None:
        self._folder = folder
        self._after = {(): fresh}

    def copy_after(self, done: tuple[str, ...]) -> Path:
        """Give a copy of the folder in which these commands were run; they are run once."""
        if done not in self._after:
            desk = self.copy_after(done[:-1])
            run(done[-1], desk)
            self._after[done] = desk
        copy = self._folder / str(len(list(self._folder.iterdir())))
        return shutil.copytree(self._after[done], copy, symlinks=True)


@pytest.fixture(scope="session")
def desks(listing: Path, tmp_path_factory: pytest.TempPathFactory) -> Desks:
    """Begins with a folder as a user's: a TGIF-style listing of urls, the GIFs downloaded, the official lists."""
    fresh = tmp_path_factory.mktemp("desk")
    shutil.copytree(listing.parent / "gifs", fresh / "gifs")
    rows = [line.split("\t") for line in listing.read_text().splitlines()]
    urls = [f"https://example.invalid/{uri}" for uri, _ in rows]
    lines = [f"{url}\t{caption}\n" for url, (_, caption) in zip(urls, rows, strict=True)]
    (fresh / "tgif.tsv").write_text("".join(lines))
    (fresh / "splits").mkdir()
    (fresh / "splits" / "val.txt").write_text("\n".join(urls[:2]))
    (fresh / "splits" / "train.txt").write_text("\n".join(urls[2:]))
    (fresh / "demo").symlink_to(ROOT / "demo")  # What `make demo` leaves in the project's own folder.
    (fresh / ".venv").symlink_to(sys.prefix)
    return Desks(tmp_path_factory.mktemp("desks"), fresh)


def pages_with_commands() -> list:
    """Pages that begin alike go to one process, so that what they share is run once."""
    pages = [page for page in PAGES if commands(page)]
    marks = {page: pytest.mark.xdist_group(commands(page)[0]) for page in pages}
    return [pytest.param(page, marks=marks[page], id=page_id(page)) for page in pages]


@pytest.mark.parametrize("page", pages_with_commands())
def test_every_command_of_the_page_runs(page, desks):
    shared = shared_beginning(page)
    desk = desks.copy_after(shared)
    for language, text in blocks(page):
        if language == "toml":
            (desk / "run.toml").write_text(text)
    for command in commands(page)[len(shared) :]:
        run(command, desk)


@pytest.mark.xdist_group("reading")
@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_what_is_not_run_names_commands_and_options_that_there_are(page):
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
def test_options_in_the_text_are_the_programs(page):
    known = set().union(*list_options().values()) | OF_OTHERS
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    named = {word for code in re.findall(r"`(--[^`]*)`", text) for word in code.split() if word.startswith("--")}
    assert named - known == set()


@pytest.mark.xdist_group("reading")
@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_link_of_the_page_leads_somewhere(page):
    for link in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.xdist_group("reading")
@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "benchmarks").glob("*.md"))], ids=page_id)
def test_every_file_of_code_that_the_page_names_is_there(page):
    named = re.findall(
        r"\b(?:benchmarks|curation|docs|examples|shards|tests|training)/[\w/-]+\.(?:py|sh|yaml)\b",
        page.read_text(encoding="utf-8"),
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.xdist_group("reading")
def test_every_result_stands_in_the_index_of_benchmarks():
    index = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert [page.name for page in (ROOT / "benchmarks").glob("*.md") if page.name not in index] == []
