"""Remote data sets give the batches of the disk, read by ranges or through a cache of whole shards."""

import socket
from collections.abc import Iterator

import pytest

from shards.manifest import read_manifest
from shards.storage.retry import NUM_ATTEMPTS
from shards.writer import file_sha256
from tests.bucket import upload_tree
from tests.google import read_tree
from tests.training.data.helpers import are_same, batches, copy
from tests.web_server import WebServer, serve
from training.data import DataError

pytestmark = pytest.mark.usefixtures("short_pauses")


@pytest.fixture
def server(uneven) -> Iterator[WebServer]:
    """A web server over the data set."""
    with serve(uneven) as server:
        yield server


@pytest.mark.parametrize("workers", [0, 2])
def test_http_ranges_give_the_batches_of_the_disk(server, uneven, workers):
    assert are_same(batches(server.url, 4, num_workers=workers), batches(uneven, 4))
    assert any(request.range for request in server.log)


def test_cache_downloads_each_shard_once_and_serves_later_runs(server, uneven, tmp_path):
    expected = batches(uneven, 14)
    assert are_same(batches(server.url, 14, cache=tmp_path, num_workers=2), expected)
    shards = [path for path in server.paths() if path.endswith(".tar")]
    assert sorted(shards) == [f"/train/{number:05d}.tar" for number in range(5)]
    server.log.clear()
    assert are_same(batches(server.url, 14, cache=tmp_path), expected)
    assert set(server.paths()) == {"/latents.json", "/dataset.json"}
    for path in (tmp_path / "shards").glob("*.tar"):
        assert file_sha256(path) == path.stem


@pytest.mark.parametrize("damage", ["truncated", "zeroed"])
def test_damaged_cached_shard_is_downloaded_again(server, uneven, tmp_path, damage):
    expected = batches(server.url, 14, cache=tmp_path)
    for path in (tmp_path / "shards").glob("*.tar"):
        data = path.read_bytes()
        path.write_bytes(data[:-512] if damage == "truncated" else bytes(len(data)))
    assert are_same(batches(server.url, 14, cache=tmp_path), expected)


def fail_first(server: WebServer, num_failures: int) -> None:
    """Cut off the first responses for each shard."""

    def respond(handler, num_earlier: int) -> None:
        data = server.find_page(handler.path)
        if num_earlier < num_failures:
            handler.send_half(data)
        else:
            handler.send_page(data)

    server.handlers["train"] = respond


def test_download_is_attempted_four_times_in_total(server, uneven, tmp_path):
    assert NUM_ATTEMPTS == 4
    fail_first(server, 3)
    assert are_same(batches(server.url, 1, cache=tmp_path), batches(uneven, 1))
    assert not [path for path in (tmp_path / "shards").iterdir() if path.suffix == ".tmp"]
    fail_first(server, 99)
    server.log.clear()
    with pytest.raises(DataError, match=r"http.*00000\.tar: .*IncompleteRead"):
        batches(server.url, 1, cache=tmp_path / "other")
    assert server.paths().count("/train/00000.tar") == 4


@pytest.mark.parametrize("is_cached", [True, False])
def test_shard_that_differs_from_the_manifest_is_refused(uneven, tmp_path, is_cached):
    folder = copy(uneven, tmp_path / "other")
    path = folder / "train" / "00000.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with serve(folder) as server, pytest.raises(DataError, match=r"http.*00000.tar: its SHA-256 is not the manifest's"):
        batches(server.url, 14, cache=tmp_path / "cache" if is_cached else None)
    assert all(file_sha256(path) == path.stem for path in tmp_path.glob("cache/shards/*.tar"))


def test_server_without_ranges_needs_a_cache(uneven, tmp_path):
    with serve(uneven, has_ranges=False) as server:
        with pytest.raises(DataError, match="does not support range requests; set cache to a folder"):
            batches(server.url, 1)
        assert are_same(batches(server.url, 4, cache=tmp_path), batches(uneven, 4))


def test_missing_remote_shard_raises_even_if_damage_is_skipped(uneven, tmp_path):
    folder = copy(uneven, tmp_path / "less")
    (folder / "train" / "00003.tar").unlink()
    with serve(folder) as server:
        for cache in (None, tmp_path / "cache"):
            with pytest.raises(DataError, match=r"http.*00003.tar: there is no such file"):
                batches(server.url, 14, cache=cache, on_damage="skip")


def test_unreachable_server_raises():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(DataError, match="ConnectionError"):
            batches(f"http://127.0.0.1:{unused.getsockname()[1]}", 1)


def test_url_without_a_data_set_raises(server):
    with pytest.raises(DataError, match=r"http.*/nothing: no dataset.json, so no finished data set"):
        batches(f"{server.url}/nothing", 1)


def test_unwritable_cache_raises(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot cache shards here"):
        batches(server.url, 1, cache=tmp_path / "file")


def test_s3_ranges_give_the_batches_of_the_disk(s3, uneven):
    upload_tree(s3, uneven, "sets/one")
    assert are_same(batches("s3://bucket/sets/one", 4), batches(uneven, 4))


def test_gs_ranges_give_the_batches_of_the_disk(google, uneven):
    google(read_tree(uneven, "sets/one"))
    assert are_same(batches("gs://bucket/sets/one", 4), batches(uneven, 4))


def test_s3_with_a_cache_and_workers_gives_the_batches_of_the_disk(s3, uneven, tmp_path):
    upload_tree(s3, uneven, "sets/one")
    assert are_same(batches("s3://bucket/sets/one/", 4, cache=tmp_path, num_workers=1), batches(uneven, 4))
    names = {path.stem for path in (tmp_path / "shards").glob("*.tar")}
    assert names <= {shard.sha256 for shard in read_manifest(uneven).splits["train"].shards}
    assert names


def test_s3_without_a_data_set_raises(s3):
    for location in ("s3://bucket/sets/two", "s3://no-such-bucket/sets"):
        with pytest.raises(DataError, match=f"{location}.*(no dataset.json|there is no such bucket)"):
            batches(location, 1)
