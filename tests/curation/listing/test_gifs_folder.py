"""--gifs DIR: a listing of a stranger reads no file outside DIR."""

from pathlib import Path

import pytest

from curation.config import CurationConfig
from curation.decode.probe import ProbedClip
from curation.decode.probe_results import ProbeResults
from curation.decode.probe_stage import probe_all
from curation.listing.catalog import read_catalog
from curation.options import RunOptions
from curation.pipeline import fetch
from shards.schema import Verdict
from tests.curation.helpers import make_run

SECRET = b"password = hunter2"
ATTACKS = (
    "https://x/..%2Fsecret%2Fcredentials",
    "https://x/%2Fetc%2Fpasswd",
    "https://x/%2e%2e%2fsecret%2fcredentials",
    "https://x/..",
    "https://x/%2e%2e",
    "https://x/.",
    "https://x/",
    "https://x/a.gif%00",
    "https://x/..%252Fsecret%252Fcredentials",
    "https://x/link.gif",
    "https://x/chain.gif",
    "https://x/loop.gif",
    "file://x/folder%2Fcredentials",
    "link.gif",
    "..",
    "a\0.gif",
    "x/" + "n" * 300,
)
"""Uris whose names lead out of DIR, to DIR itself, or nowhere."""


@pytest.fixture
def gifs(tmp_path: Path) -> Path:
    """A folder of GIFs, reached by a link, with links inside, and a secret beside it."""
    folder = tmp_path / "disk" / "gifs"
    folder.mkdir(parents=True)
    (folder / "a.gif").write_bytes(b"bytes of a.gif")
    (folder / "inside.gif").symlink_to("a.gif")
    (folder / "50%25.gif").write_bytes(b"decoded once")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "credentials").write_bytes(SECRET)
    (folder / "folder").symlink_to(secret)
    (folder / "link.gif").symlink_to(secret / "credentials")
    (folder / "chain.gif").symlink_to("link.gif")
    (folder / "loop.gif").symlink_to("loop.gif")
    (tmp_path / "gifs").symlink_to(folder)
    return tmp_path / "gifs"


def probe(gifs: Path, uri: str, listing: Path | str) -> ProbedClip:
    """Look up one clip of a listing in the folder of --gifs."""
    run = make_run(RunOptions(listing=listing, out=gifs.parent / "out", gifs=gifs))
    clips = read_catalog(f"{uri}\tcaption\n".encode(), run.options, CurationConfig()).clips
    (probed,) = probe_all(run, fetch(run, clips), ProbeResults(clips)).values()
    return probed


@pytest.mark.parametrize("uri", ATTACKS)
@pytest.mark.parametrize("place", ["local", "remote"])
def test_no_name_leaves_the_folder(gifs: Path, place: str, uri: str) -> None:
    listing = gifs.parent / "listing.tsv" if place == "local" else "https://x/listing.tsv"
    probed = probe(gifs, uri, listing)
    assert (probed.verdict, probed.sha256) == (Verdict.FETCH_FAILED, None)
    assert "hunter2" not in str(probed)


@pytest.mark.parametrize(
    ("uri", "content"),
    [
        ("https://x/%61.gif", "bytes of a.gif"),
        ("https://x/inside.gif?size=1", "bytes of a.gif"),
        ("https://x/50%2525.gif", "decoded once"),
    ],
)
def test_names_and_links_inside_the_folder_are_read(gifs: Path, uri: str, content: str) -> None:
    probed = probe(gifs, uri, "https://x/listing.tsv")
    assert probed.verdict is Verdict.NOT_A_GIF
    assert content in (probed.detail or "")
