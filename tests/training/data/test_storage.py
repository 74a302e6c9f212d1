"""A web server and S3 give the batches that the disk gives, by ranges or through a cache of whole, proved shards."""

import socket
from collections.abc import Iterator
from multiprocessing import forkserver

import boto3
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from shards.manifest import read_manifest
from shards.writer import file_sha256
from tests.training.data.helpers import Host, batches, copy, same, serve
from training.data import DataError, http_storage


@pytest.fixture
def host(uneven, monkeypatch) -> Iterator[Host]:
    """A web server over the data set; failed requests are repeated without a pause."""
    monkeypatch.setattr(http_storage.time, "sleep", lambda _: None)
    with serve(uneven) as server:
        yield server


@pytest.fixture(scope="module")
def s3(uneven) -> Iterator[str]:
    """Endpoint of an S3 service that holds the data set in s3://bucket/sets/one."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    address, port = server.get_host_and_port()
    endpoint = f"http://{address}:{port}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **KEYS)
    client.create_bucket(Bucket="bucket")
    for path in (path for path in uneven.rglob("*") if path.is_file()):
        client.upload_file(str(path), "bucket", f"sets/one/{path.relative_to(uneven)}")
    yield endpoint
    server.stop()


KEYS = {"aws_access_key_id": "drawn", "aws_secret_access_key": "drawn"}


def are_the_same(first, second):
    return all(same(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_http_by_ranges_gives_the_batches_of_the_disk(host, uneven, workers):
    assert are_the_same(batches(host.url, 4, num_workers=workers), batches(uneven, 4))
    assert any(wanted for _, wanted in host.asked)


def test_a_cache_asks_for_each_shard_once_and_serves_later_runs(host, uneven, tmp_path):
    expected = batches(uneven, 14)
    assert are_the_same(batches(host.url, 14, cache=tmp_path, num_workers=2), expected)
    shards = [path for path, _ in host.asked if path.endswith(".tar")]
    assert sorted(shards) == [f"/train/{number:05d}.tar" for number in range(5)]
    host.asked.clear()
    assert are_the_same(batches(host.url, 14, cache=tmp_path), expected)
    assert {path for path, _ in host.asked} == {"/latents.json", "/dataset.json"}
    for path in (tmp_path / "shards").glob("*.tar"):
        assert file_sha256(path) == path.stem


@pytest.mark.parametrize("damage", ["cut", "rotten"])
def test_a_cached_shard_that_is_no_longer_whole_is_fetched_again(host, uneven, tmp_path, damage):
    expected = batches(host.url, 14, cache=tmp_path)
    for path in (tmp_path / "shards").glob("*.tar"):
        data = path.read_bytes()
        path.write_bytes(data[:-512] if damage == "cut" else bytes(len(data)))
    assert are_the_same(batches(host.url, 14, cache=tmp_path), expected)


def test_a_download_that_breaks_off_is_tried_again(host, uneven, tmp_path):
    host.num_failures = 2
    assert are_the_same(batches(host.url, 14, cache=tmp_path), batches(uneven, 14))
    assert not [path for path in (tmp_path / "shards").iterdir() if path.suffix == ".tmp"]


@pytest.mark.parametrize("cached", [True, False])
def test_bytes_that_are_not_the_manifests_are_refused(uneven, tmp_path, monkeypatch, cached):
    monkeypatch.setattr(http_storage.time, "sleep", lambda _: None)
    folder = copy(uneven, tmp_path / "other")
    path = folder / "train" / "00000.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with serve(folder) as host, pytest.raises(DataError, match=r"http.*00000.tar: not the bytes that the manifest"):
        batches(host.url, 14, cache=tmp_path / "cache" if cached else None)
    assert all(file_sha256(path) == path.stem for path in tmp_path.glob("cache/shards/*.tar"))


def test_a_server_without_ranges_is_told_and_its_shards_can_be_cached(uneven, tmp_path):
    with serve(uneven, ranges=False) as host:
        with pytest.raises(DataError, match="answers no ranges; set cache to a folder"):
            batches(host.url, 1)
        assert are_the_same(batches(host.url, 4, cache=tmp_path), batches(uneven, 4))


def test_a_shard_that_is_gone_is_told(uneven, tmp_path):
    folder = copy(uneven, tmp_path / "less")
    (folder / "train" / "00003.tar").unlink()
    with serve(folder) as host:
        for cache in (None, tmp_path / "cache"):
            with pytest.raises(DataError, match=r"00003.tar: HTTP 404"):
                batches(host.url, 14, cache=cache, on_damage="skip")


def test_no_server_is_told(monkeypatch):
    monkeypatch.setattr(http_storage.time, "sleep", lambda _: None)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(DataError, match="ConnectionError"):
            batches(f"http://127.0.0.1:{unused.getsockname()[1]}", 1)


def test_a_url_without_a_data_set_is_told(host):
    with pytest.raises(DataError, match=r"http.*/nothing: no dataset.json, so no finished data set"):
        batches(f"{host.url}/nothing", 1)


def test_a_cache_that_cannot_be_written_is_told(host, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot cache shards here"):
        batches(host.url, 1, cache=tmp_path / "file")


def test_s3_by_ranges_gives_the_batches_of_the_disk(s3, uneven):
    assert are_the_same(batches("s3://bucket/sets/one", 4, s3_endpoint=s3), batches(uneven, 4))


@pytest.fixture
def new_fork_server() -> Iterator[None]:
    """A fork server of this test alone: what it forks has the environment that the server began with."""
    server = forkserver._forkserver
    server._stop()  # Made for tests, as it says of itself.
    yield
    server._stop()


@pytest.mark.usefixtures("new_fork_server")
def test_s3_through_a_cache_and_workers_gives_them_too(s3, uneven, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    found = batches("s3://bucket/sets/one/", 4, cache=tmp_path, num_workers=1)
    assert are_the_same(found, batches(uneven, 4))
    names = {path.stem for path in (tmp_path / "shards").glob("*.tar")}
    assert names <= {shard.sha256 for shard in read_manifest(uneven).splits["train"].shards}
    assert names


def test_s3_without_a_data_set_is_told(s3):
    for location in ("s3://bucket/sets/two", "s3://no-such-bucket/sets"):
        with pytest.raises(DataError, match=f"{location}.*(no dataset.json|does not exist)"):
            batches(location, 1, s3_endpoint=s3)
