"""The auditor, on drawn leaks that a run with its own search for near copies switched off has let through."""

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
from curation.inspection.audit import _find_one_instant, audit_dataset
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
    """A data set where val holds what was made of films of train, in every way, and two films of its own."""
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


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def audit(out, near_distance=10):
    return audit_dataset(out, load_index(out, read_manifest(out), lambda n: None), near_distance)


def test_every_leak_is_found_and_nothing_else(leaky):
    found = audit(leaky)
    names = {tuple(key.split("-")[0] for key in twins.keys) for twins in found.near}
    assert names == {(f"film_{seed}", f"leak_{seed}") for seed in range(len(LEAKS))}
    assert (found.num_leaks, found.exact) == (len(LEAKS), ())
    assert found.shared_captions == (("a ball crosses the picture", ("train", "val")),)
    assert audit(leaky, near_distance=0).num_leaks == 0


def test_the_command_ends_with_status_3_on_a_leak_and_names_it(leaky):
    ended = subprocess.run([BIN / "pix2gif", "audit", leaky], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 3
    assert f"near copies: 0 within a split, {len(LEAKS)} across splits" in ended.stdout
    assert "film_2-" in ended.stdout
    assert f"{len(LEAKS)} leaks between splits" in ended.stdout


def test_the_demo_has_no_leak(dataset):
    assert audit(dataset).num_leaks == 0


def test_clips_that_show_one_instant_are_told():
    samples = pa.table({"clip_key": list("aaabbbcc"), "source_index": [1, 1, 1, 1, 1, 2, 3, 3]})
    assert _find_one_instant(samples) == ("a",)


def test_a_table_without_fingerprints_and_a_torn_one_are_refused_in_a_sentence(leaky, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(leaky, out)
    path = next((out / "flow").glob("part-*.parquet"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    with pytest.raises(DatasetError, match="tells nothing of its clips"):
        audit(out)
    path.write_bytes(whole)
    part = read_part(path, method_digest(CurationConfig()))
    blind = [dataclasses.replace(one, frames_sha256="", signature="") for one in part.measurements]
    rows = pq.read_table(path)
    path.unlink()
    write_part(out / "flow", "another", blind, [rows])
    with pytest.raises(CurationError, match="curate once more"):
        audit(out)
