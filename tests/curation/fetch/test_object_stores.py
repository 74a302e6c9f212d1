"""Listing, GIFs and cache in object stores: s3:// on moto, gs:// on a small server, other schemes through fsspec."""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.errors import ListingError, OutputError
from curation.fetch import FetchError, TooManyBytesError, fetch_bytes
from curation.fetch.cache import Cache, open_cache
from curation.fetch.read import download_object
from curation.options import FetchOptions, RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress
from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from shards.verification.dataset import verify_dataset

GIF = b"GIF89a and more"
LIMIT = 1_000_000


def test_fetch_bytes_reads_an_object_up_to_the_limit(s3) -> None:
    s3.put_object(Bucket="bucket", Key="a b/c?d=e#f.gif.gz", Body=GIF)
    assert fetch_bytes("s3://bucket/a b/c?d=e#f.gif.gz", 15) == GIF
    assert fetch_bytes("S3://bucket/a b/c?d=e#f.gif.gz", 15) == GIF
    with pytest.raises(TooManyBytesError, match="15 bytes, more than the limit of 14"):
        fetch_bytes("s3://bucket/a b/c?d=e#f.gif.gz", 14)


@pytest.mark.parametrize(
    "location", ["s3://bucket/gone.gif", "s3://nowhere/a.gif", "s3://bucket/folder", "s3://", "s3:///a"]
)
def test_missing_object_fails(s3, location: str) -> None:
    s3.put_object(Bucket="bucket", Key="folder/a.gif", Body=GIF)
    with pytest.raises(FetchError, match=r"there is no object|cannot read"):
        fetch_bytes(location, LIMIT)


def test_object_download_stops_at_the_deadline(s3) -> None:
    s3.put_object(Bucket="bucket", Key="a.gif", Body=GIF)
    with pytest.raises(FetchError, match="deadline"):
        download_object("s3://bucket/a.gif", bytearray().extend, LIMIT, time.monotonic() - 1)


def test_location_cannot_select_another_service(s3, web_server) -> None:
    for query in (f"endpoint_override={web_server.name}&scheme=http", f"endpoint_override={web_server.url}"):
        with pytest.raises(FetchError, match=r"there is no object|Empty path component"):
            fetch_bytes(f"s3://bucket/a.gif?{query}", LIMIT)
    assert web_server.log == []


def test_cache_in_a_bucket_stores_checks_and_trims(s3, tmp_path: Path) -> None:
    def cache() -> Cache:
        return open_cache("s3://bucket/kept/")

    def add(url: str, data: bytes) -> str:
        (tmp_path / "download").write_bytes(data)
        return cache().add(url, tmp_path / "download", hashlib.sha256(data).hexdigest())

    location = add("http://a/1.gif", GIF)
    assert location.startswith("s3://bucket/kept/objects/")
    assert fetch_bytes(location, LIMIT) == GIF
    assert cache().find("http://a/1.gif") == location
    assert cache().find("http://a/2.gif") is None
    s3.put_object(Bucket="bucket", Key=location.removeprefix("s3://bucket/"), Body=b"damaged")
    assert cache().find("http://a/1.gif") is None
    add("http://a/1.gif", GIF)
    add("http://a/2.gif", b"GIF89a 2")
    cache().trim(10)
    remaining = [kept["Key"] for kept in s3.list_objects_v2(Bucket="bucket")["Contents"]]
    # On S3, Arrow writes an empty object for the folder that it deletes from.
    assert sorted(key.split("/")[1] for key in remaining if not key.endswith("/")) == ["objects", "urls"]


