"""Places on disk and in a bucket of a real S3 service do the same, and say what they cannot do."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from shards.atomic import write_atomically
from shards.errors import StoreError
from shards.location import Location, ObjectPath, list_files, on_disk, parse_location, remove_tree
from shards.writer import file_sha256
from tests.bucket import list_keys

LARGE = bytes(range(256)) * 100_000
"""More than goes into one request."""


@pytest.fixture(params=["disk", "bucket"])
def place(request: pytest.FixtureRequest, s3, tmp_path: Path) -> Location:
    """A place that is empty."""
    return tmp_path / "out" if request.param == "disk" else ObjectPath("s3://bucket/out")


def write(path: Location, data: bytes) -> None:
    with write_atomically(path) as temporary:
        temporary.write_bytes(data)


def test_what_is_written_is_read(place: Location) -> None:
    for data in (b"", b"small", LARGE):
        write(place / "train" / "a.tar", data)
        assert (place / "train" / "a.tar").read_bytes() == data
        with on_disk(place / "train" / "a.tar") as copy:
            assert copy.read_bytes() == data
    assert file_sha256(place / "train" / "a.tar") == hashlib.sha256(LARGE).hexdigest()
    with (place / "train" / "a.tar").open("rb") as file:
        file.seek(1_000_001)
        assert file.read(3) == LARGE[1_000_001:1_000_004]
    write(place / "train" / "b.txt", "grün".encode())
    assert (place / "train" / "b.txt").read_text(encoding="utf-8") == "grün"


def test_folders_are_listed_and_removed_alike(place: Location) -> None:
    for name in ("b.tar", "a.tar", "a.json"):
        write(place / "train" / name, b"x")
    write(place / "dataset.json", b"x")
    assert [path.name for path in list_files(place / "train", "*.tar")] == ["a.tar", "b.tar"]
    assert list_files(place / "val", "*") == []
    assert {path.name for path in place.iterdir()} == {"train", "dataset.json"}
    assert [(place / name).is_dir() for name in ("train", "dataset.json", "val")] == [True, False, False]
    assert [(place / name).is_file() for name in ("train", "dataset.json", "val")] == [False, True, False]
    assert [(place / name).exists() for name in ("train", "dataset.json", "val")] == [True, True, False]
    (place / "train" / "a.tar").unlink()
    (place / "train" / "a.tar").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        (place / "train" / "a.tar").unlink()
    assert [path.name for path in list_files(place / "train", "*")] == ["a.json", "b.tar"]
    remove_tree(place / "train")
    remove_tree(place / "train")
    assert not (place / "train").exists()
    assert (place / "dataset.json").exists()


def test_names_are_those_of_paths() -> None:
    for location in (Path("/bucket/out"), ObjectPath("s3://bucket/out")):
        path = location / "flow" / "part-0.parquet"
        assert (path.name, path.stem, path.parent, str(path)) == (
            "part-0.parquet", "part-0", location / "flow", f"{location}/flow/part-0.parquet",
        )  # fmt: skip
        assert location.absolute() == location


def test_what_is_not_there_is_told_alike(place: Location) -> None:
    with pytest.raises(FileNotFoundError) as told:
        (place / "gone").read_bytes()
    assert str(told.value.filename) == str(place / "gone")


def test_a_block_that_raises_leaves_what_was_there(place: Location) -> None:
    write(place / "a", b"old")

    def fail() -> None:
        with write_atomically(place / "a") as temporary:
            temporary.write_bytes(b"half of the ne")
            raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        fail()
    assert (place / "a").read_bytes() == b"old"
    assert [path.name for path in place.iterdir()] == ["a"]


def test_an_etag_changes_with_the_bytes(s3) -> None:
    path = ObjectPath("s3://bucket/a.tar")
    write(path, LARGE)
    before = path.etag
    assert before
    assert path.etag == before
    write(path, LARGE[:-1] + b"x")
    assert path.etag not in (before, None)


def test_places_are_told_by_their_scheme() -> None:
    assert parse_location("shards/") == Path("shards")
    assert parse_location("s3://bucket/shards/") == ObjectPath("s3://bucket/shards")
    for text in ("http://host/shards", "ftp://host/shards", "hf://datasets/shards"):
        with pytest.raises(StoreError, match=f"{text}: a data set lies in a folder, or in a store at s3:// or gs://"):
            parse_location(text)
    with pytest.raises(StoreError, match="s3://: names no bucket"):
        parse_location("s3://")


@pytest.fixture
def lame(s3, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same service, but that it refuses the second part of every large upload."""
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


def test_an_upload_that_breaks_off_leaves_nothing_under_the_name(s3, lame) -> None:
    write(ObjectPath("s3://bucket/small"), b"it works")
    with pytest.raises(StoreError, match="s3://bucket/large: access is denied"):
        write(ObjectPath("s3://bucket/large"), LARGE)
    assert list_keys(s3) == ["small"]
