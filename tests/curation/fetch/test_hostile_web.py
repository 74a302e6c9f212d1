"""Several hundred requests to a host of the worst manners: every row gets the right verdict, no limit is broken."""

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
from curation.seeds import hash64
from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from shards.verify import verify_dataset
from tests.curation.fetch.hosts import Answer, Asked, Host, serve

MAX_BYTES = 200_000
RATE, AT_ONCE, TIMEOUT_S, RETRY_AFTER_S = 80, 6, 2.0, 1
JITTER_S = 0.5
"""By how much requests may bunch on a busy machine, between being sent and being noted."""


@dataclasses.dataclass(frozen=True)
class Manner:
    """How the host answers some rows, and what must become of them."""

    rows: int
    answer: Callable[[Answer, int], None]
    verdict: str
    """One, or several that are right."""
    detail: str = ""
    """What the reason must hold."""
    asked: int | None = 1
    """Requests that one row may cost."""


def gif(folder: Path, seed: int, num_frames: int = 4) -> bytes:
    drawn = DrawnGif(name="", caption="", width=40, height=40, num_frames=num_frames, dx=2.0, seed=seed)
    save_gif(folder / "drawn.gif", draw_frames(drawn))
    return (folder / "drawn.gif").read_bytes()


def jpeg() -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "JPEG")
    return picture.getvalue()


def redirect(to: Callable[[Answer], str]) -> Callable[[Answer, int], None]:
    return lambda answer, _: answer.send(302, Location=to(answer))


def first(bad: Callable[[Answer], None], then: Callable[[Answer], None]) -> Callable[[Answer, int], None]:
    """Answer badly once, then well."""
    return lambda answer, before: then(answer) if before else bad(answer)


def promise(data: bytes, num_bytes: int) -> Callable[[Answer], None]:
    """Send something under a length that it has not."""

    def answer(to: Answer) -> None:
        to.close_connection = True
        to.send(200, data, Content_Length=str(num_bytes))

    return answer


def drip_header(answer: Answer) -> None:
    answer.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    answer.drip(b"x" * 60, 1.0)


def drip_body(answer: Answer) -> None:
    answer.send_response(200)
    answer.send_header("Content-Length", "60")
    answer.end_headers()
    answer.drip(b"GIF89a" * 10, 1.0)


def manners(folder: Path, canary_port: int) -> dict[str, Manner]:
    gifs = [gif(folder, seed) for seed in range(130)]

    def sound(answer: Answer) -> None:
        answer.send(200, gifs.pop())

    def again(answer: Answer) -> None:
        answer.send(429, Retry_After=str(RETRY_AFTER_S))

    still = gif(folder, 0, num_frames=1)
    page = b"<!DOCTYPE html><html><title>Gone fishing</title>"
    xml = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>"
    return {
        "sound": Manner(60, lambda answer, _: sound(answer), "kept"),
        "gone": Manner(30, lambda answer, _: answer.send(404), "fetch_failed", "HTTP 404 Not Found"),
        "forbidden": Manner(20, lambda answer, _: answer.send(403), "fetch_failed", "HTTP 403 Forbidden"),
        "wait": Manner(5, first(again, sound), "kept", asked=2),
        "date": Manner(1, first(lambda to: to.send(503, Retry_After=formatdate(usegmt=True)), sound), "kept", asked=2),
        "hiccup": Manner(20, first(lambda answer: answer.send(500), sound), "kept", asked=2),
        "early": Manner(3, first(lambda answer: answer.send(425), sound), "kept", asked=2),
        "slowpoke": Manner(3, first(lambda answer: answer.send(408), sound), "kept", asked=2),
        "broken": Manner(5, lambda answer, _: answer.send(500), "fetch_failed",
                         "HTTP 500 Internal Server Error, 4 times", asked=4),
        "reset": Manner(4, lambda answer, _: answer.reset(), "fetch_failed", "broken off, 4 times", asked=None),
        "resetonce": Manner(6, first(Answer.reset, sound), "kept", asked=2),
        "stall": Manner(2, lambda answer, _: answer.stall(), "fetch_failed", "not whole within 2 s, 4 times", asked=4),
        "drip": Manner(2, lambda answer, _: drip_body(answer), "fetch_failed", "not whole within 2 s", asked=4),
        "dripheader": Manner(1, lambda answer, _: drip_header(answer), "fetch_failed", "not whole within", asked=4),
        "short": Manner(3, lambda answer, _: promise(b"GIF89a", 1000)(answer), "fetch_failed",
                        "cut short, 4 times", asked=4),
        "shortonce": Manner(4, first(promise(b"GIF89a", 1000), sound), "kept", asked=2),
        # Whether the rest is noticed goes with how it is cut into packets.
        "long": Manner(4, lambda answer, _: promise(still, 6)(answer), "undecodable fetch_failed", asked=None),
        "endless": Manner(4, lambda answer, _: answer.send_endless(2**12), "too_large", "more bytes than the limit"),
        "huge": Manner(4, lambda answer, _: promise(b"GIF", 2**40)(answer), "too_large", "1,099,511,627,776 bytes"),
        "html": Manner(20, lambda answer, _: answer.send(200, page), "not_a_gif", "Gone fishing"),
        "xml": Manner(10, lambda answer, _: answer.send(200, xml), "not_a_gif", "NoSuchKey"),
        "jpeg": Manner(10, lambda answer, _: answer.send(200, jpeg()), "not_a_gif", "a JPEG picture"),
        "empty": Manner(4, lambda answer, _: answer.send(200), "not_a_gif", "an empty file"),
        "still": Manner(4, lambda answer, _: answer.send(200, still), "still"),
        "nothttp": Manner(1, lambda answer, _: answer.drip(b"\0\1\2", 0), "fetch_failed", "4 times", asked=4),
        "moved": Manner(10, redirect(lambda answer: answer.path.replace("moved", "landed")), "kept"),
        "landed": Manner(0, lambda answer, _: sound(answer), ""),
        "loop": Manner(3, redirect(lambda answer: answer.path), "fetch_failed", "more than 5 redirects", asked=6),
        "tofile": Manner(3, redirect(lambda _: "file:///etc/passwd"), "fetch_failed", "redirected to 'file:///etc"),
        "toftp": Manner(1, redirect(lambda _: "ftp://127.0.0.1/"), "fetch_failed", "which is not followed"),
        "tonothing": Manner(1, lambda answer, _: answer.send(302), "fetch_failed", "redirected to ''"),
        "tocanary": Manner(4, redirect(lambda _: f"http://127.0.0.1:{canary_port}/"), "fetch_failed", "--allow-host"),
        "tomapped": Manner(1, redirect(lambda _: f"http://[::ffff:7f00:1]:{canary_port}/"), "fetch_failed", "private"),
    }  # fmt: skip


