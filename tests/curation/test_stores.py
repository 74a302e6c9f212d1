"""OUT in a bucket of a real S3 service: the bytes of a run on disk, whatever happens on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner

from cli import app
from curation.config import CurationConfig
from curation.errors import OutputError
from curation.export.dataset import read_finished
from curation.inspection.sample_index import load_index, read_picture
from curation.pipeline import measure
from curation.run import store_lock as claim
from curation.run.quarantine import Incident, find_incident, keep_incidents, list_incidents, quarantine
from curation.run.sandbox import Failure
from curation.run.store_lock import Claim
from curation.run.workspace import Workspace
from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from shards.errors import DatasetError, StoreError
from shards.location import ObjectPath
from shards.schema import Verdict
from shards.verify import verify_dataset
from tests.bucket import list_keys, read, upload_tree
from tests.curation.helpers import contents, run

OUT = ObjectPath("s3://bucket/out")
DECIDED = ("train/", "val/", "flow/", "clips.parquet")
HOLD = """
import sys
from curation.run.workspace import Workspace
from shards.location import parse_location
with Workspace(parse_location(sys.argv[1])).lock(overwrite=False):
    print("claimed", flush=True)
    sys.stdin.read()
"""


def invoke(*words: object) -> str:
    """Run a command in this process; gives what it printed."""
    ended = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def command(name: str, *words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run one of our commands in a process of its own."""
    line = [str(Path(sys.executable).with_name(name)), *map(str, words)]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0 or not check, ended.stderr
    return ended


def contents_there(s3: Any, prefix: str = "out/") -> dict[str, bytes]:
    """All that a run decides: shards, flow table, verdicts."""
    keys = [key for key in list_keys(s3, prefix) if not key.endswith("/")]
    names = [key.removeprefix(prefix) for key in keys]
    return {name: read(s3, f"{prefix}{name}") for name in names if name.startswith(DECIDED)}


def draw(folder: Path, num_gifs: int, num_frames: int) -> Path:
    """Draw small GIFs and a listing of them."""
    rows = []
    for seed in range(num_gifs):
        drawn = DrawnGif(name="", caption="", width=64, height=64, num_frames=num_frames, dx=3.0, seed=seed)
        save_gif(folder / f"{seed}.gif", draw_frames(drawn))
        rows.append(f"{seed}.gif\tcaption {seed}\n")
    (folder / "listing.tsv").write_text("".join(rows))
    return folder / "listing.tsv"


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A listing of three small GIFs."""
    return draw(tmp_path_factory.mktemp("few"), 3, 6)


@pytest.fixture(scope="module")
def few_on_disk(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is made of it on disk."""
    out = tmp_path_factory.mktemp("few_on_disk") / "out"
    run(few, out)
    return out


@pytest.fixture
def few_there(s3, few_on_disk: Path, few: Path) -> dict[str, bytes]:
    """The same, finished in the bucket."""
    run(few, OUT)
    assert contents_there(s3) == contents(few_on_disk)
    return contents_there(s3)


def test_listing_gifs_cache_and_out_may_all_lie_in_a_bucket(s3, listing: Path, dataset: Path, tmp_path: Path) -> None:
    upload_tree(s3, listing.parent, "in")
    words = ["s3://bucket/in/listing.tsv", "--cache", "s3://bucket/gifs", "--out", "s3://bucket/out", "--workers", 2]
    told = command("pix2gif-curate", *words).stdout
    assert "The data set is in s3://bucket/out; look at s3://bucket/out/report.html first." in told
    assert contents_there(s3) == contents(dataset)
    assert str(verify_dataset(OUT)) == (
        "s3://bucket/out holds: 15 rows, 1,920 measured pairs, 120 samples in 2 shards."
    )
    left = {key.split("/")[1] for key in list_keys(s3, "out/") if key.split("/")[1]}
    assert left == {path.name for path in dataset.iterdir()} | {".work"}
    manifest = json.loads(read(s3, "out/dataset.json"))
    assert manifest["splits"] == json.loads((dataset / "dataset.json").read_text())["splits"]
    assert manifest["listing"]["folder"] == "s3://bucket/in"
    assert invoke("curate", *words) == "s3://bucket/out holds this data set already, finished; nothing to do.\n"
    with pytest.raises(OutputError, match=r"--out s3://bucket/out holds a finished data set .* \(min_motion 2\.0"):
        invoke("curate", *words, "--min-motion", 3)


