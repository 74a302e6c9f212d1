"""Listings of every form on the Hugging Face hub, in an object store and on the web."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from curation.config import CurationConfig
from curation.errors import ListingError
from curation.fetch.read import fetch_bytes
from curation.options import FetchOptions
from tests.bucket import upload_tree
from tests.curation.helpers import PIX2GIF, run, shard_hashes
from tests.curation.listing import helpers
from tests.curation.listing.helpers import Clips, read
from tests.dataset_hub import DatasetHub, dataset_hub
from tests.web_server import WebServer

__all__ = ["dataset_hub"]
CONFIG = CurationConfig(resolution=64, min_motion=0.5, pairs_per_gif=2)
NAME = "owner/gifs"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, list[str]]]:
    """Three drawn GIFs."""
    return helpers.draw_clips(tmp_path_factory.mktemp("drawn"), 3)


@pytest.fixture(scope="module")
def written(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the GIFs in several forms."""
    folder = tmp_path_factory.mktemp("written")
    helpers.write_folder(folder / "folder", clips)
    helpers.write_json_lines(folder / "folder", clips)
    (folder / "folder" / "listing.jsonl").rename(folder / "folder" / "metadata.jsonl")
    helpers.write_parquet_bytes(folder / "bytes.parquet", clips, row_group_size=2)
    helpers.write_webdataset(folder, clips)
    helpers.write_zip(folder / "gifs.zip", clips)
    helpers.write_tgif(folder, clips)
    return folder


FORMS: dict[str, dict[str, Any]] = {
    "parquet bytes": {"listing": "{base}/bytes.parquet"},
    "a pattern of parquet": {"listing": "{base}/b*.parquet"},
    "webdataset": {"listing": "{base}/{{00000..00001}}.tar"},
    "a pattern of tars": {"listing": "{base}/0000?.tar"},
    "zip": {"listing": "{base}/listing.tsv", "gifs": "{base}/gifs.zip"},
    "folder": {"listing": "{base}/folder"},
}


def read_form(form: str, base: str, folder: Path, **config: Any) -> dict[str, tuple[bytes, list[str]]]:
    """Return the bytes and the captions of the clips of a listing, by uri, as workers read them."""
    options = {name: value.format(base=base) for name, value in FORMS[form].items()}
    fetch = FetchOptions(cache=str(folder / "cache"), allow_host=("127.0.0.1",))
    catalog = read(folder, fetch=fetch, **options, **config)
    return {
        clip.uri: (fetch_bytes(clip.location, 10**6, clip.folder), list(clip.captions))
        for clip in catalog.clips.values()
    }


def list_written(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", FORMS)
def test_forms_on_the_hub(dataset_hub: DatasetHub, clips: Clips, written: Path, tmp_path: Path, form: str) -> None:
    dataset_hub.repositories[NAME] = list_written(written)
    assert read_form(form, f"hf://datasets/{NAME}", tmp_path, gifs_by="path") == clips


@pytest.mark.parametrize("form", FORMS)
def test_forms_in_a_store(s3: Any, clips: Clips, written: Path, tmp_path: Path, form: str) -> None:
    upload_tree(s3, written, "in")
    assert read_form(form, "s3://bucket/in", tmp_path, gifs_by="path") == clips


@pytest.mark.parametrize("form", ["parquet bytes", "webdataset"])
def test_forms_on_the_web_are_kept_in_the_cache(
    web_server: WebServer, clips: Clips, written: Path, tmp_path: Path, form: str
) -> None:
    web_server.pages |= {f"/in/{name}": data for name, data in list_written(written).items()}
    assert read_form(form, f"{web_server.url}/in", tmp_path) == clips
    num_requests = len(web_server.log)
    assert read_form(form, f"{web_server.url}/in", tmp_path) == clips
    assert len(web_server.log) == num_requests


def test_an_archive_on_the_web_needs_a_cache(web_server: WebServer, tmp_path: Path) -> None:
    with pytest.raises(ListingError, match="name a folder to keep it in by --cache"):
        read(tmp_path, f"{web_server.url}/00000.tar")
    with pytest.raises(ListingError, match="is on the web; download it"):
        read(tmp_path, helpers.write_tgif(tmp_path, {"a.gif": (b"", ["x"])}), f"{web_server.url}/gifs.zip")


def test_a_table_on_the_web_is_read(web_server: WebServer, tmp_path: Path) -> None:
    web_server.pages["/in/captions.csv?v=1"] = b"text,url\nx,a.gif\n"
    fetch = FetchOptions(allow_host=("127.0.0.1",))
    (clip,) = read(tmp_path, f"{web_server.url}/in/captions.csv?v=1", fetch=fetch).clips.values()
    assert (clip.location, clip.captions) == (f"{web_server.url}/in/a.gif", ("x",))


def test_a_run_reads_members_on_the_hub(dataset_hub: DatasetHub, clips: Clips, written: Path, tmp_path: Path) -> None:
    dataset_hub.repositories[NAME] = list_written(written)
    run(written / "folder", tmp_path / "expected", CONFIG)
    # In processes of their own, which see the hub in their environment.
    words = [PIX2GIF, "curate", f"hf://datasets/{NAME}/bytes.parquet", "--out", str(tmp_path / "out"), "--workers", "0"]
    options = ["--resolution", "64", "--min-motion", "0.5", "--pairs-per-gif", "2", "--quiet"]
    ended = subprocess.run([*words, *options], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert shard_hashes(tmp_path / "out") == shard_hashes(tmp_path / "expected")
