"""A server that behaves as Tumblr's: no row whose picture moves is lost to the form in which it is asked for."""

import socket
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.fetch.other_forms import list_other_forms
from curation.options import FetchOptions
from examples.draw_formats import encode
from examples.draw_gifs import DrawnGif, draw_frames
from tests.curation.helpers import run
from tests.web_server import Handler, WebServer

JPEG = b"\xff\xd8\xff\xe0 and more"
HOST = "64.media.tumblr.com"


@pytest.mark.parametrize(
    ("url", "forms"),
    [
        (f"https://{HOST}/a/tumblr_b_400.gif", [f"https://{HOST}/a/tumblr_b_400.{end}" for end in ("gifv", "webp")]),
        (f"https://{HOST}/a.GIF?x=1", [f"https://{HOST}/a.{end}?x=1" for end in ("gifv", "webp")]),
        ("http://tumblr.com/a.gifv", ["http://tumblr.com/a.gif", "http://tumblr.com/a.webp"]),
        (f"https://{HOST}/a.jpg", []),
        ("https://nottumblr.com/a.gif", []),
        ("https://tumblr.com.evil.example/a.gif", []),
        ("https://[broken/a.gif", []),
    ],
)
def test_other_forms_are_those_of_tumblrs_hosts(url: str, forms: list[str]) -> None:
    assert list_other_forms(url) == forms


@pytest.fixture
def tumblr(web_server: WebServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the web server, under a name of Tumblr's."""
    resolve = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if host == HOST else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return f"http://{HOST}:{web_server.port}"


def test_no_row_is_lost_to_its_form(web_server: WebServer, tumblr: str, tmp_path: Path, short_pauses: None) -> None:
    def draw(seed: int, file_format: str) -> bytes:
        drawn = DrawnGif(name="", caption="", width=64, height=64, num_frames=6, dx=2.0, seed=seed)
        return encode([frame.quantize(128) for frame in draw_frames(drawn)], file_format)

    def needs_webp(handler: Handler, _: int) -> None:
        handler.send(*((200, draw(1, "webp")) if "image/webp" in handler.headers["Accept"] else (500,)))

    def only(form: str, body: bytes, otherwise: tuple[int, bytes]) -> Any:
        return lambda handler, _: handler.send(*((200, body) if handler.path.endswith(form) else otherwise))

    web_server.handlers = {
        "webp": needs_webp,
        "gif": only(".gif", draw(2, "gif"), (404, b"")),
        "gifv": only(".gifv", draw(3, "mp4"), (403, b"<Error><Code>AccessDenied</Code>")),
        "refused": only(".webp", draw(4, "webp"), (500, b"")),
        "still": only(".gifv", draw(5, "webp"), (200, JPEG)),
        "gone": only(".none", b"", (200, JPEG)),
        "never": only(".none", b"", (404, b"")),
    }
    rows = "".join(f"{tumblr}/{name}/tumblr_{name}_400.gif\t{name}\n" for name in web_server.handlers)
    (tmp_path / "listing.tsv").write_text(rows)
    options = FetchOptions(allow_host=(f"{HOST}:{web_server.port}",), rate_per_host=0)
    config = CurationConfig(resolution=64, min_motion=0.1, near_distance=0)
    run(tmp_path / "listing.tsv", tmp_path / "out", config, fetch=options)
    clips = {clip["caption"]: clip for clip in pq.read_table(tmp_path / "out" / "clips.parquet").to_pylist()}
    kept = {"webp": "webp", "gif": "gif", "gifv": "mp4", "refused": "webp", "still": "webp"}
    assert {name: clip["format"] for name, clip in clips.items() if clip["verdict"] == "kept"} == kept
    assert (clips["gone"]["verdict"], clips["gone"]["detail"]) == ("not_a_gif", "a JPEG picture")
    assert (clips["never"]["verdict"], clips["never"]["detail"]) == ("fetch_failed", "HTTP 404 Not Found")
    asked = web_server.paths()
    assert sum(path.startswith("/gif/") for path in asked) == 1
    assert sum(path.startswith("/webp/") for path in asked) == 1
