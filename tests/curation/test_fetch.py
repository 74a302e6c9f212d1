"""Bytes come from a path or a real HTTP server, or a reason in words comes instead."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from curation.fetch import USER_AGENT, FetchError, TooManyBytesError, fetch_bytes

LIMIT = 1_000_000


class Host(ThreadingHTTPServer):
    """A host of GIFs on the loopback interface; `asked` tells what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.pages: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.num_sent = 0
        self.moved_to = "/a.gif"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    """Answers by the path that is asked for."""

    server: Host

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["User-Agent"]))
        if self.path == "/moved.gif":
            self.send_response(302)
            self.send_header("Location", self.server.moved_to)
            self.end_headers()
        elif self.path == "/endless.gif":
            self.send_response(200)
            self.end_headers()
            self.send_without_end()
        elif self.path == "/cut.gif":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"GIF89a")
        elif self.path in self.server.pages:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.pages[self.path])
        else:
            self.send_error(404)

    def send_without_end(self) -> None:
        """Send until the other side hangs up, 64 MiB at most."""
        for _ in range(1024):
            try:
                self.wfile.write(bytes(2**16))
            except OSError:
                return
            self.server.num_sent += 2**16

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # The name is the library's.
        """Keep the test's output clean."""


@pytest.fixture
def host() -> Iterator[Host]:
    """A running host with one GIF."""
    with Host() as server:
        server.pages["/a.gif"] = b"GIF89a and more"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_url_gives_its_bytes_and_the_host_sees_who_asks(host: Host) -> None:
    assert fetch_bytes(f"{host.url}/a.gif", LIMIT) == b"GIF89a and more"
    assert host.asked == [("/a.gif", USER_AGENT)]


def test_a_redirect_is_followed(host: Host) -> None:
    assert fetch_bytes(f"{host.url}/moved.gif", LIMIT) == b"GIF89a and more"


@pytest.mark.parametrize(
    "moved_to",
    ["ftp://host/a.gif", "http://h:port/", "http://[broken/", "http://" + "a" * 64 + ".com/", "http://\xff\xfe/"],
    ids=["another scheme", "port", "bracket", "long label", "no UTF-8"],
)
def test_a_redirect_to_nowhere_is_told(host: Host, moved_to: str) -> None:
    host.moved_to = moved_to
    with pytest.raises(FetchError, match=r"\w"):
        fetch_bytes(f"{host.url}/moved.gif", LIMIT)


def test_the_scheme_of_a_url_may_be_in_capitals(host: Host) -> None:
    assert fetch_bytes(f"{host.url}/a.gif".replace("http", "HTTP"), LIMIT) == b"GIF89a and more"


def test_a_page_that_is_gone_is_told_with_its_status(host: Host) -> None:
    with pytest.raises(FetchError, match="HTTP 404 Not Found"):
        fetch_bytes(f"{host.url}/gone.gif", LIMIT)


def test_a_host_that_sends_without_end_is_cut_off_at_the_limit(host: Host) -> None:
    with pytest.raises(TooManyBytesError, match="1,000,000"):
        fetch_bytes(f"{host.url}/endless.gif", LIMIT)
    assert host.num_sent < 2**25


def test_exactly_as_many_bytes_as_the_limit_are_taken(host: Host, tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF89a and more")
    for location in (f"{host.url}/a.gif", str(tmp_path / "a.gif")):
        assert len(fetch_bytes(location, 15)) == 15
        with pytest.raises(TooManyBytesError, match="14"):
            fetch_bytes(location, 14)


def test_an_answer_that_is_cut_short_is_no_answer(host: Host) -> None:
    with pytest.raises(FetchError, match="IncompleteRead"):
        fetch_bytes(f"{host.url}/cut.gif", LIMIT)


def test_a_refused_connection_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError, match="ConnectionError"):
            fetch_bytes(f"http://127.0.0.1:{unused.getsockname()[1]}/a.gif", LIMIT)


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///a.gif",
        "http://[broken/a.gif",
        "http://h:port/a.gif",
        "http://./a",
        f"http://{'a' * 64}.com/a",
    ],
    ids=["nothing", "no host", "bracket", "port", "dot", "long label"],
)
def test_a_url_that_is_none_is_told(url: str) -> None:
    with pytest.raises(FetchError, match=r"\w"):
        fetch_bytes(url, LIMIT)


@pytest.mark.parametrize("scheme", ["ftp", "s3", "data"])
def test_other_schemes_are_told(scheme: str) -> None:
    with pytest.raises(FetchError, match=f"{scheme}:// locations cannot be fetched"):
        fetch_bytes(f"{scheme}://host/a.gif", LIMIT)


def test_a_missing_file_a_folder_and_an_impossible_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"there is no file .*gone\.gif"):
        fetch_bytes(str(tmp_path / "gone.gif"), LIMIT)
    with pytest.raises(FetchError, match="is not a file"):
        fetch_bytes(str(tmp_path), LIMIT)
    for name in ("a\0.gif", "long" * 100, "\N{SLICE OF PIZZA}" * 100):
        with pytest.raises(FetchError, match=r"\w"):
            fetch_bytes(str(tmp_path / name), LIMIT)