@pytest.fixture
def canary() -> Iterator[socket.socket]:
    """A listener that nobody may find."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        yield listener


def test_every_row_ends_in_the_right_verdict_and_no_limit_is_broken(
    tmp_path: Path, canary: socket.socket, brisk: None
) -> None:
    port = canary.getsockname()[1]
    wanted = manners(tmp_path, port)
    with serve() as host:
        host.answers = {name: manner.answer for name, manner in wanted.items()}
        rows = [f"{host.url}/{name}/{n}.gif" for name, manner in wanted.items() for n in range(manner.rows)]
        # Ways to write this machine.
        names = ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]")  # noqa: S104
        forbidden = [f"http://{name}:{port}/sound/{n}.gif" for n, name in enumerate(names)]
        rows += forbidden
        rows.sort(key=lambda row: hash64(0, row.rpartition(":")[2].partition("/")[2]))
        listing = tmp_path / "listing.tsv"
        listing.write_text("".join(f"{row}\ta caption\n" for row in rows))
        fetch = FetchOptions(
            allow_host=(host.name,), fetches_per_host=AT_ONCE, rate_per_host=RATE, fetch_timeout=TIMEOUT_S
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
        manner = wanted[clip["uri"].split("/")[3]]
        assert clip["verdict"] in manner.verdict.split(), str(clip)
        assert manner.detail in (clip["detail"] or ""), str(clip)
    assert len(host.log) > 300
    costs = collections.Counter(host.paths())
    for path in {row.removeprefix(host.url) for row in rows if row.startswith(host.url)}:
        manner = wanted[path.split("/")[1]]
        assert manner.asked is None or costs[path] == manner.asked, path
    verify_dataset(tmp_path / "out")
    check_limits(host)
    check_peace(host.log)


def check_limits(host: Host) -> None:
    assert max(asked.num_under_way for asked in host.log) <= AT_ONCE
    times_s = [asked.at_s for asked in host.log]
    assert (len(times_s) - 1) / RATE <= times_s[-1] - times_s[0] + JITTER_S
    for at_s in times_s:
        assert sum(at_s <= other_s < at_s + 1 for other_s in times_s) <= RATE * (1 + JITTER_S) + 1
    # As much as lies in the buffers of four connections was sent on, and no more.
    assert host.num_sent < 4 * 2**24


def check_peace(log: list[Asked]) -> None:
    """After a Retry-After there is peace, but for the requests that were already on their way."""
    seen = set()
    for asked in log:
        if asked.path.startswith("/wait/") and asked.path not in seen:
            seen.add(asked.path)
            begun_s, over_s = asked.at_s + 0.3, asked.at_s + RETRY_AFTER_S
            assert not [other for other in log if begun_s < other.at_s < over_s]
    assert len(seen) == 5


def test_a_host_that_wants_peace_for_an_hour_is_left_alone_and_another_one_is_served(tmp_path: Path) -> None:
    with serve() as host, serve() as closed:
        host.pages = {f"/{n}.gif": gif(tmp_path, n) for n in range(5)}
        closed.answers["closed"] = lambda answer, _: answer.send(429, Retry_After="3600")
        rows = [f"http://localhost:{closed.port}/closed/{n}.gif" for n in range(30)] + [
            host.url + page for page in host.pages
        ]
        (tmp_path / "listing.tsv").write_text("".join(f"{row}\ta caption\n" for row in rows))
        fetch = FetchOptions(
            allow_host=(host.name, f"localhost:{closed.port}"), fetches_per_host=AT_ONCE, rate_per_host=RATE
        )
        options = RunOptions(listing=tmp_path / "listing.tsv", out=tmp_path / "out", workers=0, fetch=fetch)
        curate(options, CurationConfig(resolution=64, min_motion=0.1, max_motion=60), Progress(quiet=True))
    clips = pq.read_table(tmp_path / "out" / "clips.parquet").to_pylist()
    assert {clip["detail"] for clip in clips[:30]} == {"localhost asked to be left alone for more than 600 s"}
    assert [clip["verdict"] for clip in clips[30:]] == ["kept"] * 5
    assert len(closed.log) <= AT_ONCE, "but for those under way together, nothing was asked again"
