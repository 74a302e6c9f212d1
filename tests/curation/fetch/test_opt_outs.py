"""Opt-outs of owners are respected by default: in headers, in robots.txt, and in what a cache holds."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from curation.config import CurationConfig
from curation.fetch.opt_outs import OptOutRules, find_opt_out
from curation.fetch.stage import FetchedClips, fetch_all
from curation.listing.clips import Clip
from curation.options import FetchOptions
from examples.draw_formats import encode
from examples.draw_gifs import DrawnGif, draw_frames
from shards.manifest import read_manifest
from shards.schema import Verdict
from tests.curation.helpers import run
from tests.web_server import Handler, WebServer

GIF = b"GIF89a and more"
pytestmark = pytest.mark.usefixtures("short_pauses")

OPT_OUTS = {
    "noai": "X-Robots-Tag: noai",
    "noimageai": "X-Robots-Tag: noimageai",
    "noindex": "X-Robots-Tag: noindex",
    "noimageindex": "X-Robots-Tag: noimageindex",
    "none": "X-Robots-Tag: none",
    "capitals": "X-ROBOTS-TAG: NoAI",
    "among others": "X-Robots-Tag: nofollow, noarchive , noai",
    "for us": "X-Robots-Tag: pix2gif-curate: noindex",
    "for us in a list": "X-Robots-Tag: googlebot: nofollow, Pix2Gif-Curate: noai",
    "after a date": "X-Robots-Tag: unavailable_after: Sat, 25 Jun 2050 15:00:00 PST, noai",
    "second header": "X-Robots-Tag: nofollow\nX-Robots-Tag: noimageai",
    "tdm": "tdm-reservation: 1",
}
NONE = {
    "no header": "",
    "other rules": "X-Robots-Tag: nofollow, noarchive, max-image-preview: large",
    "for others": "X-Robots-Tag: googlebot: noindex, noai",
    "index": "X-Robots-Tag: all",
    "tdm allows": "TDM-Reservation: 0",
    "another header": "X-Note: noai",
}


def parse(lines: str) -> CIMultiDictProxy[str]:
    """Parse header lines."""
    pairs = [line.split(": ", 1) for line in lines.split("\n") if line]
    return CIMultiDictProxy(CIMultiDict([(name, value) for name, value in pairs]))


@pytest.mark.parametrize("lines", OPT_OUTS.values(), ids=OPT_OUTS)
def test_opt_out_is_found(lines: str) -> None:
    assert find_opt_out(parse(lines)) is not None


@pytest.mark.parametrize("lines", NONE.values(), ids=NONE)
def test_what_is_no_opt_out_is_none(lines: str) -> None:
    assert find_opt_out(parse(lines)) is None


def respond(handler: Handler, headers: str, body: bytes) -> None:
    """Send a body with header lines."""
    handler.send_response(200)
    for line in filter(None, headers.split("\n")):
        handler.send_header(*line.split(": ", 1))
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def serve_forms(web_server: WebServer, body: bytes) -> dict[str, str]:
    """Serve all forms above; return the name of each form by URL."""
    urls = {}
    for number, (name, headers) in enumerate((OPT_OUTS | NONE).items()):
        web_server.handlers[f"form{number}"] = lambda handler, _, headers=headers: respond(handler, headers, body)
        urls[f"{web_server.url}/form{number}/a.gif"] = name
    return urls


def fetch(folder: Path, *urls: str, rules: OptOutRules | None = None, cache: str | None = None) -> FetchedClips:
    """Fetch URLs from the loopback interface; each is the key of its clip's name."""
    clips = {
        f"c{number}": Clip(key=f"c{number}", uri=url, location=url, captions=("a",), split="train", row=1)
        for number, url in enumerate(urls)
    }
    options = FetchOptions(allow_host=("127.0.0.1", "localhost"), rate_per_host=0, cache=cache)
    return fetch_all(clips, options, folder / "fetched", 10**6, lambda _: None, rules)


def test_host_with_every_form_loses_the_opt_outs_and_nothing_else(web_server: WebServer, tmp_path: Path) -> None:
    frames = draw_frames(DrawnGif(name="", caption="", width=48, height=48, num_frames=4, dx=2.0))
    urls = serve_forms(web_server, encode([frame.quantize(64) for frame in frames], "gif"))
    (tmp_path / "listing.tsv").write_text("".join(f"{url}\t{name}\n" for url, name in urls.items()))
    options = FetchOptions(allow_host=(web_server.name,), rate_per_host=0)
    config = CurationConfig(resolution=48, min_motion=0.1, near_distance=0)
    run(tmp_path / "listing.tsv", tmp_path / "out", config, fetch=options)
    clips = {clip["caption"]: clip for clip in pq.read_table(tmp_path / "out" / "clips.parquet").to_pylist()}
    assert {name for name, clip in clips.items() if clip["verdict"] == "opted_out"} == OPT_OUTS.keys()
    assert {clips[name]["verdict"] for name in NONE} <= {"kept", "duplicate"}
    assert clips["for us"]["detail"] == "X-Robots-Tag: pix2gif-curate: noindex"
    assert clips["tdm"]["detail"] == "TDM-Reservation: 1"
    assert all(clips[name]["sha256"] is None for name in OPT_OUTS)
    assert read_manifest(tmp_path / "out").verdicts["opted_out"] == 12
    card = (tmp_path / "out" / "README.md").read_text()
    assert "12 rows were left out because their owners ask that nobody trains on them." in card


