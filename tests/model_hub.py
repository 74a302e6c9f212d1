"""A server with the part of the Hugging Face hub's API that uploading and downloading a model needs."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.json_handler import JsonHandler

TOKEN = "hf_drawn"  # noqa: S105 # Of this server only.


class ModelHub(ThreadingHTTPServer):
    """Serves `repositories`, files by name, and accepts commits from holders of TOKEN."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.visibilities: dict[str, str] = {}
        self.messages: list[str] = []
        self.large_files: dict[str, bytes] = {}
        """Uploaded by SHA-256, before the commit that names them."""

    @property
    def url(self) -> str:
        """Value for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_port}"

    def revision(self, name: str) -> str:
        """Return the hash of a repository's files, as of a commit."""
        files = self.repositories[name]
        return hashlib.sha1(repr(sorted(files.items())).encode(), usedforsecurity=False).hexdigest()

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep the test's output clean: clients close connections when they have what they need."""


class _Handler(JsonHandler, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelHub

    def do_GET(self) -> None:
        """Answer with the description of a repository or one of its files."""
        words = unquote(urlsplit(self.path).path).strip("/").split("/")
        if words[:2] == ["api", "models"]:
            self._describe("/".join(words[2:4]), words[4:])
        elif len(words) > 4 and words[2] == "resolve":
            self._send_file("/".join(words[:2]), "/".join(words[4:]))
        else:
            self.send(404, {})

    def do_HEAD(self) -> None:
        """Answer like GET, without the body."""
        self.do_GET()

    def do_POST(self) -> None:
        """Create a repository, or take a step of an upload."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path
        if path == "/api/validate-yaml":
            self.send(200, {"warnings": [], "errors": []})
        elif self.headers["Authorization"] != f"Bearer {TOKEN}":
            self.send(401, {"error": "Invalid username or password."})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.server.repositories.setdefault(name, {})
            self.server.visibilities.setdefault(name, asked.get("visibility", "public"))
            self.send(200, {"url": f"{self.server.url}/{name}", "name": name})
        elif path.endswith("/info/lfs/objects/batch"):
            self.send(200, {"objects": [self._answer_lfs(item) for item in json.loads(body)["objects"]]})
        elif "/preupload/" in path:
            self.send(200, {"files": [_choose_mode(file) for file in json.loads(body)["files"]]})
        else:
            self._commit("/".join(path.split("/")[3:5]), [json.loads(line) for line in body.splitlines()])

    def do_PUT(self) -> None:
        """Take the content of a large file."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.large_files[hashlib.sha256(body).hexdigest()] = body
        self.send(200, {})

    def _answer_lfs(self, item: dict[str, Any]) -> dict[str, Any]:
        return {**item, "actions": {"upload": {"href": f"{self.server.url}/large/{item['oid']}"}}}

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        files = self.server.repositories[name]
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.server.messages.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                files[value["path"]] = self.server.large_files[value["oid"]]
        commit = self.server.revision(name)
        url = f"{self.server.url}/{name}/commit/{commit}"
        self.send(200, {"success": True, "commitOid": commit, "commitUrl": url})

    def _describe(self, name: str, rest: list[str]) -> None:
        if name not in self.server.repositories:
            self.send(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            return
        files = self.server.repositories[name]
        if rest[:1] == ["tree"]:
            entries = [
                {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}  # noqa: S324
                for path, data in files.items()
            ]
            self.send(200, entries)
        else:
            siblings = [{"rfilename": path} for path in files]
            self.send(200, {"id": name, "sha": self.server.revision(name), "siblings": siblings})

    def _send_file(self, name: str, path: str) -> None:
        files = self.server.repositories.get(name, {})
        if path not in files:
            self.send(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
            return
        headers = {"X_Repo_Commit": self.server.revision(name), "ETag": f'"{hashlib.sha256(files[path]).hexdigest()}"'}
        self.send(200, files[path], **headers)


def _choose_mode(file: dict[str, Any]) -> dict[str, Any]:
    mode = "lfs" if file["path"].endswith(".safetensors") else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}


@pytest.fixture
def model_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModelHub]:
    """Serve an empty hub that huggingface_hub finds in this process and, by the environment, in new ones."""
    with ModelHub() as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        for name, value in (
            ("HF_ENDPOINT", hub.url),
            ("HF_HOME", str(tmp_path / "hf")),
            ("HF_TOKEN", TOKEN),
            ("HF_HUB_DISABLE_XET", "1"),  # Its client has a protocol of its own.
        ):
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        # An earlier test may have imported huggingface_hub with HF_HUB_OFFLINE=1.
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        yield hub
        hub.shutdown()
        thread.join()