def test_other_commands_read_it_there(s3, few_there, few_on_disk: Path, tmp_path: Path) -> None:
    thresholds = ["--min-motion", 4, "--workers", 0]
    planned = invoke("plan", OUT, *thresholds).splitlines()
    on_disk = invoke("plan", few_on_disk, *thresholds).splitlines()
    assert planned[0].startswith("s3://bucket/out: pairs of 4 to 20 px")
    assert planned[1:5] == on_disk[1:5]
    invoke("resplit", OUT, "--out", "s3://bucket/resplit", *thresholds)
    invoke("resplit", few_on_disk, "--out", tmp_path / "resplit", *thresholds)
    assert contents_there(s3, "resplit/") == contents(tmp_path / "resplit")
    verify_dataset(ObjectPath("s3://bucket/resplit"))
    invoke("resplit", OUT, "--out", tmp_path / "back", *thresholds)
    assert contents(tmp_path / "back") == contents(tmp_path / "resplit")
    assert invoke("audit", OUT) == invoke("audit", few_on_disk)
    assert invoke("retry", OUT) == f"{OUT}: nothing failed that could be tried again.\n"


def test_the_flow_table_there_serves_a_run_elsewhere(few_there, few: Path, tmp_path: Path) -> None:
    summary = run(few, tmp_path / "out", flow=OUT / "flow")
    assert (summary.num_reused, summary.num_pairs_measured) == (3, 0)
    with pytest.raises(OutputError, match="--flow s3://bucket/nothing holds no flow table"):
        run(few, tmp_path / "other", flow=ObjectPath("s3://bucket/nothing"))