def test_bytes_of_an_opt_out_are_kept_nowhere(web_server: WebServer, tmp_path: Path) -> None:
    urls = serve_forms(web_server, GIF)
    fetched = fetch(tmp_path, *[url for url, name in urls.items() if name in OPT_OUTS])
    assert {verdict for verdict, _ in fetched.failures.values()} == {Verdict.OPTED_OUT}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_ignored_opt_out_is_recorded_in_the_cache_and_respected_from_there(
    web_server: WebServer, tmp_path: Path
) -> None:
    web_server.handlers["art"] = lambda handler, _: respond(handler, "X-Robots-Tag: noai", GIF)
    url, cache = f"{web_server.url}/art/a.gif", str(tmp_path / "cache")
    fetched = fetch(tmp_path, url, rules=OptOutRules(headers=False), cache=cache)
    assert fetched.failures == {}
    (entry,) = (tmp_path / "cache" / "urls").glob("*/*.json")
    assert json.loads(entry.read_text())["opt_out"] == "X-Robots-Tag: noai"
    again = fetch(tmp_path, url, cache=cache)
    assert again.failures == {"c0": (Verdict.OPTED_OUT, "X-Robots-Tag: noai")}
    assert len(web_server.log) == 1


def test_config_that_ignores_opt_outs_is_recorded_and_the_default_is_not(web_server: WebServer, tmp_path: Path) -> None:
    frames = draw_frames(DrawnGif(name="", caption="", width=48, height=48, num_frames=4, dx=2.0))
    body = encode([frame.quantize(64) for frame in frames], "gif")
    web_server.handlers["art"] = lambda handler, _: respond(handler, "X-Robots-Tag: noai", body)
    (tmp_path / "listing.tsv").write_text(f"{web_server.url}/art/a.gif\ta\n")
    options = FetchOptions(allow_host=(web_server.name,), rate_per_host=0)
    for ignored in (True, False):
        config = CurationConfig(resolution=48, min_motion=0.1, ignore_opt_outs=ignored)
        run(tmp_path / "listing.tsv", tmp_path / str(ignored), config, fetch=options)
        manifest = read_manifest(tmp_path / str(ignored))
        assert manifest.config.get("ignore_opt_outs") == (True if ignored else None)
        assert manifest.verdicts["kept" if ignored else "opted_out"] == 1
        card = (tmp_path / str(ignored) / "README.md").read_text()
        assert ("TDM-Reservation) were ignored." in card) is ignored
        assert ("1 row was left out because its owner asks" in card) is not ignored


ROBOTS = b"User-agent: *\nAllow: /\n\nUser-agent: pix2gif-curate\nDisallow: /art/\nDisallow: /*.private.gif$\n"


def test_robots_txt_is_asked_once_a_host_and_only_on_request(web_server: WebServer, tmp_path: Path) -> None:
    web_server.pages = {"/robots.txt": ROBOTS, "/a.gif": GIF, "/b.gif": GIF, "/art/c.gif": GIF, "/d.private.gif": GIF}
    urls = [f"{web_server.url}{page}" for page in web_server.pages if page != "/robots.txt"]
    assert fetch(tmp_path / "without", *urls).failures == {}
    assert "/robots.txt" not in web_server.paths()
    fetched = fetch(tmp_path / "with", *urls, rules=OptOutRules(robots=True))
    disallowed = (Verdict.OPTED_OUT, "robots.txt of 127.0.0.1 disallows it")
    assert fetched.failures == {"c2": disallowed, "c3": disallowed}
    assert web_server.paths().count("/robots.txt") == 1
    assert web_server.paths().count("/art/c.gif") == 1  # Of the run that did not ask.


def test_robots_txt_holds_for_redirects_and_for_what_a_cache_holds(web_server: WebServer, tmp_path: Path) -> None:
    web_server.pages = {"/robots.txt": ROBOTS, "/art/c.gif": GIF}
    web_server.handlers["moved"] = lambda handler, _: handler.send(302, Location="/art/c.gif")
    urls = [f"{web_server.url}/moved/c.gif", f"{web_server.url}/art/c.gif"]
    cache = str(tmp_path / "cache")
    assert fetch(tmp_path, *urls, cache=cache).failures == {}
    web_server.log.clear()
    fetched = fetch(tmp_path / "a", *urls, rules=OptOutRules(robots=True))
    assert {verdict for verdict, _ in fetched.failures.values()} == {Verdict.OPTED_OUT}
    assert web_server.paths().count("/art/c.gif") == 0
    assert fetch(tmp_path, urls[1], rules=OptOutRules(robots=True), cache=cache).failures.keys() == {"c0"}


@pytest.mark.parametrize(
    ("status", "verdict"), [(404, None), (403, None), (503, Verdict.FETCH_FAILED), (500, Verdict.FETCH_FAILED)]
)
def test_host_without_robots_txt_allows_all_and_one_that_is_broken_nothing(
    web_server: WebServer, tmp_path: Path, status: int, verdict: Verdict | None
) -> None:
    web_server.pages["/a.gif"] = GIF
    web_server.handlers["robots.txt"] = lambda handler, _: handler.send(status)
    failures = fetch(tmp_path, f"{web_server.url}/a.gif", rules=OptOutRules(robots=True)).failures
    assert [failed for failed, _ in failures.values()] == ([verdict] if verdict else [])
    if verdict:
        assert failures["c0"][1].startswith(f"robots.txt of 127.0.0.1: HTTP {status}")
        assert "/a.gif" not in web_server.paths()


def test_long_robots_txt_is_read_up_to_its_limit(web_server: WebServer, tmp_path: Path) -> None:
    web_server.pages = {"/robots.txt": b"User-agent: *\nDisallow: /art/\n" + b"# more\n" * 200_000, "/art/a.gif": GIF}
    failures = fetch(tmp_path, f"{web_server.url}/art/a.gif", rules=OptOutRules(robots=True)).failures
    assert failures["c0"][0] is Verdict.OPTED_OUT
