"""Files on a web server, and how often a request is attempted."""

from pathlib import Path

import pytest

from shards.errors import StoreError
from shards.storage.http_path import HttpPath
from shards.storage.retry import NUM_ATTEMPTS
from shards.writer import file_sha256
from tests.web_server import WebServer

DATA = bytes(range(256)) * 40

pytestmark = pytest.mark.usefixtures("short_pauses")


@pytest.fixture
def file(web_server: WebServer) -> HttpPath:
    """A file on the server."""
    web_server.pages["/set/a.tar"] = DATA
    return HttpPath(f"{web_server.url}/set") / "a.tar"


def test_file_is_read_whole_by_ranges_and_to_disk(file: HttpPath, tmp_path: Path) -> None:
    assert file.name == "a.tar"
    assert file.read_bytes() == DATA
    file.download(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == DATA
    assert file_sha256(file) == file_sha256(tmp_path / "copy")
    for buffering in (0, 100):
        with file.open("rb", buffering=buffering) as opened:
            opened.seek(1000)
            assert opened.read(3) == DATA[1000:1003]
            opened.seek(len(DATA) - 2)
            assert opened.read(10) == DATA[-2:]
            assert opened.read(10) == b""


def test_missing_file_raises_without_retry(web_server: WebServer) -> None:
    with pytest.raises(FileNotFoundError):
        HttpPath(f"{web_server.url}/none").read_bytes()
    assert len(web_server.log) == 1


def test_refusal_raises_without_retry(web_server: WebServer) -> None:
    web_server.handlers["closed"] = lambda handler, _: handler.send(403)
    with pytest.raises(StoreError, match=r"/closed/a: HTTP 403 Forbidden"):
        HttpPath(f"{web_server.url}/closed/a").read_bytes()
    assert len(web_server.log) == 1


@pytest.mark.parametrize("failure", ["status", "reset", "half"])
@pytest.mark.parametrize("num_failures", [1, NUM_ATTEMPTS - 1, NUM_ATTEMPTS])
def test_request_is_attempted_four_times_in_total(
    web_server: WebServer, tmp_path: Path, failure: str, num_failures: int
) -> None:
    def respond(handler, num_earlier: int) -> None:
        if num_earlier >= num_failures:
            handler.send_page(DATA)
        elif failure == "status":
            handler.send(503)
        elif failure == "reset":
            handler.reset()
        else:
            handler.send_half(DATA)

    web_server.handlers["bad"] = respond
    path = HttpPath(f"{web_server.url}/bad/a.tar")
    if num_failures < NUM_ATTEMPTS:
        path.download(tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == DATA
        assert len(web_server.log) == num_failures + 1
    else:
        with pytest.raises(StoreError, match=r"/bad/a\.tar: "):
            path.read_bytes()
        assert len(web_server.log) == NUM_ATTEMPTS == 4
