"""Listing, GIFs and cache in object stores: s3:// at a real S3 service, gs:// at a small one, others through fsspec."""

import hashlib
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec
import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.errors import ListingError, OutputError
from curation.fetch import FetchError, TooManyBytesError, fetch_bytes
from curation.fetch.cache import Cache
from curation.fetch.errors import TransientError
from curation.fetch.object_cache import open_cache_store
from curation.fetch.object_reads import download_object
from curation.options import FetchOptions, RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress
from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from shards.verify import verify_dataset

GIF = b"GIF89a and more"
LIMIT = 1_000_000


def test_an_object_gives_its_bytes_up_to_the_limit(s3) -> None:
    s3.put_object(Bucket="bucket", Key="a b/c?d=e#f.gif.gz", Body=GIF)
    assert fetch_bytes("s3://bucket/a b/c?d=e#f.gif.gz", 15) == GIF
    assert fetch_bytes("S3://bucket/a b/c?d=e#f.gif.gz", 15) == GIF
    with pytest.raises(TooManyBytesError, match="15 bytes, more than the limit of 14"):
        fetch_bytes("s3://bucket/a b/c?d=e#f.gif.gz", 14)


@pytest.mark.parametrize(
    "location", ["s3://bucket/gone.gif", "s3://nowhere/a.gif", "s3://bucket/folder", "s3://", "s3:///a"]
)
def test_an_object_that_is_not_there_is_told(s3, location: str) -> None:
    s3.put_object(Bucket="bucket", Key="folder/a.gif", Body=GIF)
    with pytest.raises(FetchError, match=r"there is no object|cannot read"):
        fetch_bytes(location, LIMIT)


def test_an_object_past_its_deadline_is_given_up(s3) -> None:
    s3.put_object(Bucket="bucket", Key="a.gif", Body=GIF)
    with pytest.raises(TransientError, match="deadline"):
        download_object("s3://bucket/a.gif", bytearray().extend, LIMIT, time.monotonic() - 1)


def test_a_location_cannot_choose_another_service(s3, host) -> None:
    for query in (f"endpoint_override={host.name}&scheme=http", f"endpoint_override={host.url}"):
        with pytest.raises(FetchError, match=r"there is no object|Empty path component"):
            fetch_bytes(f"s3://bucket/a.gif?{query}", LIMIT)
    assert host.log == []


def test_a_cache_in_a_bucket_keeps_proves_and_drops(s3, tmp_path: Path) -> None:
    def cache() -> Cache:
        return Cache(open_cache_store("s3://bucket/kept/"))

    def keep(url: str, data: bytes) -> str:
        (tmp_path / "arrived").write_bytes(data)
        return cache().keep(url, tmp_path / "arrived", hashlib.sha256(data).hexdigest())

    location = keep("http://a/1.gif", GIF)
    assert location.startswith("s3://bucket/kept/objects/")
    assert fetch_bytes(location, LIMIT) == GIF
    assert cache().find("http://a/1.gif") == location
    assert cache().find("http://a/2.gif") is None
    s3.put_object(Bucket="bucket", Key=location.removeprefix("s3://bucket/"), Body=b"damaged")
    assert cache().find("http://a/1.gif") is None
    keep("http://a/1.gif", GIF)
    keep("http://a/2.gif", b"GIF89a 2")
    cache().trim(10)
    left = [kept["Key"] for kept in s3.list_objects_v2(Bucket="bucket")["Contents"]]
    # Arrow leaves an object for a folder where it takes a file out of one.
    assert sorted(key.split("/")[1] for key in left if not key.endswith("/")) == ["objects", "urls"]


