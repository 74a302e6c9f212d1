"""The page in a real browser. Requests to other machines are blocked."""

import asyncio
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

from tests.browser import open_page, start_browser
from training.generation.page_guard import MAX_FOLDER_BYTES, PageGuard

BIN = Path(sys.executable).parent
_START_S = 180


@pytest.fixture(scope="module")
def address(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    temporary = folder / "temporary"
    temporary.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
    command = [BIN / "pix2gif", "app", "--model", model, "--port", str(port)]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/", server, folder / "log")
        yield f"http://127.0.0.1:{port}/"
        assert [path.stat().st_mode & 0o077 for path in temporary.glob("pix2gif-*")] == [0]
    finally:
        server.terminate()
        server.wait(30)
    assert list(temporary.glob("pix2gif-*")) == []


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
    with start_browser() as browser, open_page(browser, address) as page:
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


def generate_from(address, path):
    """Upload a file and ask for a GIF as the page does; return the events of the answer."""
    with path.open("rb") as file:
        (uploaded,) = requests.post(f"{address}gradio_api/upload", files={"files": file}, timeout=30).json()
    image = {"path": uploaded, "meta": {"_type": "gradio.FileData"}}
    call = f"{address}gradio_api/call/generate_gif"
    data = [image, "a cat", 4, 18, 1, "none", "dpm++", 1, 0]
    event = requests.post(call, json={"data": data}, timeout=30).json()["event_id"]
    return requests.get(f"{call}/{event}", timeout=60).text


def test_files_that_are_no_usable_image_give_the_sentence_of_the_command(address, tmp_path):
    bomb, text, postscript = (tmp_path / f"{name}.png" for name in ("bomb", "text", "postscript"))
    Image.new("1", (30_000, 20_000)).save(bomb)
    text.write_text("hello")
    Image.new("RGB", (40, 40)).save(postscript, "EPS")
    for path, sentence in ((bomb, "is too large"), (text, "is not an image"), (postscript, "is not an image")):
        assert f"{path.name} {sentence}" in generate_from(address, path)


def test_requests_of_other_pages_are_refused(address):
    port = address.rsplit(":", 1)[1].rstrip("/")
    for headers in ({"Host": f"evil.example:{port}"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        for path in ("", "config", "gradio_api/upload"):
            assert requests.post(address + path, headers=headers, timeout=60).status_code == 403
            assert requests.get(address + path, headers=headers, timeout=60).status_code == 403
    assert requests.get(f"{address}config", headers={"Origin": address.rstrip("/")}, timeout=60).status_code == 200


def test_uploads_stop_where_the_folder_is_full(tmp_path):
    with (tmp_path / "upload").open("wb") as file:
        file.truncate(MAX_FOLDER_BYTES + 1)
    sent = []

    async def send(message):
        sent.append(message)

    async def answer(scope, receive, send):
        sent.append("passed on")

    guard = PageGuard(answer, tmp_path)
    scope = {"type": "http", "headers": [(b"host", b"127.0.0.1:7860")], "server": ("127.0.0.1", 7860)}
    asyncio.run(guard({**scope, "path": "/gradio_api/upload"}, None, send))
    asyncio.run(guard({**scope, "path": "/gradio_api/queue/join"}, None, send))
    assert [message if message == "passed on" else message.get("status") for message in sent] == [
        507,
        None,
        "passed on",
    ]
