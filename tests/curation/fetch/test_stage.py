"""The fetch stage: every clip arrives within reach or gets its verdict, and none is fetched twice."""

from pathlib import Path

import pytest

from curation.config import CurationConfig
from curation.errors import ListingError
from curation.fetch import fetch_bytes
from curation.fetch.stage import Arrivals, fetch_all
from curation.listing.catalog import read_catalog
from curation.listing.clips import Clip
from curation.options import FetchOptions, RunOptions
from shards.schema import Verdict
from tests.curation.fetch.hosts import Host

LIMIT = 1_000_000
pytestmark = pytest.mark.usefixtures("brisk")


def make_clip(location: object, key: str) -> Clip:
    """A clip that lies somewhere."""
    return Clip(key=key, uri=str(location), location=str(location), captions=("a",), split="train", row=1)


def bring(folder: Path, *clips: Clip, **options: object) -> Arrivals:
    """Fetch some clips from the loopback interface."""
    chosen = FetchOptions(**{"allow_host": ("127.0.0.1",), "rate_per_host": 0, **options})
    counts: list[int] = []
    arrivals = fetch_all({clip.key: clip for clip in clips}, chosen, folder / "fetched", LIMIT, counts.append)
    assert sum(counts) == sum("://" in clip.location for clip in clips)
    assert arrivals.num_clips == len(list(arrivals.clips))
    assert {clip.key for clip in arrivals.clips} | arrivals.failures.keys() == {clip.key for clip in clips}
    return arrivals


def test_each_clip_arrives_in_order_or_gets_its_verdict(host: Host, tmp_path: Path) -> None:
    host.pages.update({"/a.gif": b"GIF89a a", "/b.gif": b"GIF89a b", "/big.gif": bytes(LIMIT + 1)})
    names = ("b.gif", "gone.gif", "a.gif", "big.gif")
    clips = [make_clip(f"{host.url}/{name}", name) for name in names] + [make_clip(tmp_path / "here.gif", "here.gif")]
    arrivals = bring(tmp_path, *clips, make_clip("ftp://host/a.gif", "ftp"))
    arrived = list(arrivals.clips)
    assert [clip.key for clip in arrived] == ["b.gif", "a.gif", "here.gif"]
    assert [fetch_bytes(clip.location, LIMIT) for clip in arrived[:2]] == [b"GIF89a b", b"GIF89a a"]
    assert arrived[2] == clips[-1]
    assert arrivals.failures == {
        "gone.gif": (Verdict.FETCH_FAILED, "HTTP 404 Not Found"),
        "big.gif": (Verdict.TOO_LARGE, "1,000,001 bytes, more than the limit of 1,000,000"),
        "ftp": (Verdict.FETCH_FAILED, "ftp:// locations cannot be fetched"),
    }
    assert sorted(path.name for path in (tmp_path / "fetched").iterdir()) == ["objects", "urls"]


def test_clips_of_this_machine_alone_need_no_folder(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "here.gif", "here")
    assert bring(tmp_path, clip) == Arrivals(asked={"here": clip}, locations={}, failures={})
    assert not (tmp_path / "fetched").exists()


def test_a_later_run_fetches_only_what_failed_or_was_damaged(host: Host, tmp_path: Path) -> None:
    host.pages.update({f"/{name}.gif": name.encode() for name in "abc"})
    clips = [make_clip(f"{host.url}/{name}.gif", name) for name in "abcd"]
    first = bring(tmp_path, *clips)
    Path(first.locations["b"]).write_bytes(b"x")
    (tmp_path / "fetched" / "arriving").mkdir()
    (tmp_path / "fetched" / "arriving" / "killed").write_bytes(b"GIF")
    host.log.clear()
    assert bring(tmp_path, *clips) == first
    assert sorted(host.paths()) == ["/b.gif", "/d.gif"]
    assert Path(first.locations["b"]).read_bytes() == b"b"


def test_runs_share_a_cache_that_is_named(host: Host, tmp_path: Path) -> None:
    host.pages["/a.gif"] = b"GIF89a a"
    clip = make_clip(f"{host.url}/a.gif", "a")
    arrived = {bring(tmp_path / run, clip, cache=str(tmp_path / "cache")).locations["a"] for run in ("one", "two")}
    assert len(arrived) == 1
    assert arrived.pop().startswith(str(tmp_path / "cache"))
    assert host.paths() == ["/a.gif"]


def test_a_bounded_cache_drops_what_earlier_runs_used(host: Host, tmp_path: Path) -> None:
    host.pages.update({f"/{name}.gif": name.encode() * 100 for name in "abc"})
    clips = [make_clip(f"{host.url}/{name}.gif", name) for name in "abc"]
    earlier = bring(tmp_path, clips[0], clips[1])
    later = bring(tmp_path, clips[1], clips[2], max_cache_bytes=100)
    assert not Path(earlier.locations["a"]).exists()
    assert all(Path(clip.location).exists() for clip in later.clips)


def test_one_slow_host_holds_up_no_other(host: Host, tmp_path: Path) -> None:
    host.answers["stall"] = lambda answer, _: answer.stall()
    host.pages.update({f"/{n}.gif": b"GIF89a" for n in range(10)})
    slow = [make_clip(f"http://localhost:{host.port}/stall/{n}", f"slow{n}") for n in range(10)]
    quick = [make_clip(f"{host.url}/{n}.gif", f"quick{n}") for n in range(10)]
    hosts = ("127.0.0.1", "localhost")
    bring(tmp_path, *slow[:1], *quick, allow_host=hosts, fetch_timeout=1.0, fetches_per_host=1)
    # The first of the slow host's requests came first, and its second try after all others were answered.
    assert host.paths()[-3:] == ["/stall/0"] * 3


def test_an_unwritable_disk_ends_the_stage(host: Host, tmp_path: Path) -> None:
    host.pages["/a.gif"] = b"GIF89a"
    (tmp_path / "fetched").write_text("a file")
    with pytest.raises(OSError, match="fetched"):
        bring(tmp_path, make_clip(f"{host.url}/a.gif", "a"))


def test_a_listing_on_a_host_is_read_and_its_paths_start_there(host: Host, tmp_path: Path) -> None:
    host.pages["/tgif/list.tsv?x=/y"] = (
        b"gifs/a.gif\ta caption\nhttp://other/b.gif\tb\n/etc/passwd\tc\nfile:///etc/passwd\td\n"
    )
    fetch = FetchOptions(allow_host=(host.name,))
    options = RunOptions(listing=f"{host.url}/tgif/list.tsv?x=/y", out=tmp_path, fetch=fetch)
    clips = read_catalog(options, CurationConfig()).clips.values()
    assert [clip.location for clip in clips] == [
        f"{host.url}/tgif/gifs/a.gif",
        "http://other/b.gif",
        f"{host.url}/tgif//etc/passwd",
        "file:///etc/passwd",
    ]
    with pytest.raises(ListingError, match=r"cannot fetch the listing .*: HTTP 404 Not Found"):
        read_catalog(RunOptions(listing=f"{host.url}/gone.tsv", out=tmp_path, fetch=fetch), CurationConfig())
    with pytest.raises(ListingError, match="--allow-host"):
        read_catalog(RunOptions(listing=f"{host.url}/tgif/list.tsv", out=tmp_path), CurationConfig())
