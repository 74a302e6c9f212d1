"""The viewer, started as a person starts it and driven in a real browser with clicks and keys."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from shards.manifest import read_manifest
from shards.reader import read_shard
from tests.browser import open_browser
from tests.contrast import worst_contrast

BIN = Path(sys.executable).parent


@contextlib.contextmanager
def viewer(out, cache):
    words = [BIN / "pix2gif", "view", out, "--port", "0", "--no-open"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as run:
        line = run.stdout.readline()
        yield re.search(r"http://127\.0\.0\.1:\d+/", line)[0], run
        run.send_signal(signal.SIGTERM)
        run.wait(timeout=60)


@pytest.fixture(scope="module")
def address(dataset, tmp_path_factory):
    with viewer(dataset, tmp_path_factory.mktemp("cache")) as (address, _):
        yield address


@pytest.fixture
def page(address):
    with open_browser(address, viewport={"width": 1280, "height": 900}) as page:
        told(page, "page 1 of")
        yield page


def told(page, words):
    page.locator("#told", has_text=words).wait_for()


def facts(page):
    return page.locator(".facts").all_inner_texts()


def motion_of(text):
    return float(re.search(r"motion ([\d.]+) px", text)[1])


def test_pages_turn_by_click_and_by_key(page, dataset):
    total = sum(entry.num_samples for entry in read_manifest(dataset).splits.values())
    pages = -(-total // 24)
    told(page, f"{total} samples, page 1 of {pages}")
    first = facts(page)
    assert len(first) == 24
    page.get_by_role("button", name="Next").click()
    told(page, f"page 2 of {pages}")
    assert not set(first) & set(facts(page))
    page.locator("body").press("p")
    told(page, f"page 1 of {pages}")
    assert facts(page) == first
    assert page.get_by_role("button", name="Back").is_disabled()


def test_filters_narrow_what_is_shown_and_stand_in_the_address(page, dataset):
    records = [sample.record for path in sorted((dataset / "train").glob("*.tar")) for sample in read_shard(path)]
    wanted = [record for record in records if "right" in record.caption and 4 <= record.motion_px <= 12]
    page.locator("body").press("/")
    page.keyboard.type("glides RIGHT")
    page.get_by_label("motion from, px").fill("4")
    page.get_by_label("to, px", exact=True).fill("12")
    page.get_by_label("split").select_option("train")
    told(page, f"{len(wanted)} samples, page 1 of")
    assert all(4 <= motion_of(text) <= 12 and "train/" in text for text in facts(page))
    assert all("right" in text for text in page.locator(".quote").all_inner_texts())
    page.reload()
    told(page, f"{len(wanted)} samples, page 1 of")
    assert page.locator("[name=text]").input_value() == "glides RIGHT"
    page.locator("[name=text]").fill("nonsense")
    told(page, "No sample is like that")


def test_pictures_load_and_the_third_obeys(page):
    page.wait_for_function(
        "() => [...document.querySelectorAll('.pictures img')].slice(0, 4).every((picture) => picture.naturalWidth > 0)"
    )
    over = page.locator(".blink img + img").first
    for chosen, opacity in (("show-target", "1"), ("show-source", "0")):
        page.get_by_label("third picture").select_option(chosen)
        assert over.evaluate("picture => getComputedStyle(picture).opacity") == opacity


def test_a_pair_is_enlarged_and_the_next_page_follows(page):
    page.locator(".closer").nth(23).click()
    dialog = page.get_by_role("dialog")
    first = dialog.locator("#large-facts").inner_text()
    assert first == facts(page)[23]
    page.keyboard.press("ArrowRight")
    told(page, "page 2 of")
    page.wait_for_function("first => document.querySelector('#large-facts').innerText !== first", arg=first)
    assert dialog.locator("#large-facts").inner_text() == facts(page)[0]
    page.keyboard.press("Space")
    assert dialog.locator("#large-shown").inner_text() == "target"
    page.wait_for_function("() => document.querySelector('dialog .blink img').naturalWidth === 256")
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_fits_a_phone_and_can_be_read(address, scheme):
    with open_browser(address, viewport={"width": 390, "height": 800}, color_scheme=scheme) as page:
        told(page, "page 1 of")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        ratio, where = worst_contrast(page)
        assert ratio >= 4.5, where


def test_nobody_else_is_answered(address):
    port = address.rsplit(":", 1)[1].rstrip("/")
    assert requests.get(address, headers={"Host": f"evil.example:{port}"}, timeout=5).status_code == 403
    assert requests.get(f"{address}pictures/999999/source", timeout=5).status_code == 404
    assert requests.get(f"{address}pictures/0/../../dataset.json", timeout=5).status_code == 404
    assert requests.get(f"{address}samples?min=much", timeout=5).status_code == 400


def test_it_ends_politely_and_says_what_it_cannot_do(dataset, tmp_path):
    with viewer(dataset, tmp_path / "cache") as (address, run):
        port = address.rsplit(":", 1)[1].rstrip("/")
        words = [BIN / "pix2gif", "view", dataset, "--port", port, "--no-open"]
        taken = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert taken.returncode == 1
        assert taken.stderr.startswith(f"Error: port {port} is taken")
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=60) == 0
    words = [BIN / "pix2gif", "view", tmp_path, "--no-open"]
    none = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (none.returncode, none.stderr.count("\n"), "Traceback" in none.stderr) == (1, 1, False)
