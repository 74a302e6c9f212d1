"""The site as `make docs` builds it: complete, without warnings, without requests to other machines."""

import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from tests.docs.helpers import PAGES, ROOT, list_options

SITE = ROOT / "build" / "site"

pytestmark = [pytest.mark.docs, pytest.mark.xdist_group("site")]


@pytest.fixture(scope="session")
def site() -> Path:
    ended = subprocess.run(["/usr/bin/env", "make", "docs"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return SITE


def read(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_reference_lists_every_command_and_option(site):
    page = read(site / "docs" / "reference" / "commands.html")
    sections = {heading.get_text().rstrip("#¶"): heading.parent.get_text() for heading in page.find_all(["h2", "h3"])}
    program = list_options()
    assert len(program) > 20
    assert program.keys() <= sections.keys()
    for name, options in program.items():
        assert {option for option in options if option not in sections[name]} == set(), name


def test_reference_lists_every_module_except_commands(site):
    told = set()
    for path in (site / "docs" / "reference").glob("*.html"):
        told |= {span["id"].removeprefix("module-") for span in read(path).select("[id^=module-]")}
    for room in ("curation", "shards", "training"):
        found = pkgutil.walk_packages(import_module(room).__path__, f"{room}.")
        names = {module.name for module in found if not module.ispkg and ".commands" not in module.name}
        assert names - told == set()


def test_every_page_is_linked_from_the_front_page(site):
    shown = read(site / "docs" / "index.html").select_one(".sidebar-tree")
    linked = {(site / "docs" / link["href"].split("#")[0]).resolve() for link in shown.select("a[href]")}
    pages = [page for page in PAGES if page.name != "index.md" and page != ROOT / "README.md"]
    expected = {(site / page.relative_to(ROOT)).with_suffix(".html") for page in pages}
    assert expected - linked == set()
    assert "docs/index.html" in (site / "index.html").read_text(encoding="utf-8")


def test_pages_load_nothing_from_other_machines(site):
    for path in site.rglob("*.html"):
        page = read(path)
        loaded = [tag.get("src") for tag in page.select("[src]")] + [tag["href"] for tag in page.select("link[href]")]
        assert [address for address in loaded if re.match(r"(https?:)?//", address)] == [], path
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?https?:", path.read_text(encoding="utf-8")), path


def test_figures_match_the_code_that_draws_them(tmp_path):
    subprocess.run([sys.executable, "-m", "docs.figures", tmp_path], cwd=ROOT, check=True)
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert len(drawn) == 5
    for name in drawn:
        here, there = (
            np.asarray(Image.open(folder / name).convert("RGB"), float)
            for folder in (tmp_path, ROOT / "docs" / "images")
        )
        assert here.shape == there.shape, name
        assert np.abs(here - there).mean() < 1.0, name
