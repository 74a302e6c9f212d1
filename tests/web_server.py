"""A web server on the loopback interface that can misbehave in many ways, and logs its requests."""

import contextlib
import dataclasses
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from curation.fetch import rate_limits
from shards.storage import retry

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclasses.dataclass(frozen=True)
class LoggedRequest:
    """One request."""

    path: str
    user_agent: str
    at_s: float
    num_running: int
    """Requests in progress whose client was still connected, including this one."""
    range: str | None


class WebServer(ThreadingHTTPServer):
    """A web server whose response depends on the path: a page, a handler, or a file of a folder."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path | None = None, *, has_ranges: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, bytes] = {}
        """Bodies by path."""
        self.handlers: dict[str, Callable[[Handler, int], None]] = {}
        """By the first part of a path: a function of the handler and the number of earlier requests for that path."""
        self.folder = folder
        self.has_ranges = has_ranges
        self.log: list[LoggedRequest] = []
        self.num_sent = 0
        self._running: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """The port it listens at."""
        return self.server_port

    @property
    def name(self) -> str:
        """Host and port, as `--allow-host` takes them."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Its URL, without a slash at the end."""
        return f"http://{self.name}"

    def paths(self) -> list[str]:
        """Return the paths of all requests, in order."""
        return [request.path for request in self.log]

    def find_page(self, path: str) -> bytes | None:
        """Return the body of a page or file; None where there is none."""
        if path in self.pages:
            return self.pages[path]
        file = self.folder / path.lstrip("/") if self.folder else None
        return file.read_bytes() if file and file.is_file() else None

    def begin(self, handler: "Handler") -> int:
        """Log a request and return the number of earlier ones for its path."""
        with self._lock:
            num_earlier = self.paths().count(handler.path)
            self._running = {client for client in self._running if not has_hung_up(client)} | {handler.connection}
            headers = handler.headers
            self.log.append(
                LoggedRequest(
                    handler.path, headers["User-Agent"], time.monotonic(), len(self._running), headers["Range"]
                )
            )
        return num_earlier

    def end(self, handler: "Handler") -> None:
        """Record that a response is about to be complete, before the client can know."""
        with self._lock:
            self._running.discard(handler.connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep the test's output clean: clients that hang up are part of the tests."""


def has_hung_up(connection: socket.socket) -> bool:
    """Return whether the client has closed a connection."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class Handler(BaseHTTPRequestHandler):
    """Responds to one request."""

    protocol_version = "HTTP/1.1"
    server: WebServer

    def do_GET(self) -> None:
        num_earlier = self.server.begin(self)
        try:
            handle = self.server.handlers.get(self.path.split("/")[1])
            if handle:
                handle(self, num_earlier)
            elif (page := self.server.find_page(self.path)) is not None:
                self.send_page(page)
            else:
                self.send(404)
        finally:
            self.server.end(self)

    do_HEAD = do_GET  # noqa: N815 # The name is the library's.

    def send_page(self, body: bytes) -> None:
        """Send a body, or the range of it that was requested."""
        if not (self.headers["Range"] and self.server.has_ranges):
            self.send(200, body)
            return
        first, last = (int(number) for number in re.findall(r"\d+", self.headers["Range"]))
        self.send(*((206, body[first : last + 1]) if first < len(body) else (416,)))

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a complete response."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.server.end(self)
        self.end_headers()
        self.wfile.write(body)

    def send_half(self, body: bytes) -> None:
        """Send half of a body and close the connection."""
        self.close_connection = True
        self.send(200, body[: len(body) // 2], Content_Length=str(len(body)))

    def send_endless(self, num_chunks: int, chunk: bytes = bytes(2**16)) -> None:
        """Send until the client hangs up."""
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        for _ in range(num_chunks):
            self.wfile.write(chunk)
            self.server.num_sent += len(chunk)

    def drip(self, data: bytes, seconds: float) -> None:
        """Send a byte every few seconds, until the client hangs up."""
        self.close_connection = True
        for byte in data:
            self.wfile.write(bytes([byte]))
            if select.select([self.connection], [], [], seconds)[0]:
                return

    def stall(self) -> None:
        """Send nothing until the client hangs up."""
        self.close_connection = True
        select.select([self.connection], [], [], 60)

    def reset(self) -> None:
        """Reset the connection."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.server.end(self)
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # The name is the library's.
        """Keep the test's output clean."""


@contextlib.contextmanager
def serve(folder: Path | None = None, *, has_ranges: bool = True) -> Iterator[WebServer]:
    """Run a server until the block ends."""
    with WebServer(folder, has_ranges=has_ranges) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def web_server() -> Iterator[WebServer]:
    """A running server without pages."""
    with serve() as server:
        yield server


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses before retries and those of hosts that do not respond."""
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(rate_limits, "NO_RESPONSE_PAUSE_S", 0.001)
    monkeypatch.setattr(rate_limits, "REFUSAL_PAUSE_S", 0.02)