def test_listing_gifs_and_cache_may_all_lie_in_a_bucket(s3, tmp_path: Path) -> None:
    (tmp_path / "gifs").mkdir()
    for seed in range(2):
        drawn = DrawnGif(name="", caption="", width=40, height=40, num_frames=4, dx=2.0, seed=seed)
        save_gif(tmp_path / "gifs" / f"{seed}.gif", draw_frames(drawn))
        s3.upload_file(str(tmp_path / "gifs" / f"{seed}.gif"), "bucket", f"tgif/gifs/{seed}.gif")
    # One is named by a path below the listing, the other by its location.
    rows = "gifs/0.gif\ta caption\ns3://bucket/tgif/gifs/1.gif\tanother\n"
    (tmp_path / "listing.tsv").write_text(rows)
    s3.put_object(Bucket="bucket", Key="tgif/listing.tsv", Body=rows.encode())
    # A process of its own, as those that it starts find the service by the environment that they start with.
    command = [Path(sys.executable).parent / "pix2gif-curate", "--resolution", "64", "--min-motion", "0.1"]
    command += ["--max-motion", "60", "--workers", "0", "--cache", "s3://bucket/cache", "--quiet", "--out"]

    def hashes(out: Path) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*/*.tar")}

    def run(listing: str, name: str) -> Path:
        subprocess.run([*command, tmp_path / name, listing], check=True, timeout=300)
        verify_dataset(tmp_path / name)
        return tmp_path / name

    first = run("s3://bucket/tgif/listing.tsv", "first")
    assert json.loads((first / "dataset.json").read_text())["listing"]["uri"] == "listing.tsv"
    assert json.loads((first / "dataset.json").read_text())["verdicts"]["kept"] == 2
    for seed in range(2):
        s3.delete_object(Bucket="bucket", Key=f"tgif/gifs/{seed}.gif")
    assert hashes(run("s3://bucket/tgif/listing.tsv", "second")) == hashes(first)
    # What lies in the bucket gives what the same bytes give on a disk.
    local = run(str(tmp_path / "listing.tsv"), "local")
    assert hashes(local) == hashes(first)


def test_nothing_in_a_listing_from_elsewhere_names_a_file_of_this_machine(s3, listing: Path, tmp_path: Path) -> None:
    gif = next((listing.parent / "gifs").glob("*.gif"))
    rows = [f"file://{gif}", f"FILE://{gif}", str(gif), f"../../../../../..{gif}", f"file:{gif}", f"local://{gif}"]
    s3.put_object(Bucket="bucket", Key="evil.tsv", Body="".join(f"{row}\ta caption\n" for row in rows).encode())
    options = RunOptions(listing="s3://bucket/evil.tsv", out=tmp_path / "out", workers=0)
    curate(options, CurationConfig(), Progress(quiet=True))
    clips = pq.read_table(tmp_path / "out" / "clips.parquet").to_pylist()
    assert [clip["verdict"] for clip in clips] == ["fetch_failed"] * len(rows)
    assert clips[0]["detail"] == "file:// is read only where the listing lies on this machine"


def test_a_listing_or_a_cache_that_is_not_there_is_told(s3, listing: Path, tmp_path: Path) -> None:
    with pytest.raises(ListingError, match=r"cannot fetch the listing s3://bucket/gone\.tsv: there is no object"):
        curate(RunOptions(listing="s3://bucket/gone.tsv", out=tmp_path / "a"), CurationConfig(), Progress(quiet=True))
    rows = tmp_path / "rows.tsv"
    rows.write_text("s3://bucket/a.gif\ta caption\n")
    for cache in ("s3://nowhere/cache", "ftp://host/cache"):
        options = RunOptions(listing=rows, out=tmp_path / "b", workers=0, fetch=FetchOptions(cache=cache))
        s3.put_object(Bucket="bucket", Key="a.gif", Body=GIF)
        with pytest.raises(OutputError, match=f"the cache {cache} cannot be used"):
            curate(options, CurationConfig(), Progress(quiet=True))


class Google(BaseHTTPRequestHandler):
    """As much of Google's store as it takes to read one object."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        name = unquote(url.path.rpartition("/o/")[2])
        if name != "folder/a.gif":
            self.send_error(404)
            return
        about = {"kind": "storage#object", "bucket": "bucket", "name": name, "size": str(len(GIF)), "generation": "1"}
        body = GIF if "alt=media" in url.query else json.dumps(about).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # The name is the library's.
        """Keep the test's output clean."""


def test_gs_is_read_by_the_same_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Google) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        try:
            assert fetch_bytes("gs://bucket/folder/a.gif", LIMIT) == GIF
            with pytest.raises(TooManyBytesError, match="15 bytes"):
                fetch_bytes("gs://bucket/folder/a.gif", 14)
            with pytest.raises(FetchError, match="there is no object gs://bucket/gone"):
                fetch_bytes("gs://bucket/gone.gif", LIMIT)
        finally:
            server.shutdown()
            thread.join()


def test_another_cloud_is_read_through_fsspec() -> None:
    known = fsspec.get_filesystem_class("memory")
    fsspec.register_implementation("hf", known, clobber=True)
    try:
        fsspec.filesystem("memory").pipe("/bucket/a.gif", GIF)
        assert fetch_bytes("hf://bucket/a.gif", LIMIT) == GIF
        with pytest.raises(FetchError, match="there is no object"):
            fetch_bytes("hf://bucket/gone.gif", LIMIT)
    finally:
        fsspec.register_implementation("hf", "huggingface_hub.HfFileSystem", clobber=True)


def test_a_cloud_whose_package_is_not_installed_is_told() -> None:
    with pytest.raises(FetchError, match=r"oci:// needs a package that is not installed: .*ocifs"):
        fetch_bytes("oci://bucket/a.gif", LIMIT)
