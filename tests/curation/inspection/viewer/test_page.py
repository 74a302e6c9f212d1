"""`pix2gif view` in Chromium: pages, filters, pictures, keyboard, allowed hosts, exit."""

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
from tests.browser import find_barriers, open_page, start_browser
from tests.contrast import find_lowest_contrast

BIN = Path(sys.executable).parent


@contextlib.contextmanager
def run_viewer(out, cache):
    """Start the viewer; yields its address and process."""
    command = [BIN / "pix2gif", "view", out, "--port", "0", "--no-open"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        line = process.stdout.readline()
        yield re.search(r"http://127\.0\.0\.1:\d+/", line)[0], process
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def address(dataset, tmp_path_factory):
    with run_viewer(dataset, tmp_path_factory.mktemp("cache")) as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser():
    with start_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def tab(browser, address):
    with open_page(browser, address, viewport={"width": 1280, "height": 900}) as page:
        yield page


@pytest.fixture
def page(tab, address):
    tab.goto(address)
    wait_for_status(tab, "page 1 of")
    return tab


def wait_for_status(page, text):
    page.locator("#status", has_text=text).wait_for()


def read_facts(page):
    return page.locator(".facts").all_inner_texts()


def read_motion_px(text):
    return float(re.search(r"motion ([\d.]+) px", text)[1])


def test_pages_turn_by_button_and_key(page, dataset):
    total = sum(entry.num_samples for entry in read_manifest(dataset).splits.values())
    pages = -(-total // 24)
    wait_for_status(page, f"{total} samples, page 1 of {pages}")
    first = read_facts(page)
    assert len(first) == 24
    page.get_by_role("button", name="Next").click()
    wait_for_status(page, f"page 2 of {pages}")
    assert not set(first) & set(read_facts(page))
    page.locator("body").press("p")
    wait_for_status(page, f"page 1 of {pages}")
    assert read_facts(page) == first
    assert page.get_by_role("button", name="Previous").is_disabled()


def test_filters_are_applied_and_kept_in_the_url(page, dataset):
    records = [sample.record for path in sorted((dataset / "train").glob("*.tar")) for sample in read_shard(path)]
    matches = [record for record in records if "right" in record.caption and 4 <= record.motion_px <= 12]
    page.locator("body").press("/")
    page.keyboard.type("glides RIGHT")
    page.get_by_label("Min. motion, px").fill("4")
    page.get_by_label("Max. motion, px").fill("12")
    page.get_by_label("Split").select_option("train")
    wait_for_status(page, f"{len(matches)} samples, page 1 of")
    assert all(4 <= read_motion_px(text) <= 12 and "train/" in text for text in read_facts(page))
    assert all("right" in text for text in page.locator(".caption").all_inner_texts())
    page.reload()
    wait_for_status(page, f"{len(matches)} samples, page 1 of")
    assert page.locator("[name=text]").input_value() == "glides RIGHT"
    page.locator("[name=text]").fill("nonsense")
    wait_for_status(page, "No samples match the filters.")


def test_pictures_load_and_third_picture_shows_one_frame(page):
    page.wait_for_function(
        "() => [...document.querySelectorAll('.pictures img')].slice(0, 4).every((image) => image.naturalWidth > 0)"
    )
    top_image = page.locator(".blink img + img").first
    for mode, opacity in (("show-target", "1"), ("show-source", "0")):
        page.get_by_label("Third picture").select_option(mode)
        assert top_image.evaluate("image => getComputedStyle(image).opacity") == opacity


def test_enlarged_pair_steps_to_the_next_page(page):
    page.locator(".enlarge").nth(23).click()
    dialog = page.get_by_role("dialog")
    first = dialog.locator("#large-facts").inner_text()
    assert first == read_facts(page)[23]
    page.keyboard.press("ArrowRight")
    wait_for_status(page, "page 2 of")
    page.wait_for_function("first => document.querySelector('#large-facts').innerText !== first", arg=first)
    assert dialog.locator("#large-facts").inner_text() == read_facts(page)[0]
    page.keyboard.press("Space")
    assert dialog.locator("#large-mode").inner_text() == "target"
    page.wait_for_function("() => document.querySelector('dialog .blink img').naturalWidth === 256")
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_page_fits_a_phone_and_has_enough_contrast(browser, address, scheme):
    with open_page(browser, address, viewport={"width": 320, "height": 800}, color_scheme=scheme) as page:
        wait_for_status(page, "page 1 of")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        ratio, description = find_lowest_contrast(page)
        assert ratio >= 4.5, description
        assert find_barriers(page) == []


def test_invalid_requests_are_rejected(address):
    port = address.rsplit(":", 1)[1].rstrip("/")
    assert requests.get(address, headers={"Host": f"evil.example:{port}"}, timeout=60).status_code == 403
    assert requests.get(f"{address}pictures/999999/source", timeout=60).status_code == 404
    assert requests.get(f"{address}pictures/0/../../dataset.json", timeout=60).status_code == 404
    assert requests.get(f"{address}samples?min=much", timeout=60).status_code == 400


def test_sigint_exits_with_0_and_errors_are_one_line(dataset, tmp_path):
    with run_viewer(dataset, tmp_path / "cache") as (address, process):
        port = address.rsplit(":", 1)[1].rstrip("/")
        command = [BIN / "pix2gif", "view", dataset, "--port", port, "--no-open"]
        busy = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert busy.returncode == 1
        assert busy.stderr.startswith(f"Error: port {port} is in use")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    command = [BIN / "pix2gif", "view", tmp_path, "--no-open"]
    missing = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (missing.returncode, missing.stderr.count("\n"), "Traceback" in missing.stderr) == (1, 1, False)
