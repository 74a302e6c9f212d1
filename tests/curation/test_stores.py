"""Runs whose OUT is in a bucket give the bytes of a run on disk, also after crashes, damage and competing runs."""

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
from curation.flow.stage import measure_all
from curation.inspection.sample_index import load_index, read_picture
from curation.run.locks import store_lock
from curation.run.progress import Progress
from curation.run.quarantine import Incident, find_incident, list_incidents, quarantine, remove_other_incidents
from curation.run.sandbox import Failure
from curation.run.workspace import Workspace
from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from shards.errors import DatasetError, StoreError
from shards.schema import Verdict
from shards.storage.location import ObjectPath
from shards.verification.dataset import verify_dataset
from tests.bucket import list_keys, open_bucket, read, read_bucket, upload_tree
from tests.curation.helpers import read_contents, run

OUT = ObjectPath("s3://bucket/out")
HOLD_LOCK = """
import sys
from curation.run.workspace import Workspace
from shards.storage.location import parse_location
with Workspace(parse_location(sys.argv[1])).lock(overwrite=False):
    print("locked", flush=True)
    sys.stdin.read()
"""


def invoke(*words: object) -> str:
    """Run a command in this process and return its output."""
    ended = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def command(name: str, *words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command in a new process."""
    line = [str(Path(sys.executable).with_name(name)), *map(str, words)]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0 or not check, ended.stderr
    return ended


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
def small_listing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A listing of three small GIFs."""
    return draw(tmp_path_factory.mktemp("small"), 3, 6)


@pytest.fixture(scope="module")
def small_dataset(small_listing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of the small listing, on disk."""
    out = tmp_path_factory.mktemp("small_dataset") / "out"
    run(small_listing, out)
    return out


@pytest.fixture(scope="module")
def finished_objects(service: str, small_dataset: Path, small_listing: Path) -> dict[str, bytes]:
    """All objects of the same data set, as a run writes them to the bucket."""
    with open_bucket(service) as s3:
        run(small_listing, OUT)
        assert read_bucket(s3) == read_contents(small_dataset)
        return {key: read(s3, key) for key in list_keys(s3)}


@pytest.fixture
def bucket_files(s3, finished_objects: dict[str, bytes]) -> dict[str, bytes]:
    """The finished data set in the bucket; return the files that a run determines."""
    for key, body in finished_objects.items():
        s3.put_object(Bucket="bucket", Key=key, Body=body)
    return read_bucket(s3)


def test_listing_gifs_cache_and_out_in_a_bucket(s3, listing: Path, dataset: Path, tmp_path: Path) -> None:
    upload_tree(s3, listing.parent, "in")
    words = ["s3://bucket/in/listing.tsv", "--cache", "s3://bucket/gifs", "--out", "s3://bucket/out", "--workers", 2]
    output = command("pix2gif-curate", *words).stdout
    assert "The data set is in s3://bucket/out; look at s3://bucket/out/report.html first." in output
    assert read_bucket(s3) == read_contents(dataset)
    assert str(verify_dataset(OUT)) == (
        "s3://bucket/out is valid: 15 rows, 1,920 measured pairs, 120 samples in 2 shards."
    )
    folders = [key for key in list_keys(s3) if key.endswith("/") and not key.startswith("out/.work/")]
    assert folders == [], "a run leaves no empty objects for folders"
    remaining = {key.split("/")[1] for key in list_keys(s3, "out/")}
    assert remaining == {path.name for path in dataset.iterdir()} | {".work"}
    manifest = json.loads(read(s3, "out/dataset.json"))
    assert manifest["splits"] == json.loads((dataset / "dataset.json").read_text())["splits"]
    assert manifest["listing"]["folder"] == "s3://bucket/in"
    assert invoke("curate", *words) == "s3://bucket/out holds this data set already, finished; nothing to do.\n"
    with pytest.raises(OutputError, match=r"--out s3://bucket/out holds a finished data set .* \(min_motion 2\.0"):
        invoke("curate", *words, "--min-motion", 3)


def test_other_commands_read_the_bucket(s3, bucket_files, small_dataset: Path, tmp_path: Path) -> None:
    planned = invoke("plan", OUT, "--min-motion", 4).splitlines()
    on_disk = invoke("plan", small_dataset, "--min-motion", 4).splitlines()
    assert planned[0].startswith("s3://bucket/out: motion from 4 to 20 px")
    assert planned[1:5] == on_disk[1:5]
    thresholds = ["--min-motion", 4, "--workers", 0]
    invoke("resplit", OUT, "--out", "s3://bucket/resplit", *thresholds)
    invoke("resplit", small_dataset, "--out", tmp_path / "resplit", *thresholds)
    assert read_bucket(s3, "resplit/") == read_contents(tmp_path / "resplit")
    verify_dataset(ObjectPath("s3://bucket/resplit"))
    invoke("resplit", OUT, "--out", tmp_path / "back", *thresholds)
    assert read_contents(tmp_path / "back") == read_contents(tmp_path / "resplit")
    assert invoke("audit", OUT) == invoke("audit", small_dataset)
    assert invoke("retry", OUT) == f"{OUT}: nothing failed that could be tried again.\n"


def test_flow_table_in_a_bucket_is_reused_by_a_run_on_disk(bucket_files, small_listing: Path, tmp_path: Path) -> None:
    summary = run(small_listing, tmp_path / "out", flow=OUT / "flow")
    assert (summary.num_reused, summary.num_pairs_measured) == (3, 0)
    with pytest.raises(OutputError, match="--flow s3://bucket/nothing holds no flow table"):
        run(small_listing, tmp_path / "other", flow=ObjectPath("s3://bucket/nothing"))


def test_viewer_reads_samples_from_a_bucket(bucket_files, small_dataset: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    index = load_index(OUT, read_finished(OUT).manifest, Progress(quiet=True))
    on_disk = load_index(small_dataset, read_finished(small_dataset).manifest, Progress(quiet=True))
    assert index.num_rows == on_disk.num_rows > 0
    assert read_picture(OUT, index, 0, "target") == read_picture(small_dataset, on_disk, 0, "target")


def test_verify_names_a_damaged_object(s3, bucket_files) -> None:
    for name in ("clips.parquet", "train/00000.tar", sorted(key for key in bucket_files if key.startswith("flow/"))[0]):
        s3.put_object(Bucket="bucket", Key=f"out/{name}", Body=bucket_files[name][:-40])
        with pytest.raises(DatasetError, match=f"^s3://bucket/out/{name} has "):
            verify_dataset(OUT)
        s3.put_object(Bucket="bucket", Key=f"out/{name}", Body=bucket_files[name])
    verify_dataset(OUT)


@pytest.mark.parametrize(
    ("damage", "is_finished"), [("truncated", True), ("flipped", True), ("deleted", True), ("deleted", False)]
)
@pytest.mark.parametrize("kind", ["flow/", "train/"])
def test_next_run_replaces_damaged_objects(s3, small_listing: Path, bucket_files, is_finished, damage, kind) -> None:
    name = sorted(key for key in bucket_files if key.startswith(kind))[0]
    data = bytearray(bucket_files[name])
    if damage == "deleted":
        s3.delete_object(Bucket="bucket", Key=f"out/{name}")
    else:
        data[len(data) // 2] ^= 1
        body = bytes(data) if damage == "flipped" else bucket_files[name][:-40]
        s3.put_object(Bucket="bucket", Key=f"out/{name}", Body=body)
    if not is_finished:
        s3.delete_object(Bucket="bucket", Key="out/dataset.json")
    summary = run(small_listing, OUT, overwrite=is_finished)
    assert (summary.num_pairs_measured > 0) == (kind == "flow/")
    assert read_bucket(s3) == bucket_files
    verify_dataset(OUT)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_run_resumes_at_once_with_the_same_bytes(s3, tmp_path: Path, workers: int) -> None:
    (tmp_path / "in").mkdir()
    listing = draw(tmp_path / "in", 12, 24)
    run(listing, tmp_path / "out", CurationConfig(resolution=64))
    assert len(list((tmp_path / "out" / "flow").iterdir())) > 3
    words = ["pix2gif", "curate", listing, "--out", OUT, "--resolution", 64, "--workers", workers, "--quiet"]
    with subprocess.Popen([Path(sys.executable).with_name(words[0]), *map(str, words[1:])]) as process:
        deadline_s = time.monotonic() + 120
        while not list_keys(s3, "out/flow/") and time.monotonic() < deadline_s:
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert "out/dataset.json" not in list_keys(s3)
    assert list_keys(s3, "out/.work/locks/"), "the killed run did not release its lock"
    invoke(*words[1:])
    assert read_bucket(s3) == read_contents(tmp_path / "out")
    verify_dataset(OUT)
    assert [key for key in list_keys(s3, "out/.work/locks/") if not key.endswith("/")] == []


def test_second_run_is_refused_while_the_first_is_alive(s3, small_listing: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD_LOCK, str(OUT)], stdin=-1, stdout=-1, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "locked\n"
        ended = command("pix2gif-curate", small_listing, "--out", OUT, "--workers", 0, "--overwrite", check=False)
        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
        assert f"another run is writing to s3://bucket/out: process {first.pid} on " in ended.stderr
        assert "if it was killed, its lock expires 120 s after its last heartbeat" in ended.stderr
        locks = [key for key in list_keys(s3, "out/.work/locks/") if key.endswith(".json")]
        assert len(locks) == 1, "the refused run leaves no lock"
        first.kill()
    with Workspace(OUT).lock(overwrite=False):
        pass


def test_second_run_in_the_same_process_is_refused(s3) -> None:
    with (
        Workspace(OUT).lock(overwrite=False),
        pytest.raises(OutputError, match=f"process {os.getpid()} on"),
        Workspace(OUT).lock(overwrite=False),
    ):
        pytest.fail("it was locked twice")


def test_lock_of_another_machine_expires_without_heartbeat(s3, monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"host": "node7", "pid": 1, "machine": "another", "since": "2026-01-01T00:00:00+00:00"}
    s3.put_object(Bucket="bucket", Key="out/.work/locks/other.json", Body=json.dumps(record).encode())
    with (
        pytest.raises(OutputError, match="process 1 on node7, since 2026-01-01"),
        Workspace(OUT).lock(overwrite=True),
    ):
        pytest.fail("it was locked")
    monkeypatch.setattr(store_lock, "STALE_S", 0.5)
    time.sleep(2)  # The service rounds times to seconds.
    with Workspace(OUT).lock(overwrite=False):
        assert "out/.work/locks/other.json" not in list_keys(s3)


def test_lock_is_refreshed_by_a_heartbeat(s3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_lock, "HEARTBEAT_S", 0.2)
    with Workspace(OUT).lock(overwrite=False):
        (key,) = [key for key in list_keys(s3, "out/.work/locks/") if key.endswith(".json")]
        before = s3.head_object(Bucket="bucket", Key=key)["LastModified"]
        deadline_s = time.monotonic() + 30
        while s3.head_object(Bucket="bucket", Key=key)["LastModified"] == before and time.monotonic() < deadline_s:
            time.sleep(0.1)
        assert s3.head_object(Bucket="bucket", Key=key)["LastModified"] > before


def test_run_that_lost_its_lock_does_not_finish(s3, small_listing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure_and_lose_lock(*arguments: Any) -> Any:
        for key in list_keys(s3, "out/.work/locks/"):
            s3.delete_object(Bucket="bucket", Key=key)
        return measure_all(*arguments)

    monkeypatch.setattr("curation.pipeline.measure_all", measure_and_lose_lock)
    with pytest.raises(OutputError, match="s3://bucket/out is lost: the store received no heartbeat for 90 s"):
        run(small_listing, OUT)
    assert "out/dataset.json" not in list_keys(s3)
    monkeypatch.undo()


def test_lock_without_heartbeat_is_lost(s3, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(OUT)
    with workspace.lock(overwrite=False):
        workspace.check_lock()
        monkeypatch.setattr(store_lock, "LOST_S", 0.0)
        with pytest.raises(OutputError, match="the lock on s3://bucket/out is lost"):
            workspace.check_lock()


def test_bucket_with_other_files_is_refused_and_unchanged(s3) -> None:
    s3.put_object(Bucket="bucket", Key="out/thesis.tex", Body=b"ten years")
    s3.put_object(Bucket="bucket", Key="file", Body=b"kept")
    with (
        pytest.raises(OutputError, match="s3://bucket/out holds something else"),
        Workspace(OUT).lock(overwrite=False),
    ):
        pytest.fail("it was locked")
    file = Workspace(ObjectPath("s3://bucket/file"))
    with pytest.raises(OutputError, match="s3://bucket/file is a file"), file.lock(overwrite=True):
        pytest.fail("it was locked")
    assert sorted(list_keys(s3)) == ["file", "out/thesis.tex"]
    with Workspace(OUT).lock(overwrite=True):
        pass
    assert read(s3, "out/thesis.tex") == b"ten years"


def test_unwritable_store_fails_before_measuring(
    s3, service: str, small_listing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(out: str) -> str:
        with pytest.raises((OutputError, StoreError)) as raised:
            invoke("curate", small_listing, "--out", out, "--workers", 0)
        return str(raised.value)

    ended = command("pix2gif-curate", small_listing, "--out", "s3://nowhere/out", "--workers", 0, check=False)
    asked = f"(asked of {service})"
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        1, "", f"Error: cannot write to --out s3://nowhere/out: there is no such bucket {asked}\n",
    )  # fmt: skip
    assert "a data set must be in a folder, or in a store at s3:// or gs://, not at ftp://" in refused("ftp://host/out")
    requests.post(f"{service}/moto-api/reset-auth", data="0", timeout=10)
    try:
        assert "access is denied to the credentials of the environment" in refused(str(OUT))
    finally:
        requests.post(f"{service}/moto-api/reset-auth", data="inf", timeout=10)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert "s3://bucket/out: the store does not answer (asked of http://127.0.0.1:1)" in refused(str(OUT))


def test_quarantined_clip_in_a_bucket_is_replayed(s3, small_listing: Path) -> None:
    key = "cat-0123456789abcdef"
    failure = Failure(verdict=Verdict.CRASHED, detail="signal SIGABRT", error="last words")
    incident = Incident(clip_key=key, sha256="0", failure=failure, config=CurationConfig())
    data = (small_listing.parent / "0.gif").read_bytes()
    quarantine(OUT / "quarantine", incident, data)
    assert find_incident(OUT / "quarantine", key) == incident
    assert find_incident(OUT / "quarantine", "dog") is None
    assert list_incidents(OUT / "quarantine") == [key]
    assert json.loads(read(s3, f"out/quarantine/{key}.json"))["command"] == f"pix2gif replay s3://bucket/out {key}"
    assert command("pix2gif", "replay", OUT, key).stdout == f"{key}: 15 pairs of 6 frames measured\n"
    remove_other_incidents(OUT / "quarantine", set())
    assert list_incidents(OUT / "quarantine") == []


@pytest.mark.slow
def test_training_reads_a_bucket(s3, dataset: Path, tmp_path: Path) -> None:
    upload_tree(s3, dataset, "out")
    command("pix2gif", "train", OUT, "--preset", "tiny", "--max-steps", 2, "--out", tmp_path / "run")
    assert any((tmp_path / "run").iterdir())
