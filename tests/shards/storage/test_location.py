"""Locations on disk and in a bucket behave alike. Web servers are in test_http_path."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from shards.errors import StoreError
from shards.storage.atomic import write_atomically
from shards.storage.location import (
    HttpPath,
    Location,
    ObjectPath,
    list_files,
    on_disk,
    parse_location,
    parse_readable_location,
    remove_tree,
)
from shards.storage.retry import NUM_ATTEMPTS
from shards.writer import file_sha256
from tests.bucket import KEYS, list_keys
from tests.web_server import WebServer

LARGE = bytes(range(256)) * 100_000
"""More than goes into one request."""


@pytest.fixture(params=["disk", "bucket"])
def folder(request: pytest.FixtureRequest, s3, tmp_path: Path) -> Location:
    """An empty folder."""
    return tmp_path / "out" if request.param == "disk" else ObjectPath("s3://bucket/out")


def write(path: Location, data: bytes) -> None:
    with write_atomically(path) as temporary:
        temporary.write_bytes(data)


def test_files_are_read_as_written(folder: Location) -> None:
    for data in (b"", b"small", LARGE):
        write(folder / "train" / "a.tar", data)
        assert (folder / "train" / "a.tar").read_bytes() == data
        with on_disk(folder / "train" / "a.tar") as copy:
            assert copy.read_bytes() == data
    assert file_sha256(folder / "train" / "a.tar") == hashlib.sha256(LARGE).hexdigest()
    with (folder / "train" / "a.tar").open("rb") as file:
        file.seek(1_000_001)
        assert file.read(3) == LARGE[1_000_001:1_000_004]
    write(folder / "train" / "b.txt", "grün".encode())
    assert (folder / "train" / "b.txt").read_text(encoding="utf-8") == "grün"


def test_folders_are_listed_and_removed(folder: Location) -> None:
    for name in ("b.tar", "a.tar", "a.json"):
        write(folder / "train" / name, b"x")
    write(folder / "dataset.json", b"x")
    assert [path.name for path in list_files(folder / "train", "*.tar")] == ["a.tar", "b.tar"]
    assert list_files(folder / "val", "*") == []
    assert {path.name for path in folder.iterdir()} == {"train", "dataset.json"}
    assert [(folder / name).is_dir() for name in ("train", "dataset.json", "val")] == [True, False, False]
    assert [(folder / name).is_file() for name in ("train", "dataset.json", "val")] == [False, True, False]
    assert [(folder / name).exists() for name in ("train", "dataset.json", "val")] == [True, True, False]
    (folder / "train" / "a.tar").unlink()
    (folder / "train" / "a.tar").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        (folder / "train" / "a.tar").unlink()
    assert [path.name for path in list_files(folder / "train", "*")] == ["a.json", "b.tar"]
    remove_tree(folder / "train")
    remove_tree(folder / "train")
    assert not (folder / "train").exists()
    assert (folder / "dataset.json").exists()


def test_object_paths_have_the_parts_of_paths() -> None:
    for location in (Path("/bucket/out"), ObjectPath("s3://bucket/out")):
        path = location / "flow" / "part-0.parquet"
        assert (path.name, path.stem, path.parent, str(path)) == (
            "part-0.parquet", "part-0", location / "flow", f"{location}/flow/part-0.parquet",
        )  # fmt: skip
        assert location.absolute() == location


def test_missing_file_raises_with_its_name(folder: Location) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        (folder / "gone").read_bytes()
    assert str(raised.value.filename) == str(folder / "gone")


def test_failed_write_keeps_the_old_file(folder: Location) -> None:
    write(folder / "a", b"old")

    def fail() -> None:
        with write_atomically(folder / "a") as temporary:
            temporary.write_bytes(b"half of the ne")
            raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        fail()
    assert (folder / "a").read_bytes() == b"old"
    assert [path.name for path in folder.iterdir()] == ["a"]


def test_etag_changes_with_the_bytes(s3) -> None:
    path = ObjectPath("s3://bucket/a.tar")
    write(path, LARGE)
    before = path.etag
    assert before
    assert path.etag == before
    write(path, LARGE[:-1] + b"x")
    assert path.etag not in (before, None)


def test_parse_location_chooses_by_scheme() -> None:
    assert parse_location("shards/") == Path("shards")
    assert parse_location("s3://bucket/shards/") == ObjectPath("s3://bucket/shards")
    for text in ("http://host/shards", "ftp://host/shards", "hf://datasets/shards"):
        with pytest.raises(
            StoreError, match=f"{text}: a data set must be in a folder, or in a store at s3:// or gs://"
        ):
            parse_location(text)
    with pytest.raises(StoreError, match="s3://: names no bucket"):
        parse_location("s3://")


def test_parse_readable_location_accepts_web_servers_too() -> None:
    assert parse_readable_location("https://host/shards/") == HttpPath("https://host/shards")
    assert parse_readable_location("shards/") == Path("shards")
    assert parse_readable_location("gs://bucket/shards") == ObjectPath("gs://bucket/shards")
    with pytest.raises(StoreError, match=r"data is read from a folder, http\(s\)://, s3:// or gs://, not from ftp://"):
        parse_readable_location("ftp://host/shards")


def test_request_to_a_store_is_attempted_four_times_in_total(
    web_server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    web_server.handlers["bucket"] = lambda handler, _: handler.send(503)
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": web_server.url}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match=r"^s3://bucket/a\.tar: .*503"):
        ObjectPath("s3://bucket/a.tar").read_bytes()
    assert web_server.paths() == ["/bucket/a.tar"] * NUM_ATTEMPTS
    assert NUM_ATTEMPTS == 4


@pytest.fixture
def flawed_service(s3, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same service, except that it refuses the second part of every multipart upload."""
    service = DomainDispatcherApplication(create_backend_app)

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        if "partNumber=2" not in environ["QUERY_STRING"]:
            return service(environ, start_response)
        environ["wsgi.input"].read()
        start_response("403 Forbidden", [("Content-Length", "0")])
        return [b""]

    server = make_server("127.0.0.1", 0, answer, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    thread.join()


def test_failed_upload_leaves_no_object(s3, flawed_service) -> None:
    write(ObjectPath("s3://bucket/small"), b"it works")
    with pytest.raises(StoreError, match="s3://bucket/large: access is denied"):
        write(ObjectPath("s3://bucket/large"), LARGE)
    assert list_keys(s3) == ["small"]