def test_the_viewer_shows_it_from_there(few_there, few_on_disk: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    index = load_index(OUT, read_finished(OUT).manifest, lambda _: None)
    on_disk = load_index(few_on_disk, read_finished(few_on_disk).manifest, lambda _: None)
    assert index.num_rows == on_disk.num_rows > 0
    assert read_picture(OUT, index, 0, "target") == read_picture(few_on_disk, on_disk, 0, "target")


def test_a_damaged_object_is_told_by_verify(s3, few_there) -> None:
    for name in ("clips.parquet", "train/00000.tar", sorted(key for key in few_there if key.startswith("flow/"))[0]):
        s3.put_object(Bucket="bucket", Key=f"out/{name}", Body=few_there[name][:-40])
        with pytest.raises(DatasetError, match=f"^s3://bucket/out/{name}: "):
            verify_dataset(OUT)
        s3.put_object(Bucket="bucket", Key=f"out/{name}", Body=few_there[name])
    verify_dataset(OUT)


@pytest.mark.parametrize("is_finished", [True, False], ids=["finished", "unfinished"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "deleted"])
@pytest.mark.parametrize("kind", ["flow/", "train/"])
def test_what_is_damaged_between_runs_is_made_again(s3, few: Path, few_there, is_finished, damage, kind) -> None:
    name = sorted(key for key in few_there if key.startswith(kind))[0]
    data = bytearray(few_there[name])
    if damage == "deleted":
        s3.delete_object(Bucket="bucket", Key=f"out/{name}")
    else:
        data[len(data) // 2] ^= 1
        body = bytes(data) if damage == "flipped" else few_there[name][:-40]
        s3.put_object(Bucket="bucket", Key=f"out/{name}", Body=body)
    if not is_finished:
        s3.delete_object(Bucket="bucket", Key="out/dataset.json")
    summary = run(few, OUT)
    assert (summary.num_pairs_measured > 0) == (kind == "flow/")
    assert contents_there(s3) == few_there
    verify_dataset(OUT)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_at_once_and_ends_with_the_same_bytes(s3, tmp_path: Path, workers: int) -> None:
    (tmp_path / "in").mkdir()
    listing = draw(tmp_path / "in", 12, 24)
    run(listing, tmp_path / "out")
    assert len(list((tmp_path / "out" / "flow").iterdir())) > 3
    words = ["pix2gif", "curate", listing, "--out", OUT, "--workers", workers, "--quiet"]
    with subprocess.Popen([Path(sys.executable).with_name(words[0]), *map(str, words[1:])]) as process:
        deadline_s = time.monotonic() + 120
        while not list_keys(s3, "out/flow/") and time.monotonic() < deadline_s:
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert "out/dataset.json" not in list_keys(s3)
    assert list_keys(s3, "out/.work/locks/"), "it had no time to take its claim away"
    command(*words)
    assert contents_there(s3) == contents(tmp_path / "out")
    verify_dataset(OUT)
    assert [key for key in list_keys(s3, "out/.work/locks/") if not key.endswith("/")] == []


def test_a_second_run_is_refused_while_the_first_one_lives(s3, few: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(OUT)], stdin=-1, stdout=-1, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "claimed\n"
        told = command("pix2gif-curate", few, "--out", OUT, "--workers", 0, "--overwrite", check=False)
        assert (told.returncode, told.stderr.count("\n")) == (1, 1)
        assert f"another run is writing to s3://bucket/out: process {first.pid} on " in told.stderr
        assert "if it was killed, its claim ends 120 s after that" in told.stderr
        claims = [key for key in list_keys(s3, "out/.work/locks/") if key.endswith(".json")]
        assert len(claims) == 1, "what was refused leaves no claim"
        first.kill()
    with Workspace(OUT).lock(overwrite=False):
        pass


def test_of_two_runs_in_one_process_one_is_refused(s3) -> None:
    with (
        Workspace(OUT).lock(overwrite=False),
        pytest.raises(OutputError, match=f"process {os.getpid()} on"),
        Workspace(OUT).lock(overwrite=False),
    ):
        pytest.fail("it was claimed twice")


def test_a_claim_of_another_machine_ends_when_it_is_silent_for_long(s3, monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"host": "node7", "pid": 1, "place": "another", "since": "2026-01-01T00:00:00+00:00"}
    s3.put_object(Bucket="bucket", Key="out/.work/locks/other.json", Body=json.dumps(record).encode())
    with (
        pytest.raises(OutputError, match="process 1 on node7, since 2026-01-01"),
        Workspace(OUT).lock(overwrite=True),
    ):
        pytest.fail("it was claimed")
    monkeypatch.setattr(claim, "STALE_S", 0.5)
    time.sleep(2)  # The service tells times in whole seconds.
    with Workspace(OUT).lock(overwrite=False):
        assert "out/.work/locks/other.json" not in list_keys(s3)


def test_a_run_that_lives_is_heard_of(s3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "BEAT_S", 0.2)
    with Workspace(OUT).lock(overwrite=False):
        (key,) = [key for key in list_keys(s3, "out/.work/locks/") if key.endswith(".json")]
        before = s3.head_object(Bucket="bucket", Key=key)["LastModified"]
        deadline_s = time.monotonic() + 30
        while s3.head_object(Bucket="bucket", Key=key)["LastModified"] == before and time.monotonic() < deadline_s:
            time.sleep(0.1)
        assert s3.head_object(Bucket="bucket", Key=key)["LastModified"] > before


def test_a_run_whose_place_was_taken_finishes_nothing(s3, few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure_and_lose(*arguments: Any) -> Any:
        for key in list_keys(s3, "out/.work/locks/"):
            s3.delete_object(Bucket="bucket", Key=key)
        return measure(*arguments)

    monkeypatch.setattr("curation.pipeline.measure", measure_and_lose)
    with pytest.raises(OutputError, match="s3://bucket/out did not hear of this run for 120 s, and another one may"):
        run(few, OUT)
    assert "out/dataset.json" not in list_keys(s3)
    monkeypatch.undo()


def test_a_beat_after_a_long_silence_is_not_made(s3) -> None:
    held = Claim(OUT, OUT / "claims")
    with held.hold():
        held.confirm()
        held._last_beat_s -= 100
        with pytest.raises(OutputError, match="did not hear of this run"):
            held.confirm()


def test_a_place_that_holds_something_else_is_refused_and_not_touched(s3) -> None:
    s3.put_object(Bucket="bucket", Key="out/thesis.tex", Body=b"ten years")
    s3.put_object(Bucket="bucket", Key="file", Body=b"kept")
    with (
        pytest.raises(OutputError, match="s3://bucket/out holds something else"),
        Workspace(OUT).lock(overwrite=False),
    ):
        pytest.fail("it was claimed")
    file = Workspace(ObjectPath("s3://bucket/file"))
    with pytest.raises(OutputError, match="s3://bucket/file is a file"), file.lock(overwrite=True):
        pytest.fail("it was claimed")
    assert sorted(list_keys(s3)) == ["file", "out/thesis.tex"]
    with Workspace(OUT).lock(overwrite=True):
        pass
    assert read(s3, "out/thesis.tex") == b"ten years"


def test_a_store_that_cannot_be_written_to_is_told_before_anything_is_measured(
    s3, service: str, few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(out: str) -> str:
        with pytest.raises((OutputError, StoreError)) as told:
            invoke("curate", few, "--out", out, "--workers", 0)
        return str(told.value)

    told = command("pix2gif-curate", few, "--out", "s3://nowhere/out", "--workers", 0, check=False)
    asked = f"(asked of {service})"
    assert (told.returncode, told.stdout, told.stderr) == (
        1, "", f"Error: cannot write to --out s3://nowhere/out: there is no such bucket {asked}\n",
    )  # fmt: skip
    assert "a data set lies in a folder, or in a store at s3:// or gs://, not at ftp://" in refused("ftp://host/out")
    requests.post(f"{service}/moto-api/reset-auth", data="0", timeout=10)
    try:
        assert "access is denied to the credentials of the environment" in refused(str(OUT))
    finally:
        requests.post(f"{service}/moto-api/reset-auth", data="inf", timeout=10)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert "s3://bucket/out: the store does not answer (asked of http://127.0.0.1:1)" in refused(str(OUT))


def test_a_lost_clip_is_kept_there_and_replayed(s3, few: Path) -> None:
    failure = Failure(verdict=Verdict.CRASHED, detail="signal SIGABRT", error="last words")
    incident = Incident(clip_key="cat", sha256="0", failure=failure, config=CurationConfig())
    data = (few.parent / "0.gif").read_bytes()
    quarantine(OUT / "quarantine", incident, data)
    assert find_incident(OUT / "quarantine", "cat") == incident
    assert find_incident(OUT / "quarantine", "dog") is None
    assert list_incidents(OUT / "quarantine") == ["cat"]
    assert json.loads(read(s3, "out/quarantine/cat.json"))["command"] == "pix2gif replay s3://bucket/out cat"
    assert command("pix2gif", "replay", OUT, "cat").stdout == "cat: 15 pairs of 6 frames measured\n"
    keep_incidents(OUT / "quarantine", set())
    assert list_incidents(OUT / "quarantine") == []


@pytest.mark.slow
def test_training_reads_it_there(s3, dataset: Path, tmp_path: Path) -> None:
    upload_tree(s3, dataset, "out")
    command("pix2gif", "train", OUT, "--preset", "tiny", "--max-steps", 2, "--out", tmp_path / "run")
    assert any((tmp_path / "run").iterdir())
