"""Servers' phrases and file names that are not UTF-8, and terminals that are ASCII."""

import os
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.export.dataset import find_sources, read_finished
from curation.options import FetchOptions, RunOptions
from curation.resplit import resplit
from curation.retry import retry
from curation.run.progress import Progress
from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from shards.storage.location import for_arrow
from shards.verification.dataset import verify_dataset
from tests.curation.helpers import PIX2GIF, run
from tests.web_server import Handler, WebServer

CONFIG = CurationConfig(resolution=64, min_motion=0.1, max_motion=60)
ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a name that is not UTF-8, with two GIFs and a listing of three."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/f\xfclder"))
    folder.mkdir()
    for seed in range(2):
        drawn = DrawnGif(name="", caption="", width=40, height=40, num_frames=4, dx=2.0, seed=seed)
        save_gif(folder / f"{seed}.gif", draw_frames(drawn))
    (folder / "l\udcefst.tsv").write_text("0.gif\tone\n1.gif\ttwo\ngone.gif\tthree\n")
    return folder


def send_status_line(handler: Handler, num_earlier: int) -> None:
    """Answer 404 with bytes that are not UTF-8, a terminal's escape sequence and 3,000 more bytes."""
    handler.wfile.write(b"HTTP/1.1 404 Not F\xfcnd \x1b[31m" + b"x" * 3000 + b"\r\nContent-Length: 0\r\n\r\n")


def test_reason_phrase_of_a_server_is_made_printable_and_cut(folder: Path, web_server: WebServer) -> None:
    web_server.handlers["bad"] = send_status_line
    listing = folder / "l\udcefst.tsv"
    listing.write_text(f"{folder.parent}/a.gif\tone\n{web_server.url}/bad\ttwo\n")
    (folder.parent / "a.gif").write_bytes((folder / "0.gif").read_bytes())
    fetch = FetchOptions(allow_host=("127.0.0.1",), rate_per_host=0)
    assert run(listing, folder / "out", CONFIG, fetch=fetch)
    detail = pq.read_table(for_arrow(folder / "out" / "clips.parquet"))["detail"][1].as_py()
    assert detail.startswith(r"HTTP 404 Not F\xfcnd \x1b[31mxxx")
    assert len(detail) <= 200


def test_data_set_in_a_folder_that_is_not_utf8(folder: Path) -> None:
    listing, out = folder / "l\udcefst.tsv", folder / "o\udcfct"
    assert run(listing, out, CONFIG)
    verify_dataset(out)
    assert retry(out, workers=None, progress=Progress(quiet=True))
    finished = read_finished(out)
    options = RunOptions(out=folder / "o\udcfct2", workers=0, flow=out / "flow", **find_sources(finished, None))
    assert resplit(finished, options, CONFIG, Progress(quiet=True))
    verify_dataset(options.out)


def test_messages_of_an_ascii_terminal_escape_names(folder: Path) -> None:
    command = [PIX2GIF, "curate", "l\udcefst.tsv", "--out", "ö\udcfct", "--workers", "0", "--resolution", "64"]
    env = {**os.environ, **ASCII}
    ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert b"The data set is in " in ended.stdout
    command[2] = "g\udcfcne.tsv"
    ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr[-9:]) == (1, b"g\\xfcne.tsv\n"[-9:])
    assert ended.stderr.startswith(b"Error: there is no listing ")
