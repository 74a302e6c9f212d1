"""Several hundred requests to a misbehaving server: every row gets the right verdict and no limit is exceeded."""

import collections
import dataclasses
import io
import re
import socket
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation.config import CurationConfig
from curation.options import FetchOptions, RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress
from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from shards.seeded_hash import hash64
from shards.verification.dataset import verify_dataset
from tests.web_server import Handler, LoggedRequest, WebServer, serve

MAX_BYTES = 200_000
RATE, AT_ONCE, TIMEOUT_S, RETRY_AFTER_S = 80, 6, 2.0, 1
JITTER_S = 0.5
"""How late the server may log a request on a busy machine."""


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """How the server responds to some rows, and the expected verdict."""

    rows: int
    respond: Callable[[Handler, int], None]
    verdict: str
    """One or several allowed verdicts, separated by spaces."""
    detail: str = ""
    """Text that the detail must contain."""
    num_requests: int | None = 1
    """Requests for each row; None where it varies."""


def gif(folder: Path, seed: int, num_frames: int = 4) -> bytes:
    drawn = DrawnGif(name="", caption="", width=40, height=40, num_frames=num_frames, dx=2.0, seed=seed)
    save_gif(folder / "drawn.gif", draw_frames(drawn))
    return (folder / "drawn.gif").read_bytes()


def jpeg() -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "JPEG")
    return picture.getvalue()


def redirect(to: Callable[[Handler], str]) -> Callable[[Handler, int], None]:
    return lambda handler, _: handler.send(302, Location=to(handler))


def first(bad: Callable[[Handler], None], then: Callable[[Handler], None]) -> Callable[[Handler, int], None]:
    """Respond badly once, then well."""
    return lambda handler, before: then(handler) if before else bad(handler)


def promise(data: bytes, num_bytes: int) -> Callable[[Handler], None]:
    """Send bytes with a wrong Content-Length."""

    def respond(handler: Handler) -> None:
        handler.close_connection = True
        handler.send(200, data, Content_Length=str(num_bytes))

    return respond


