"""The fetch stage: every clip is fetched or gets a verdict, and none is fetched twice."""

from pathlib import Path

import pytest

from curation.config import CurationConfig
from curation.errors import ListingError
from curation.fetch import fetch_bytes
from curation.fetch.read_listing import read_listing
from curation.fetch.stage import FetchedClips, fetch_all
from curation.listing.catalog import read_catalog
from curation.listing.clips import Clip
from curation.options import FetchOptions, RunOptions
from shards.schema import Verdict
from tests.web_server import WebServer

LIMIT = 1_000_000
pytestmark = pytest.mark.usefixtures("short_pauses")


def make_clip(location: object, key: str) -> Clip:
    """Make a clip at a location."""
    return Clip(key=key, uri=str(location), location=str(location), captions=("a",), split="train", row=1)


def fetch(folder: Path, *clips: Clip, **options: object) -> FetchedClips:
    """Fetch clips, from the loopback interface if they are remote."""
    chosen = FetchOptions(**{"allow_host": ("127.0.0.1",), "rate_per_host": 0, **options})
    verdicts: list[Verdict | None] = []
    fetched = fetch_all({clip.key: clip for clip in clips}, chosen, folder / "fetched", LIMIT, verdicts.append)
    assert len(verdicts) == sum("://" in clip.location for clip in clips)
    assert fetched.num_clips == len(list(fetched.clips))
    assert {clip.key for clip in fetched.clips} | fetched.failures.keys() == {clip.key for clip in clips}
    return fetched


def test_clips_are_fetched_in_order_or_get_a_verdict(web_server: WebServer, tmp_path: Path) -> None:
    web_server.pages.update({"/a.gif": b"GIF89a a", "/b.gif": b"GIF89a b", "/big.gif": bytes(LIMIT + 1)})
    names = ("b.gif", "gone.gif", "a.gif", "big.gif")
    clips = [make_clip(f"{web_server.url}/{name}", name) for name in names] + [
        make_clip(tmp_path / "here.gif", "here.gif")
    ]
    result = fetch(tmp_path, *clips, make_clip("ftp://host/a.gif", "ftp"))
    fetched = list(result.clips)
    assert [clip.key for clip in fetched] == ["b.gif", "a.gif", "here.gif"]
    assert [fetch_bytes(clip.location, LIMIT) for clip in fetched[:2]] == [b"GIF89a b", b"GIF89a a"]
    assert fetched[2] == clips[-1]
    assert result.failures == {
        "gone.gif": (Verdict.FETCH_FAILED, "HTTP 404 Not Found"),
        "big.gif": (Verdict.TOO_LARGE, "1,000,001 bytes, more than the limit of 1,000,000"),
        "ftp": (Verdict.FETCH_FAILED, "ftp:// locations cannot be fetched"),
    }
    assert sorted(path.name for path in (tmp_path / "fetched").iterdir()) == ["objects", "urls"]


def test_local_clips_need_no_folder(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "here.gif", "here")
    assert fetch(tmp_path, clip) == FetchedClips(requested={"here": clip}, locations={}, failures={})
    assert not (tmp_path / "fetched").exists()


def test_second_run_fetches_only_failed_and_damaged_clips(web_server: WebServer, tmp_path: Path) -> None:
    web_server.pages.update({f"/{name}.gif": name.encode() for name in "abc"})
    clips = [make_clip(f"{web_server.url}/{name}.gif", name) for name in "abcd"]
    first = fetch(tmp_path, *clips)
    Path(first.locations["b"]).write_bytes(b"x")
    (tmp_path / "fetched" / "arriving").mkdir()
    (tmp_path / "fetched" / "arriving" / "killed").write_bytes(b"GIF")
    web_server.log.clear()
    assert fetch(tmp_path, *clips) == first
    assert sorted(web_server.paths()) == ["/b.gif", "/d.gif"]
    assert Path(first.locations["b"]).read_bytes() == b"b"


def test_runs_share_a_cache(web_server: WebServer, tmp_path: Path) -> None:
    web_server.pages["/a.gif"] = b"GIF89a a"
    clip = make_clip(f"{web_server.url}/a.gif", "a")
    locations = {fetch(tmp_path / run, clip, cache=str(tmp_path / "cache")).locations["a"] for run in ("one", "two")}
    assert len(locations) == 1
    assert locations.pop().startswith(str(tmp_path / "cache"))
    assert web_server.paths() == ["/a.gif"]


def test_trimming_the_cache_removes_files_of_earlier_runs(web_server: WebServer, tmp_path: Path) -> None:
    web_server.pages.update({f"/{name}.gif": name.encode() * 100 for name in "abc"})
    clips = [make_clip(f"{web_server.url}/{name}.gif", name) for name in "abc"]
    earlier = fetch(tmp_path, clips[0], clips[1])
    later = fetch(tmp_path, clips[1], clips[2], max_cache_bytes=100)
    assert not Path(earlier.locations["a"]).exists()
    assert all(Path(clip.location).exists() for clip in later.clips)


def test_slow_host_does_not_delay_others(web_server: WebServer, tmp_path: Path) -> None:
    web_server.handlers["stall"] = lambda handler, _: handler.stall()
    web_server.pages.update({f"/{n}.gif": b"GIF89a" for n in range(10)})
    slow = [make_clip(f"http://localhost:{web_server.port}/stall/{n}", f"slow{n}") for n in range(10)]
    quick = [make_clip(f"{web_server.url}/{n}.gif", f"quick{n}") for n in range(10)]
    hosts = ("127.0.0.1", "localhost")
    fetch(tmp_path, *slow[:1], *quick, allow_host=hosts, fetch_timeout=1.0, fetches_per_host=1)
    # The slow host's first request came first, and its retries after the responses of all others.
    assert web_server.paths()[-3:] == ["/stall/0"] * 3


def test_unwritable_folder_raises(web_server: WebServer, tmp_path: Path) -> None:
    web_server.pages["/a.gif"] = b"GIF89a"
    (tmp_path / "fetched").write_text("a file")
    with pytest.raises(OSError, match="fetched"):
        fetch(tmp_path, make_clip(f"{web_server.url}/a.gif", "a"))


def test_remote_listing_is_fetched_and_its_paths_are_relative_to_it(web_server: WebServer, tmp_path: Path) -> None:
    web_server.pages["/tgif/list.tsv?x=/y"] = (
        b"gifs/a.gif\ta caption\nhttp://other/b.gif\tb\n/etc/passwd\tc\nfile:///etc/passwd\td\n"
    )
    fetch = FetchOptions(allow_host=(web_server.name,))
    options = RunOptions(listing=f"{web_server.url}/tgif/list.tsv?x=/y", out=tmp_path, fetch=fetch)
    clips = read_catalog(read_listing(options), options, CurationConfig()).clips.values()
    assert [clip.location for clip in clips] == [
        f"{web_server.url}/tgif/gifs/a.gif",
        "http://other/b.gif",
        f"{web_server.url}/tgif//etc/passwd",
        "file:///etc/passwd",
    ]
    with pytest.raises(ListingError, match=r"cannot fetch the listing .*: HTTP 404 Not Found"):
        read_listing(RunOptions(listing=f"{web_server.url}/gone.tsv", out=tmp_path, fetch=fetch))
    with pytest.raises(ListingError, match="--allow-host"):
        read_listing(RunOptions(listing=f"{web_server.url}/tgif/list.tsv", out=tmp_path))
