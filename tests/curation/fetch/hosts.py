"""A host on the loopback interface, of every kind of manners; it keeps a log of what it was asked, and when."""

import contextlib
import dataclasses
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    user_agent: str
    at_s: float
    num_under_way: int
    """Requests that were being answered to somebody who still listened, this one among them."""


class Host(ThreadingHTTPServer):
    """A host of GIFs; what it answers is said by path, in `pages` or by `answers`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.pages: dict[str, bytes] = {}
        self.answers: dict[str, Callable[[Answer, int], None]] = {}
        """By the first part of a path: what to do, told how often that path was asked for before."""
        self.log: list[Asked] = []
        self.num_sent = 0
        self._under_way: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server_port

    @property
    def name(self) -> str:
        """As `--allow-host` takes it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.name}"

    def paths(self) -> list[str]:
        """What it was asked for, in order."""
        return [asked.path for asked in self.log]

    def begin(self, answer: "Answer") -> int:
        """Note a request; returns how often its path was asked for before."""
        with self._lock:
            before = self.paths().count(answer.path)
            self._under_way = {one for one in self._under_way if not hung_up(one)} | {answer.connection}
            agent = answer.headers["User-Agent"]
            self.log.append(Asked(answer.path, agent, time.monotonic(), len(self._under_way)))
        return before

    def end(self, answer: "Answer") -> None:
        """Note that a request is about to be answered whole, before the other side can know."""
        with self._lock:
            self._under_way.discard(answer.connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep the test's output clean: a client that hangs up is what is tested."""


def hung_up(connection: socket.socket) -> bool:
    """Tell whether the other side has closed a connection."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class Answer(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    server: Host

    def do_GET(self) -> None:
        before = self.server.begin(self)
        try:
            act = self.server.answers.get(self.path.split("/")[1])
            if act:
                act(self, before)
            elif self.path in self.server.pages:
                self.send(200, self.server.pages[self.path])
            else:
                self.send(404)
        finally:
            self.server.end(self)

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.server.end(self)
        self.end_headers()
        self.wfile.write(body)

    def send_endless(self, num_chunks: int, chunk: bytes = bytes(2**16)) -> None:
        """Send until the other side hangs up."""
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        for _ in range(num_chunks):
            self.wfile.write(chunk)
            self.server.num_sent += len(chunk)

    def drip(self, data: bytes, seconds: float) -> None:
        """Send a byte now and then, until the other side hangs up."""
        self.close_connection = True
        for byte in data:
            self.wfile.write(bytes([byte]))
            if select.select([self.connection], [], [], seconds)[0]:
                return

    def stall(self) -> None:
        """Say nothing until the other side hangs up."""
        self.close_connection = True
        select.select([self.connection], [], [], 60)

    def reset(self) -> None:
        """Break the connection off, with no farewell."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.server.end(self)
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # The name is the library's.
        """Keep the test's output clean."""


@contextlib.contextmanager
def serve() -> Iterator[Host]:
    """Run a host for as long as the block lasts."""
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