def drip_header(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    handler.drip(b"x" * 60, 1.0)


def drip_body(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "60")
    handler.end_headers()
    handler.drip(b"GIF89a" * 10, 1.0)


def make_behaviours(folder: Path, canary_port: int) -> dict[str, Behaviour]:
    gifs = [gif(folder, seed) for seed in range(130)]

    def sound(handler: Handler) -> None:
        handler.send(200, gifs.pop())

    def again(handler: Handler) -> None:
        handler.send(429, Retry_After=str(RETRY_AFTER_S))

    still = gif(folder, 0, num_frames=1)
    page = b"<!DOCTYPE html><html><title>Gone fishing</title>"
    xml = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>"
    return {
        "sound": Behaviour(60, lambda handler, _: sound(handler), "kept"),
        "gone": Behaviour(30, lambda handler, _: handler.send(404), "fetch_failed", "HTTP 404 Not Found"),
        "forbidden": Behaviour(20, lambda handler, _: handler.send(403), "fetch_failed", "HTTP 403 Forbidden"),
        "wait": Behaviour(5, first(again, sound), "kept", num_requests=2),
        "date": Behaviour(
            1,
            first(lambda handler: handler.send(503, Retry_After=formatdate(usegmt=True)), sound),
            "kept",
            num_requests=2,
        ),
        "hiccup": Behaviour(20, first(lambda handler: handler.send(500), sound), "kept", num_requests=2),
        "early": Behaviour(3, first(lambda handler: handler.send(425), sound), "kept", num_requests=2),
        "slowpoke": Behaviour(3, first(lambda handler: handler.send(408), sound), "kept", num_requests=2),
        "broken": Behaviour(
            5,
            lambda handler, _: handler.send(500),
            "fetch_failed",
            "HTTP 500 Internal Server Error, 4 times",
            num_requests=4,
        ),
        "reset": Behaviour(
            4, lambda handler, _: handler.reset(), "fetch_failed", "connection was lost, 4 times", num_requests=None
        ),
        "resetonce": Behaviour(6, first(Handler.reset, sound), "kept", num_requests=2),
        "stall": Behaviour(
            2, lambda handler, _: handler.stall(), "fetch_failed", "not complete within 2 s, 4 times", num_requests=4
        ),
        "drip": Behaviour(
            2, lambda handler, _: drip_body(handler), "fetch_failed", "not complete within 2 s", num_requests=4
        ),
        "dripheader": Behaviour(
            1, lambda handler, _: drip_header(handler), "fetch_failed", "not complete within", num_requests=4
        ),
        "short": Behaviour(
            3,
            lambda handler, _: promise(b"GIF89a", 1000)(handler),
            "fetch_failed",
            "cut short, 4 times",
            num_requests=4,
        ),
        "shortonce": Behaviour(4, first(promise(b"GIF89a", 1000), sound), "kept", num_requests=2),
        # Whether the surplus is noticed depends on how it is split into packets.
        "long": Behaviour(
            4, lambda handler, _: promise(still, 6)(handler), "undecodable fetch_failed", num_requests=None
        ),
        "endless": Behaviour(
            4, lambda handler, _: handler.send_endless(2**12), "too_large", "more bytes than the limit"
        ),
        "huge": Behaviour(
            4, lambda handler, _: promise(b"GIF", 2**40)(handler), "too_large", "1,099,511,627,776 bytes"
        ),
        "html": Behaviour(20, lambda handler, _: handler.send(200, page), "not_a_gif", "Gone fishing"),
        "xml": Behaviour(10, lambda handler, _: handler.send(200, xml), "not_a_gif", "NoSuchKey"),
        "jpeg": Behaviour(10, lambda handler, _: handler.send(200, jpeg()), "not_a_gif", "a JPEG picture"),
        "empty": Behaviour(4, lambda handler, _: handler.send(200), "not_a_gif", "an empty file"),
        "still": Behaviour(4, lambda handler, _: handler.send(200, still), "still"),
        "nothttp": Behaviour(
            1, lambda handler, _: handler.drip(b"\0\1\2", 0), "fetch_failed", "4 times", num_requests=4
        ),
        "moved": Behaviour(10, redirect(lambda handler: handler.path.replace("moved", "landed")), "kept"),
        "landed": Behaviour(0, lambda handler, _: sound(handler), ""),
        "loop": Behaviour(
            3, redirect(lambda handler: handler.path), "fetch_failed", "more than 5 redirects", num_requests=6
        ),
        "tofile": Behaviour(3, redirect(lambda _: "file:///etc/passwd"), "fetch_failed", "redirected to 'file:///etc"),
        "toftp": Behaviour(1, redirect(lambda _: "ftp://127.0.0.1/"), "fetch_failed", "which is not followed"),
        "tonothing": Behaviour(1, lambda handler, _: handler.send(302), "fetch_failed", "redirected to ''"),
        "tocanary": Behaviour(
            4, redirect(lambda _: f"http://127.0.0.1:{canary_port}/"), "fetch_failed", "--allow-host"
        ),
        "tomapped": Behaviour(
            1, redirect(lambda _: f"http://[::ffff:7f00:1]:{canary_port}/"), "fetch_failed", "private"
        ),
    }


@pytest.fixture
def canary() -> Iterator[socket.socket]:
    """A listener that nothing may connect to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        yield listener


def test_every_row_gets_the_right_verdict_within_the_limits(
    tmp_path: Path, canary: socket.socket, short_pauses: None
) -> None:
    port = canary.getsockname()[1]
    wanted = make_behaviours(tmp_path, port)
    with serve() as web_server:
        web_server.handlers = {name: behaviour.respond for name, behaviour in wanted.items()}
        rows = [f"{web_server.url}/{name}/{n}.gif" for name, behaviour in wanted.items() for n in range(behaviour.rows)]
        # Spellings of this machine's address.
        names = ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]")  # noqa: S104
        forbidden = [f"http://{name}:{port}/sound/{n}.gif" for n, name in enumerate(names)]
        rows += forbidden
        rows.sort(key=lambda row: hash64(0, row.rpartition(":")[2].partition("/")[2]))
        listing = tmp_path / "listing.tsv"
        listing.write_text("".join(f"{row}\ta caption\n" for row in rows))
        fetch = FetchOptions(
            allow_host=(web_server.name,), fetches_per_host=AT_ONCE, rate_per_host=RATE, fetch_timeout=TIMEOUT_S
        )
        options = RunOptions(listing=listing, out=tmp_path / "out", workers=0, fetch=fetch)
        config = CurationConfig(resolution=64, min_motion=0.1, max_motion=60, max_bytes=MAX_BYTES)
        curate(options, config, Progress(quiet=True))
    with pytest.raises(BlockingIOError):
        canary.accept()
    clips = pq.read_table(tmp_path / "out" / "clips.parquet").to_pylist()
    for clip in clips:
        if clip["uri"] in forbidden:
            assert clip["verdict"] == "fetch_failed"
            assert re.search("private, loopback|is not a URL", clip["detail"])
            continue
        behaviour = wanted[clip["uri"].split("/")[3]]
        assert clip["verdict"] in behaviour.verdict.split(), str(clip)
        assert behaviour.detail in (clip["detail"] or ""), str(clip)
    assert len(web_server.log) > 300
    costs = collections.Counter(web_server.paths())
    for path in {row.removeprefix(web_server.url) for row in rows if row.startswith(web_server.url)}:
        behaviour = wanted[path.split("/")[1]]
        assert behaviour.num_requests is None or costs[path] == behaviour.num_requests, path
    verify_dataset(tmp_path / "out")
    check_limits(web_server)
    check_retry_after(web_server.log)


def check_limits(web_server: WebServer) -> None:
    assert max(request.num_running for request in web_server.log) <= AT_ONCE
    times_s = [request.at_s for request in web_server.log]
    assert (len(times_s) - 1) / RATE <= times_s[-1] - times_s[0] + JITTER_S
    for at_s in times_s:
        assert sum(at_s <= other_s < at_s + 1 for other_s in times_s) <= RATE * (1 + JITTER_S) + 1
    # No more was sent than fits the buffers of four connections.
    assert web_server.num_sent < 4 * 2**24


def check_retry_after(log: list[LoggedRequest]) -> None:
    """Check that requests pause for Retry-After, except those that were sent before it arrived."""
    seen = set()
    for request in log:
        if request.path.startswith("/wait/") and request.path not in seen:
            seen.add(request.path)
            begun_s, over_s = request.at_s + 0.3, request.at_s + RETRY_AFTER_S
            assert not [other for other in log if begun_s < other.at_s < over_s]
    assert len(seen) == 5


def test_long_retry_after_fails_the_clips_of_that_host_only(tmp_path: Path) -> None:
    with serve() as web_server, serve() as closed:
        web_server.pages = {f"/{n}.gif": gif(tmp_path, n) for n in range(5)}
        closed.handlers["closed"] = lambda handler, _: handler.send(429, Retry_After="3600")
        rows = [f"http://localhost:{closed.port}/closed/{n}.gif" for n in range(30)] + [
            web_server.url + page for page in web_server.pages
        ]
        (tmp_path / "listing.tsv").write_text("".join(f"{row}\ta caption\n" for row in rows))
        fetch = FetchOptions(
            allow_host=(web_server.name, f"localhost:{closed.port}"), fetches_per_host=AT_ONCE, rate_per_host=RATE
        )
        options = RunOptions(listing=tmp_path / "listing.tsv", out=tmp_path / "out", workers=0, fetch=fetch)
        curate(options, CurationConfig(resolution=64, min_motion=0.1, max_motion=60), Progress(quiet=True))
    clips = pq.read_table(tmp_path / "out" / "clips.parquet").to_pylist()
    assert {clip["detail"] for clip in clips[:30]} == {"localhost asked for a pause of more than 600 s"}
    assert [clip["verdict"] for clip in clips[30:]] == ["kept"] * 5
    assert len(closed.log) <= AT_ONCE, "only requests that were already running were sent"
