"""A server with the part of Google Cloud Storage's API that reading objects needs."""

import contextlib
import json
import multiprocessing
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest


class GoogleStore(ThreadingHTTPServer):
    """Serves `objects`, by name, from the bucket `bucket`."""

    daemon_threads = True

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects = objects

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep the test's output clean: clients close connections when they have what they need."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: GoogleStore

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        name = unquote(url.path.rpartition("/o/")[2])
        if url.path.endswith("/o"):
            self._send(200, json.dumps({"kind": "storage#objects", "items": []}).encode())
        elif name not in self.server.objects:
            self._send(404, b"{}")
        elif "alt=media" in url.query:
            self._send_object(self.server.objects[name])
        else:
            self._send(200, json.dumps(_describe(name, self.server.objects[name])).encode())

    def _send_object(self, data: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        if wanted is None:
            self._send(200, data)
            return
        start, end = int(wanted[1]), min(int(wanted[2] or len(data) - 1) + 1, len(data))
        self._send(206, data[start:end], Content_Range=f"bytes {start}-{end - 1}/{len(data)}")

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # The name is the library's.
        """Keep the test's output clean."""


def _describe(name: str, data: bytes) -> dict[str, str]:
    return {"kind": "storage#object", "bucket": "bucket", "name": name, "size": str(len(data)), "generation": "1"}


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, bytes]], None]]:
    """A function that starts a store of some objects, which our own code finds through the environment."""
    with contextlib.ExitStack() as stack:

        def start(objects: dict[str, bytes]) -> None:
            server = stack.enter_context(GoogleStore(objects))
            # In another process: Arrow holds the interpreter's lock while it opens an object of Google's.
            process = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
            process.start()
            stack.callback(process.join)
            stack.callback(process.terminate)
            monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", f"http://127.0.0.1:{server.server_port}")

        yield start


def read_tree(folder: Path, prefix: str) -> dict[str, bytes]:
    """Return the files of a folder as objects whose names start with a prefix."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {f"{prefix}/{path.relative_to(folder)}": path.read_bytes() for path in paths}
