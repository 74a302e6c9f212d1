"""A server with the part of the Hugging Face hub's API that reading the files of a data set needs."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.json_handler import JsonHandler

_COMMIT = "0" * 40


class DatasetHub(ThreadingHTTPServer):
    """Serves `repositories`: files by name, by repository."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.log: list[str] = []

    @property
    def url(self) -> str:
        """Value for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep the test's output clean: clients close connections when they have what they need."""


class _Handler(JsonHandler, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DatasetHub

    def do_GET(self) -> None:
        """Answer with the description of a repository or its files, or with a file."""
        self.server.log.append(f"{self.command} {self.path} {self.headers.get('Range', '')}")
        words = unquote(urlsplit(self.path).path).strip("/").split("/")
        name, files = self._find(words[2:4] if words[0] == "api" else words[1:3])
        if files is None:
            self.send(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        elif words[0] == "api" and words[4:5] == ["tree"]:
            is_recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() == "true"
            self.send(200, _list_tree(files, "/".join(words[6:]), is_recursive))
        elif words[0] == "api":
            siblings = [{"rfilename": path} for path in files]
            self.send(200, {"id": name, "sha": _COMMIT, "siblings": siblings})
        else:
            self._send_file(files, "/".join(words[5:]))

    def do_HEAD(self) -> None:
        """Answer like GET, without the body."""
        self.do_GET()

    def do_POST(self) -> None:
        """Describe some paths of a repository."""
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.log.append(f"POST {self.path} {asked}")
        values = json.loads(asked) if asked.startswith("{") else parse_qs(asked)
        _, files = self._find(urlsplit(self.path).path.strip("/").split("/")[2:4])
        paths = values["paths"] if isinstance(values["paths"], list) else [values["paths"]]
        self.send(200, [_describe(files or {}, path) for path in paths if _describe(files or {}, path)])

    def _find(self, words: list[str]) -> tuple[str, dict[str, bytes] | None]:
        return "/".join(words), self.server.repositories.get("/".join(words))

    def _send_file(self, files: dict[str, bytes], path: str) -> None:
        if path not in files:
            self.send(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
            return
        data, status, headers = files[path], 200, {"ETag": f'"{_hash(files[path])}"', "X_Repo_Commit": _COMMIT}
        if asked := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            start, end = int(asked[1]), min(int(asked[2]), len(data) - 1)
            status, headers["Content_Range"] = 206, f"bytes {start}-{end}/{len(data)}"
            data = data[start : end + 1]
        self.send(status, data, **headers)


def _hash(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()  # noqa: S324 # As git has it.


def _describe(files: dict[str, bytes], path: str) -> dict[str, Any] | None:
    if path in files:
        return {"type": "file", "path": path, "size": len(files[path]), "oid": _hash(files[path])}
    if any(name.startswith(f"{path}/") for name in files):
        return {"type": "directory", "path": path, "oid": _hash(path.encode())}
    return None


def _list_tree(files: dict[str, bytes], folder: str, is_recursive: bool) -> list[dict[str, Any]]:
    start = f"{folder}/" if folder else ""
    below = [name for name in files if name.startswith(start)]
    folders = {start + "/".join(parts[:n]) for name in below for parts in [name[len(start) :].split("/")]
               for n in range(1, len(parts))}  # fmt: skip
    entries = [_describe(files, path) for path in [*sorted(folders), *below]]
    return [entry for entry in entries if entry and (is_recursive or "/" not in str(entry["path"]).removeprefix(start))]


@pytest.fixture
def dataset_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[DatasetHub]:
    """Serve an empty hub that curation finds by HF_ENDPOINT."""
    with DatasetHub() as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        # An earlier test may have imported huggingface_hub with HF_HUB_OFFLINE=1.
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        yield hub
        hub.shutdown()
        thread.join()
