"""The page in a real browser. Requests to other machines are blocked."""

import io
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image, ImageSequence

from tests.browser import open_browser

BIN = Path(sys.executable).parent
_START_S = 180


@pytest.fixture
def address(model, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GRADIO_TEMP_DIR": str(tmp_path / "gradio")}
    command = [BIN / "pix2gif", "app", "--model", model, "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/", server, tmp_path / "log")
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(30)


def wait_for(url, server, log):
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        try:
            requests.get(url, timeout=10).raise_for_status()
        except requests.RequestException:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"no page after {_START_S} s: {log.read_text()}")


def test_the_page_generates_a_gif_from_an_upload(address, cat):
    with open_browser(address) as page:
        page.get_by_role("button", name="Generate").click()
        page.get_by_text("there is no image; upload one first").wait_for()
        page.locator("input[type=file]").first.set_input_files(str(cat))
        page.get_by_label("Prompt").fill("a cat dancing")
        settings = {
            "Number of frames": "3", "Motion of the first frame": "4", "Motion of the last frame": "18", "Steps": "1",
        }  # fmt: skip
        for label, value in settings.items():
            box = page.get_by_role("spinbutton", name=re.compile(label))
            box.fill(value)
            box.press("Tab")
        page.locator("img[src*='cat.png']").first.wait_for()
        page.get_by_role("button", name="Generate").click()
        gif = page.locator("img[src*='.gif']").first
        gif.wait_for()
        content = page.request.get(str(gif.get_attribute("src"))).body()
        page.locator("img[src*='sheet']").first.wait_for()
    with Image.open(io.BytesIO(content)) as gif:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)]
    assert [frame.shape for frame in frames] == [(64, 86, 3)] * 3
    assert not np.array_equal(frames[0], frames[2])
