"""A web server that answers garbage, and the fetch stage that must end with a verdict for each of its URLs."""

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from curation.config import CurationConfig
from curation.fetch.stage import fetch_all
from curation.listing.catalog import read_catalog
from curation.options import FetchOptions, RunOptions
from shards.schema import Verdict
from tests.fuzz.mutate import mutate_bytes

NUM_URLS = 8
_STATUS_LINES = (
    b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not F\xfcnd", b"HTTP/1.1 503 \x1b[31mbusy", b"HTTP/1.1 302 Found", b"HTTP/1.1",
    b"HTTP/1.1 099 Low", b"HTTP/1.1 999 High", b"HTTP/9.9 200 OK", b"HTTP/1.1 200", b"ICY 200 OK", b"HTTP/1.1 -1 x",
    b"HTTP/1.1 429 " + b"slow " * 2000, b"HTTP/1.0 200 OK", b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 100 Go on",
    b"HTTP/1.1 204 None", b"HTTP/1.1 206 Part", b"HTTP/1.1 304 Not Modified", b"\0\0\0\0", b"GIF89a",
)  # fmt: skip
_HEADERS = (
    b"Content-Length: 6", b"Content-Length: -6", b"Content-Length: 99999999999999999999", b"Content-Length: 6, 7",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Content-Encoding: gzip", b"Connection: close",
    b"Location: /again", b"Location: http://[", b"Location: //", b"Location: file:///etc/passwd", b"Location: \xff\xfe",
    b"Location: http://169.254.169.254/", b"Location: ", b"Retry-After: 0", b"Retry-After: -5", b"Retry-After: soon",
    b"Set-Cookie: a=" + b"b" * 9000, b": no name", b"No colon", b" folded", b"X: \0", b"Content-Type: \xed\xa0\x80",
    b"Trailer: X", b"Upgrade: h2c",
)  # fmt: skip
_BODIES = (
    b"", b"GIF89a", b"GIF89a" * 500, b"6\r\nGIF89a\r\n0\r\n\r\n", b"ffffffffffffffff\r\nGIF", b"-1\r\nx\r\n",
    b"6;a=b\r\nGIF89a\r\n0\r\nX: y\r\n\r\n", b"6\nGIF89a\n0\n\n", b"zz\r\n", b"\x1f\x8b\x08\0garbage",
)  # fmt: skip


def make_answer(draw: random.Random) -> bytes:
    """Return the bytes of an answer, rarely a valid one."""
    lines = [draw.choice(_STATUS_LINES), *(draw.choice(_HEADERS) for _ in range(draw.randint(0, 4)))]
    data = draw.choice([b"\r\n", b"\r\n", b"\n"]).join(lines) + b"\r\n\r\n" + draw.choice(_BODIES)
    return mutate_bytes(data, draw) if draw.random() < 0.5 else data


def fuzz_answers(folder: Path, draw: random.Random) -> None:
    """Every URL of the server gets its bytes or a verdict with a reason."""
    with _serve(draw) as port:
        rows = "".join(f"http://127.0.0.1:{port}/{number}\tx\n" for number in range(NUM_URLS))
        fetch = FetchOptions(allow_host=(f"127.0.0.1:{port}",), rate_per_host=0, fetch_timeout=0.5)
        options = RunOptions(listing=folder / "listing.tsv", out=folder / "out", fetch=fetch)
        catalog = read_catalog(rows.encode(), options, CurationConfig())
        fetched = fetch_all(catalog.clips, fetch, folder / "fetched", 10_000, lambda _: None)
    assert fetched.locations.keys() | fetched.failures.keys() == set(catalog.clips)
    for verdict, detail in fetched.failures.values():
        assert verdict in (Verdict.FETCH_FAILED, Verdict.TOO_LARGE)
        assert detail


@contextlib.contextmanager
def _serve(draw: random.Random) -> Iterator[int]:
    """Listen on a free port; answer each connection and close it, rarely without an answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        answers = [make_answer(draw) for _ in range(64)]
        thread = threading.Thread(target=_answer_all, args=(server, answers))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _answer_all(server: socket.socket, answers: list[bytes]) -> None:
    number = 0
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, contextlib.suppress(OSError):
            connection.settimeout(1)
            connection.recv(2**16)
            connection.sendall(answers[number % len(answers)])
        number += 1
