"""Every command in README and docs runs, in the order in which it stands there.

Commands are lines that begin with `$ ` in a fenced `console` block; a `toml` block before them becomes `run.toml`.
A page's commands run in one folder, where tgif.tsv, gifs/ and splits/ lie ready, drawn; those of make, in the
project's own folder.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUNS_THIS = {"make test"}
"""The suite itself: it cannot run inside itself, and CI runs it first."""

pytestmark = pytest.mark.docs


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of the fenced blocks."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    lines = [line for language, text in blocks(page) if language == "console" for line in text.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


@pytest.fixture
def desk(listing: Path, tmp_path: Path) -> Path:
    """A folder as a user's: a TGIF-style listing of urls, the GIFs downloaded, the official lists."""
    shutil.copytree(listing.parent / "gifs", tmp_path / "gifs")
    rows = [line.split("\t") for line in listing.read_text().splitlines()]
    urls = [f"https://example.invalid/{uri}" for uri, _ in rows]
    lines = [f"{url}\t{caption}\n" for url, (_, caption) in zip(urls, rows, strict=True)]
    (tmp_path / "tgif.tsv").write_text("".join(lines))
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "val.txt").write_text("\n".join(urls[:2]))
    (tmp_path / "splits" / "train.txt").write_text("\n".join(urls[2:]))
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_every_command_of_the_page_runs(page, desk):
    for language, text in blocks(page):
        if language == "toml":
            (desk / "run.toml").write_text(text)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in commands(page):
        if command in RUNS_THIS:
            continue
        where = ROOT if command.startswith("make ") else desk
        ended = subprocess.run(  # noqa: S602  # Our own pages, run as a reader's shell would run them.
            command, shell=True, cwd=where, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert ended.returncode == 0, f"{page.name}: {command}\n{ended.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_the_page_leads_somewhere(page):
    for link in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), f"{page.name}: {link}"
