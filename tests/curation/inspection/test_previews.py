"""Small pictures of every sample in one Parquet file."""

import io
import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation.inspection.previews import SIDE_PX, export_previews
from curation.run.progress import Progress
from shards.manifest import read_manifest
from shards.reader import read_shard


@pytest.fixture(scope="module")
def previews(dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("previews") / "previews.parquet"
    manifest = read_manifest(dataset)
    assert export_previews(dataset, manifest, path, Progress(quiet=True)) == 120
    return path


def test_rows_are_the_samples_in_the_order_of_the_shards(dataset, previews):
    shards = [path for split in ("train", "val") for path in sorted((dataset / split).glob("*.tar"))]
    records = [sample.record for shard in shards for sample in read_shard(shard)]
    rows = pq.read_table(previews).to_pylist()
    assert [row["key"] for row in rows] == [record.key for record in records]
    for row, record in zip(rows, records, strict=True):
        assert all(row[name] == getattr(record, name) for name in ("split", "caption", "uri", "gap_ms"))
        assert row["motion_px"] == pytest.approx(record.motion_px)


def test_pictures_are_small_and_the_third_one_shows_both_in_turn(previews):
    row = pq.read_table(previews).slice(0, 1).to_pylist()[0]
    source, target, blink = (Image.open(io.BytesIO(row[name]["bytes"])) for name in ("source", "target", "blink"))
    assert {picture.size for picture in (source, target, blink)} == {(SIDE_PX, SIDE_PX)}
    assert {picture.format for picture in (source, target, blink)} == {"WEBP"}
    assert (source.n_frames, target.n_frames, blink.n_frames) == (1, 1, 2)
    assert source.tobytes() != target.tobytes()


def test_hugging_face_datasets_decodes_the_pictures(previews, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    rows = datasets.load_dataset("parquet", data_files=str(previews), split="train", cache_dir=str(tmp_path))
    assert rows[0]["blink"].size == (SIDE_PX, SIDE_PX)


_SERVE = """
import json, sys, urllib.request
from renumics import spotlight

table = f"{spotlight.show(sys.argv[1], no_browser=True, wait=False)}api/table/"
columns = {column["name"]: column["dtype"]["name"] for column in json.load(urllib.request.urlopen(table))["columns"]}
picture = urllib.request.urlopen(f"{table}blink/0?generation_id=0").read()
print(json.dumps({"columns": columns, "first_bytes": picture[:4].hex()}))
"""


@pytest.mark.slow
def test_spotlight_serves_the_pictures(previews, tmp_path):
    """Spotlight has its own environment here: 1.4 GB of packages that nothing else needs."""
    python = tmp_path / "environment" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "renumics-spotlight==1.8.2"], check=True)
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(
        [python, "-c", _SERVE, previews], env=offline, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout.splitlines()[-1])
    assert [seen["columns"][name] for name in ("caption", "motion_px", "gap_ms")] == ["str", "float", "int"]
    assert {seen["columns"][name] for name in ("source", "target", "blink")} == {"Image"}
    assert bytes.fromhex(seen["first_bytes"]) == b"\x89PNG"
