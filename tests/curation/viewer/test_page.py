"""The viewer, started as a person starts it and driven in a real browser with clicks and keys."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from shards.manifest import read_manifest
from tests.browser import open_browser

BIN = Path(sys.executable).parent


@contextlib.contextmanager
def viewer(out, cache):
    words = [BIN / "pix2gif", "view", out, "--port", "0", "--no-open"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as run:
        line = run.stdout.readline()
        yield re.search(r"http://127\.0\.0\.1:\d+/", line)[0], run
        run.send_signal(signal.SIGTERM)
        run.wait(timeout=20)


@pytest.fixture(scope="module")
def address(dataset, tmp_path_factory):
    with viewer(dataset, tmp_path_factory.mktemp("cache")) as (address, _):
        yield address


@pytest.fixture
def page(address):
    with open_browser() as browser:
        browser.get(address)
        wait_for(browser, "page 1 of")
        yield browser
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
        assert all(url.startswith((address, "data:", "chrome")) for url in requested(browser))


def requested(browser):
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]


def wait_for(browser, words):
    def told(browser):
        return words in browser.find_element(By.ID, "told").text

    WebDriverWait(browser, 20).until(told, f"{words!r} was not told")


def captions(browser):
    return [element.text for element in browser.find_elements(By.CSS_SELECTOR, ".quote")]


def facts(browser):
    return [element.text for element in browser.find_elements(By.CSS_SELECTOR, ".facts")]


def motion_of(text):
    return float(re.search(r"motion ([\d.]+) px", text)[1])


def test_pages_turn_by_click_and_by_key(page, dataset):
    total = sum(entry.num_samples for entry in read_manifest(dataset).splits.values())
    pages = -(-total // 24)
    wait_for(page, f"{total} samples, page 1 of {pages}")
    first = facts(page)
    assert len(first) == 24
    page.find_element(By.ID, "next").click()
    wait_for(page, f"page 2 of {pages}")
    assert not set(first) & set(facts(page))
    page.find_element(By.TAG_NAME, "body").send_keys("p")
    wait_for(page, f"page 1 of {pages}")
    assert facts(page) == first
    assert not page.find_element(By.ID, "back").is_enabled()


def test_filters_narrow_what_is_shown_and_stand_in_the_address(page):
    page.find_element(By.TAG_NAME, "body").send_keys("/")
    page.switch_to.active_element.send_keys("GLIDES pixels")
    page.find_element(By.NAME, "min").send_keys("4")
    page.find_element(By.NAME, "max").send_keys("12")
    Select(page.find_element(By.NAME, "split")).select_by_value("train")
    WebDriverWait(page, 20).until(lambda browser: "split=train" in browser.current_url)
    wait_for(page, "sample")
    WebDriverWait(page, 20).until(lambda browser: all(4 <= motion_of(text) <= 12 for text in facts(browser)))
    assert captions(page)
    assert all("glides" in text for text in captions(page))
    assert all("train/" in text for text in facts(page))
    page.get(page.current_url)
    wait_for(page, "page 1 of")
    assert page.find_element(By.NAME, "text").get_attribute("value") == "GLIDES pixels"
    page.find_element(By.NAME, "text").send_keys(" nonsense")
    wait_for(page, "No sample is like that")


def test_pictures_load_and_the_third_obeys(page):
    pictures = page.find_elements(By.CSS_SELECTOR, ".pictures img")[:4]
    WebDriverWait(page, 20).until(lambda browser: all(picture.get_property("naturalWidth") for picture in pictures))
    Select(page.find_element(By.NAME, "third")).select_by_value("show-target")
    over = page.find_element(By.CSS_SELECTOR, ".blink img + img")
    assert over.value_of_css_property("opacity") == "1"
    Select(page.find_element(By.NAME, "third")).select_by_value("show-source")
    assert over.value_of_css_property("opacity") == "0"


def test_it_fits_a_phone_in_the_dark(address, tmp_path):
    with open_browser("--force-dark-mode", "--blink-settings=preferredColorScheme=0", width=390, height=800) as phone:
        phone.get(address)
        wait_for(phone, "page 1 of")
        assert phone.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


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
        assert run.wait(timeout=20) == 0
    words = [BIN / "pix2gif", "view", tmp_path, "--no-open"]
    none = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (none.returncode, none.stderr.count("\n"), "Traceback" in none.stderr) == (1, 1, False)
