"""retry: failed clips are fetched or measured again, nothing else is, and the data set is updated."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.errors import ConfigError, OutputError
from curation.finish import Summary
from curation.options import FetchOptions, RunOptions
from curation.pipeline import curate
from curation.retry import retry
from curation.run.progress import Progress
from curation.run.saved_options import load_options, save_options
from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from shards.manifest import read_manifest
from shards.verification.dataset import verify_dataset
from tests.web_server import WebServer

CONFIG = CurationConfig(resolution=64, min_motion=0.1, max_motion=60)


@pytest.fixture
def pages(web_server: WebServer, tmp_path: Path) -> dict[str, bytes]:
    """Three small GIFs on the server."""
    for seed in range(3):
        drawn = DrawnGif(name="", caption="", width=40, height=40, num_frames=4, dx=2.0, seed=seed)
        save_gif(tmp_path / "drawn.gif", draw_frames(drawn))
        web_server.pages[f"/{seed}.gif"] = (tmp_path / "drawn.gif").read_bytes()
    return web_server.pages


def run(web_server: WebServer, folder: Path, name: str = "out") -> Path:
    """Curate the server's three GIFs and a fourth URL."""
    listing = folder / "listing.tsv"
    listing.write_text("".join(f"{web_server.url}/{seed}.gif\ta caption\n" for seed in range(4)))
    fetch = FetchOptions(allow_host=("127.0.0.1",), rate_per_host=0)
    options = RunOptions(listing=listing, out=folder / name, workers=0, fetch=fetch)
    curate(options, CONFIG, Progress(quiet=True))
    return folder / name


def retry_failed(out: Path) -> Summary | None:
    return retry(out, workers=None, progress=Progress(quiet=True))


def verdicts(out: Path) -> list[str]:
    return pq.read_table(out / "clips.parquet")["verdict"].to_pylist()


def hashes(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*/*.tar")}


def test_only_failed_fetches_are_repeated(
    web_server: WebServer,
    pages: dict[str, bytes],
    tmp_path: Path,
    short_pauses: None,
) -> None:
    pages["/3.gif"] = b"<html>gone</html>"
    undisturbed = run(web_server, tmp_path, "undisturbed")
    lost = pages.pop("/1.gif")
    out = run(web_server, tmp_path)
    assert verdicts(out) == ["kept", "fetch_failed", "kept", "not_a_gif"]
    web_server.log.clear()
    pages["/1.gif"] = lost
    summary = retry_failed(out)
    assert web_server.paths() == ["/1.gif"]
    assert summary
    assert (summary.num_reused, summary.num_pairs_measured) == (2, 6)
    assert verdicts(out) == ["kept", "kept", "kept", "not_a_gif"]
    assert hashes(out) == hashes(undisturbed)
    assert read_manifest(out).verdicts["fetch_failed"] == 0
    verify_dataset(out)
    assert "pix2gif retry" not in str(summary)
    assert retry_failed(out) is None
    assert web_server.paths() == ["/1.gif"]


def test_clip_that_fails_again_keeps_its_verdict(
    web_server: WebServer,
    pages: dict[str, bytes],
    tmp_path: Path,
    short_pauses: None,
) -> None:
    out = run(web_server, tmp_path)
    before = hashes(out)
    assert verdicts(out)[3] == "fetch_failed"
    for _ in range(2):
        assert f"1 row can be retried: pix2gif retry {out}" in str(retry_failed(out))
        assert verdicts(out)[3] == "fetch_failed"
        assert hashes(out) == before
    verify_dataset(out)


def test_timed_out_clip_is_measured_again(tmp_path: Path) -> None:
    # Long enough that the result cannot arrive while this process is paused before it waits.
    long = DrawnGif(name="", caption="", width=40, height=40, num_frames=120, dx=0.5)
    save_gif(tmp_path / "a.gif", draw_frames(long))
    (tmp_path / "listing.tsv").write_text("a.gif\ta caption\n")
    out = tmp_path / "out"
    config = CurationConfig(resolution=64, clip_timeout=1e-6)
    curate(RunOptions(listing=tmp_path / "listing.tsv", out=out, workers=0), config, Progress(quiet=True))
    assert verdicts(out) == ["timed_out"]
    summary = retry_failed(out)
    assert summary
    assert (summary.num_reused, verdicts(out)) == (0, ["timed_out"])


def test_changed_listing_is_refused(web_server: WebServer, pages: dict[str, bytes], tmp_path: Path) -> None:
    out = run(web_server, tmp_path)
    (tmp_path / "listing.tsv").write_text(f"{web_server.url}/0.gif\tanother caption\n")
    with pytest.raises(OutputError, match="another listing"):
        retry_failed(out)
    verify_dataset(out)


def test_folder_without_a_run_is_reported(tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(OutputError, match="holds no run to retry"):
        retry_failed(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="workers is -1; it must be 0 or more"):
        retry(dataset, workers=-1, progress=Progress(quiet=True))
    command = [str(Path(sys.executable).parent / "pix2gif"), "retry"]
    ended = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    ended = subprocess.run([*command, str(dataset)], capture_output=True, text=True, check=True)
    assert "nothing failed that could be tried again" in ended.stdout


def test_saved_options_are_loaded_unchanged(tmp_path: Path) -> None:
    fetch = FetchOptions(cache="s3://bucket/cache", allow_host=("a", "b:80"), rate_per_host=1.5)
    for listing in ("s3://bucket/listing.tsv", tmp_path / "listing.tsv"):
        options = RunOptions(listing=listing, out=tmp_path, gifs=tmp_path, workers=3, fetch=fetch)
        save_options(tmp_path, options, CONFIG)
        assert load_options(tmp_path) == (options, CONFIG)
    (tmp_path / "run.json").write_text("{}")
    assert load_options(tmp_path) is None
