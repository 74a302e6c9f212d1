"""Passwords, tokens and signatures of URLs are in no file of OUT and in no message."""

import dataclasses
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.errors import ListingError, OutputError
from curation.export.dataset import find_sources, read_finished
from curation.fetch.read_listing import read_listing
from curation.listing.names import clip_key
from curation.options import FetchOptions, RunOptions
from curation.pipeline import curate
from curation.resplit import resplit
from curation.retry import retry
from curation.run.progress import Progress
from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from shards.interface.credentials import redact
from shards.verification.dataset import verify_dataset
from tests.web_server import Handler, WebServer

CONFIG = CurationConfig(resolution=64, min_motion=0.1, max_motion=60)
QUIET = Progress(quiet=True)
SECRET = re.compile(rb"hunter2|s3cret")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://user:hunter2@host/a.gif?x=1", "https://REDACTED@host/a.gif?x=1"),
        ("https://ghp_hunter2@host/a.gif", "https://REDACTED@host/a.gif"),
        ("https://user:hun@ter2@host/a.gif", "https://REDACTED@host/a.gif"),
        ("https://host/@user/a.gif", "https://host/@user/a.gif"),
        (
            "https://b.s3.amazonaws.com/a.gif?X-Amz-Algorithm=AWS4&X-Amz-Signature=s3cret&size=9",
            "https://b.s3.amazonaws.com/a.gif?X-Amz-Algorithm=REDACTED&X-Amz-Signature=REDACTED&size=9",
        ),
        ("https://h/a?sv=2020&sig=s3%2Bcret", "https://h/a?sv=2020&sig=REDACTED"),
        ("https://h/a.gif?size=1&access_token=s3cret#x", "https://h/a.gif?size=1&access_token=REDACTED#x"),
        ("https://h/a.gif?monkey=1&keyboard=2", "https://h/a.gif?monkey=1&keyboard=2"),
        (
            "cannot fetch 'https://u:hunter2@h/a?token=s3cret': 404",
            "cannot fetch 'https://REDACTED@h/a?token=REDACTED': 404",
        ),
        ("a.gif?token=1 is a file", "a.gif?token=REDACTED is a file"),
        ("no url here", "no url here"),
    ],
)
def test_credentials_are_found(text: str, expected: str) -> None:
    assert redact(text) == redact(redact(text)) == expected


@pytest.fixture
def uris(web_server: WebServer, tmp_path: Path) -> list[str]:
    """A server's two GIFs, with a password and a signature, a redirect to a token, and a missing one."""
    for seed in range(2):
        drawn = DrawnGif(name="", caption="", width=40, height=40, num_frames=4, dx=2.0, seed=seed)
        save_gif(tmp_path / "drawn.gif", draw_frames(drawn))
        page = (tmp_path / "drawn.gif").read_bytes()
        web_server.handlers[str(seed)] = lambda handler, _, page=page: send_to_owner(handler, page)
    host = web_server.name
    return [
        f"http://user:hunter2@{host}/0/a.gif",
        f"http://user:hunter2@{host}/1/b.gif?sig=s3cret",
        f"{web_server.url}/gone?token=s3cret",
    ]


def send_to_owner(handler: Handler, page: bytes) -> None:
    """Send a page to the user whose password is right."""
    handler.send(*((200, page) if handler.headers["Authorization"] == "Basic dXNlcjpodW50ZXIy" else (401,)))


def make(folder: Path, uris: list[str], name: str, config: CurationConfig = CONFIG) -> Path:
    """Curate the uris."""
    listing = folder / "listing.tsv"
    listing.write_text("".join(f"{uri}\tcaption\n" for uri in uris))
    fetch = FetchOptions(allow_host=("127.0.0.1",), rate_per_host=0, cache=str(folder / f"{name}-cache"))
    curate(RunOptions(listing=listing, out=folder / name, workers=0, fetch=fetch), config, QUIET)
    return folder / name


def find_secrets(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and SECRET.search(path.read_bytes())]


def test_no_file_holds_a_credential_and_keys_stay(tmp_path: Path, uris: list[str]) -> None:
    out = make(tmp_path, uris, "out")
    clips = pq.read_table(out / "clips.parquet").to_pylist()
    assert [row["verdict"] for row in clips] == ["kept", "kept", "fetch_failed"]
    assert [row["uri"] for row in clips] == list(map(redact, uris))
    assert [row["clip_key"] for row in clips] == list(map(clip_key, uris))
    assert find_secrets(out) == find_secrets(tmp_path / "out-cache") == []
    assert not (out / ".work" / "run.json").stat().st_mode & 0o077
    verify_dataset(out)
    # The credentials are read from the listing again.
    assert retry(out, workers=None, progress=QUIET)
    finished = read_finished(out)
    fetch = FetchOptions(allow_host=("127.0.0.1",), rate_per_host=0)
    options = RunOptions(
        out=tmp_path / "other", workers=0, fetch=fetch, flow=out / "flow", **find_sources(finished, None)
    )
    summary = resplit(finished, options, CONFIG, QUIET)
    assert summary is not None
    assert summary.manifest.verdicts["kept"] == 2
    assert find_secrets(tmp_path / "other") == []


def test_credentials_are_kept_where_asked_for(tmp_path: Path, uris: list[str]) -> None:
    out = make(tmp_path, uris, "out", dataclasses.replace(CONFIG, keep_credentials=True))
    assert pq.read_table(out / "clips.parquet")["uri"].to_pylist() == uris
    verify_dataset(out)


def test_listing_with_credentials_is_named_again_to_retry(
    tmp_path: Path, uris: list[str], web_server: WebServer
) -> None:
    web_server.pages["/listing.tsv?token=s3cret"] = "".join(f"{uri}\tcaption\n" for uri in uris).encode()
    listing = f"{web_server.url}/listing.tsv?token=s3cret"
    fetch = FetchOptions(allow_host=("127.0.0.1",), rate_per_host=0)
    out = tmp_path / "out"
    curate(RunOptions(listing=listing, out=out, workers=0, fetch=fetch), CONFIG, QUIET)
    assert find_secrets(out) == []
    with pytest.raises(OutputError, match="had credentials, which are not kept; name it again: pix2gif retry"):
        retry(out, workers=None, progress=QUIET)
    assert retry(out, workers=None, progress=QUIET, listing=listing)
    with pytest.raises(ListingError, match="s3cret"):  # Redacted where it is printed.
        read_listing(RunOptions(listing=f"{listing}x", out=out, fetch=fetch))
