"""The audit, on leaks in a data set that was curated without the search for near-duplicates."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.errors import CurationError
from curation.flow.measure import method_digest
from curation.flow.table import read_part, write_part
from curation.inspection.audit import audit_dataset
from curation.inspection.sample_index import load_index
from curation.options import RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress
from examples.draw_gifs import save_gif
from examples.draw_scenes import LEAKS, film
from shards.errors import DatasetError
from shards.manifest import read_manifest

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    """A data set whose val split has one altered copy of each train film, and two films of its own."""
    folder = tmp_path_factory.mktemp("leaky")
    films = {f"film_{seed}.gif": film(seed, 8, 1.5) for seed in range(len(LEAKS))}
    leaks = {f"leak_{seed}.gif": leak(film(seed, 8, 1.5)) for seed, leak in enumerate(LEAKS.values())}
    own = {f"own_{seed}.gif": film(seed, 8, 1.5) for seed in (50, 51)}
    (folder / "splits").mkdir()
    (folder / "splits" / "train.txt").write_text("\n".join(films))
    (folder / "splits" / "val.txt").write_text("\n".join([*leaks, *own]))
    for name, frames in {**films, **leaks, **own}.items():
        save_gif(folder / name, frames)
    captions = {name: f"a film of {name}" for name in (*films, *leaks, *own)}
    captions["film_0.gif"] = captions["own_50.gif"] = "a ball crosses the picture"
    (folder / "listing.tsv").write_text("".join(f"{name}\t{caption}\n" for name, caption in captions.items()))
    options = RunOptions(listing=folder / "listing.tsv", out=folder / "out", workers=0, splits=folder / "splits")
    curate(options, CurationConfig(min_motion=0.5, near_distance=0), Progress(quiet=True))
    return folder / "out"


def audit(out, near_distance=10):
    return audit_dataset(out, load_index(out, read_manifest(out), Progress(quiet=True)), near_distance)


def test_finds_every_leak_and_nothing_else(leaky):
    result = audit(leaky)
    names = {tuple(key.split("-")[0] for key in pair.clip_keys) for pair in result.near}
    assert names == {(f"film_{seed}", f"leak_{seed}") for seed in range(len(LEAKS))}
    assert (result.num_leaks, result.exact) == (len(LEAKS), ())
    assert result.shared_captions == (("a ball crosses the picture", ("train", "val")),)
    assert audit(leaky, near_distance=0).num_leaks == 0


def test_command_exits_with_3_on_leaks_and_lists_them(leaky):
    process = subprocess.run(
        [BIN / "pix2gif", "audit", leaky], capture_output=True, text=True, timeout=120, check=False
    )
    assert process.returncode == 3
    assert f"near-duplicates: 0 within a split, {len(LEAKS)} across splits" in process.stdout
    assert "film_2-" in process.stdout
    assert f"{len(LEAKS)} leaks between splits" in process.stdout


def test_demo_data_set_has_no_leak(dataset):
    assert audit(dataset).num_leaks == 0


def test_clips_with_one_source_frame_for_three_pairs_are_listed(dataset):
    samples = pa.table({"clip_key": list("aaabbbcc"), "source_index": [1, 1, 1, 1, 1, 2, 3, 3]})
    assert audit_dataset(dataset, samples, near_distance=0).single_source_clips == ("a",)


def test_damaged_table_and_missing_fingerprints_raise(leaky, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(leaky, out)
    path = next((out / "flow").glob("part-*.parquet"))
    original = path.read_bytes()
    path.write_bytes(original[:-200])
    with pytest.raises(DatasetError, match="measurements of its clips cannot be read"):
        audit(out)
    path.write_bytes(original)
    clips = pq.read_table(out / "clips.parquet")
    changed = clips.set_column(clips.schema.get_field_index("caption"), "caption", pa.array(["a ball"] * len(clips)))
    pq.write_table(changed, out / "clips.parquet")
    with pytest.raises(DatasetError, match="its SHA-256 is not the manifest's"):
        audit(out)
    shutil.copyfile(leaky / "clips.parquet", out / "clips.parquet")
    part = read_part(path, method_digest(CurationConfig()))
    without_fingerprints = [
        dataclasses.replace(measurement, frames_sha256="", signature="") for measurement in part.measurements
    ]
    rows = pq.read_table(path)
    path.unlink()
    write_part(out / "flow", "another", without_fingerprints, [rows])
    with pytest.raises(CurationError, match="run curation again"):
        audit(out)