def test_listing_gifs_and_cache_in_a_bucket_give_the_same_shards(s3, tmp_path: Path) -> None:
    (tmp_path / "gifs").mkdir()
    for seed in range(2):
        drawn = DrawnGif(name="", caption="", width=40, height=40, num_frames=4, dx=2.0, seed=seed)
        save_gif(tmp_path / "gifs" / f"{seed}.gif", draw_frames(drawn))
        s3.upload_file(str(tmp_path / "gifs" / f"{seed}.gif"), "bucket", f"tgif/gifs/{seed}.gif")
    # One is named by a path relative to the listing, the other by its URL.
    rows = "gifs/0.gif\ta caption\ns3://bucket/tgif/gifs/1.gif\tanother\n"
    (tmp_path / "listing.tsv").write_text(rows)
    s3.put_object(Bucket="bucket", Key="tgif/listing.tsv", Body=rows.encode())
    # In a new process, because its child processes find the service through the environment that it started with.
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
    local = run(str(tmp_path / "listing.tsv"), "local")
    assert hashes(local) == hashes(first)


def test_remote_listing_cannot_name_local_files(s3, listing: Path, tmp_path: Path) -> None:
    gif = next((listing.parent / "gifs").glob("*.gif"))
    rows = [f"file://{gif}", f"FILE://{gif}", str(gif), f"../../../../../..{gif}", f"file:{gif}", f"local://{gif}"]
    s3.put_object(Bucket="bucket", Key="a.gif", Body=GIF)
    lines = "".join(f"{row}\ta caption\n" for row in [*rows, "s3://bucket/a.gif"])
    s3.put_object(Bucket="bucket", Key="evil.tsv", Body=lines.encode())
    options = RunOptions(listing="s3://bucket/evil.tsv", out=tmp_path / "out", workers=0)
    curate(options, CurationConfig(), Progress(quiet=True))
    clips = pq.read_table(tmp_path / "out" / "clips.parquet").to_pylist()
    assert [clip["verdict"] for clip in clips] == [*["fetch_failed"] * len(rows), "too_large"]
    assert clips[0]["detail"] == (
        "file:// is read only where the listing is on this machine too, and names no other host"
    )


def test_missing_listing_and_cache_raise(s3, listing: Path, tmp_path: Path) -> None:
    with pytest.raises(ListingError, match=r"there is no listing s3://bucket/gone\.tsv"):
        curate(RunOptions(listing="s3://bucket/gone.tsv", out=tmp_path / "a"), CurationConfig(), Progress(quiet=True))
    rows = tmp_path / "rows.tsv"
    rows.write_text("s3://bucket/a.gif\ta caption\n")
    for cache in ("s3://nowhere/cache", "ftp://host/cache"):
        options = RunOptions(listing=rows, out=tmp_path / "b", workers=0, fetch=FetchOptions(cache=cache))
        s3.put_object(Bucket="bucket", Key="a.gif", Body=GIF)
        with pytest.raises(OutputError, match=f"the cache {cache} cannot be used"):
            curate(options, CurationConfig(), Progress(quiet=True))


def test_gs_objects_are_read_like_s3_objects(google) -> None:
    google({"folder/a.gif": GIF})
    assert fetch_bytes("gs://bucket/folder/a.gif", LIMIT) == GIF
    with pytest.raises(TooManyBytesError, match="15 bytes"):
        fetch_bytes("gs://bucket/folder/a.gif", 14)
    with pytest.raises(FetchError, match="there is no object gs://bucket/gone"):
        fetch_bytes("gs://bucket/gone.gif", LIMIT)


def test_other_schemes_are_read_through_fsspec() -> None:
    # Of adl no test needs the real client, which could not be registered again.
    fsspec.register_implementation("adl", fsspec.get_filesystem_class("memory"), clobber=True)
    fsspec.filesystem("memory").pipe("/bucket/a.gif", GIF)
    assert fetch_bytes("adl://bucket/a.gif", LIMIT) == GIF
    with pytest.raises(FetchError, match="there is no object"):
        fetch_bytes("adl://bucket/gone.gif", LIMIT)


def test_scheme_without_its_package_fails() -> None:
    with pytest.raises(FetchError, match=r"oci:// needs a package that is not installed: .*ocifs"):
        fetch_bytes("oci://bucket/a.gif", LIMIT)
