"""The same GIFs under the same names and captions give the same shards, whatever form their listing has."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curation.config import CurationConfig
from curation.export.dataset import find_sources, read_finished
from curation.options import RunOptions
from curation.pipeline import curate
from curation.resplit import resplit
from curation.run.progress import Progress
from shards.verification.dataset import verify_dataset
from tests.curation.helpers import run, shard_hashes
from tests.curation.listing import helpers
from tests.curation.listing.helpers import Clips

CONFIG = CurationConfig(resolution=64, min_motion=0.5, pairs_per_gif=2, val_fraction=0.2)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, list[str]]]:
    """Six drawn GIFs."""
    return helpers.draw_clips(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def expected(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Hashes of the shards of TGIF's form."""
    folder = helpers.write_folder(tmp_path_factory.mktemp("tgif"), clips)
    run(helpers.write_tgif(folder, clips), folder / "out", CONFIG)
    hashes = shard_hashes(folder / "out")
    assert hashes
    return hashes


def beside_gifs(write: Callable[[Path, Clips], Path]) -> Callable[[Path, Clips], dict[str, Any]]:
    """Return a function that writes a table, and the GIFs that it names beside it."""

    def write_all(folder: Path, clips: Clips) -> dict[str, Any]:
        helpers.write_gifs(folder, clips)
        return {"listing": write(folder, clips)}

    return write_all


def write_two_parquet_files(folder: Path, clips: Clips) -> Path:
    names = list(clips)
    for number, part in enumerate((names[:2], names[2:])):
        helpers.write_parquet(folder / f"part-{number}.parquet", {name: clips[name] for name in part})
    return folder / "part-*.parquet"


def write_tar_of_gifs(folder: Path, clips: Clips) -> Path:
    return helpers.write_tar(folder / "gifs.tar", {name: data for name, (data, _) in clips.items()})


FORMS: dict[str, Callable[[Path, Clips], dict[str, Any]]] = {
    "csv": beside_gifs(helpers.write_delimited),
    "tsv with a header": beside_gifs(lambda folder, clips: helpers.write_delimited(folder, clips, "\t")),
    "json lines": beside_gifs(helpers.write_json_lines),
    "parquet": beside_gifs(lambda folder, clips: helpers.write_parquet(folder / "listing.parquet", clips)),
    "two parquet files": beside_gifs(write_two_parquet_files),
    "parquet bytes": lambda folder, clips: {
        "listing": helpers.write_parquet_bytes(folder / "bytes.parquet", clips, row_group_size=4)
    },
    "zip": lambda folder, clips: {
        "listing": helpers.write_tgif(folder, clips),
        "gifs": helpers.write_zip(folder / "gifs.zip", clips),
    },
    "tar": lambda folder, clips: {
        "listing": helpers.write_tgif(folder, clips),
        "gifs": write_tar_of_gifs(folder, clips),
    },
    "webdataset": lambda folder, clips: {"listing": helpers.write_webdataset(folder, clips)},
    "folder": lambda folder, clips: {"listing": helpers.write_folder(folder, clips)},
    "metadata.csv": beside_gifs(
        lambda folder, clips: helpers.write_delimited(folder, clips).rename(folder / "metadata.csv").parent
    ),
    "metadata.jsonl": beside_gifs(
        lambda folder, clips: helpers.write_json_lines(folder, clips).rename(folder / "metadata.jsonl").parent
    ),
}
"""By name: write the GIFs in a form into a folder, and return the options that name it."""


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_shards(tmp_path: Path, clips: Clips, expected: dict[str, str], form: str) -> None:
    (tmp_path / "in").mkdir()
    given = FORMS[form](tmp_path / "in", clips)
    before = sorted(tmp_path.rglob("*"))
    run(out=tmp_path / "out", config=CONFIG, **given)
    assert shard_hashes(tmp_path / "out") == expected
    written = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
    assert all(path.is_relative_to(tmp_path / "out") for path in written)
    assert run(out=tmp_path / "out", config=CONFIG, **given) is None  # The same listing is recognised.


@pytest.mark.parametrize("form", ["parquet bytes", "webdataset", "zip", "folder", "metadata.csv"])
def test_resplit_finds_the_gifs_of_every_form(
    tmp_path: Path, clips: Clips, expected: dict[str, str], form: str
) -> None:
    (tmp_path / "in").mkdir()
    run(out=tmp_path / "first", config=dataclasses.replace(CONFIG, seed=7), **FORMS[form](tmp_path / "in", clips))
    finished = read_finished(tmp_path / "first")
    config = finished.config({"seed": CONFIG.seed})
    options = RunOptions(**find_sources(finished, None), out=tmp_path / "out", flow=finished.parts[0].parent, workers=0)
    resplit(finished, options, config, Progress(quiet=True))
    assert shard_hashes(tmp_path / "out") == expected


@pytest.mark.parametrize("form", ["parquet bytes", "webdataset"])
def test_resplit_takes_the_gifs_from_elsewhere(
    tmp_path: Path, clips: Clips, expected: dict[str, str], form: str
) -> None:
    (tmp_path / "in").mkdir()
    run(out=tmp_path / "first", config=CONFIG, **FORMS[form](tmp_path / "in", clips))
    shutil.rmtree(tmp_path / "in")
    finished = read_finished(tmp_path / "first")
    sources = find_sources(finished, str(helpers.write_zip(tmp_path / "gifs.zip", clips)))
    options = RunOptions(**sources, out=tmp_path / "out", flow=finished.parts[0].parent, workers=0)
    resplit(finished, options, finished.config({}), Progress(quiet=True))
    assert shard_hashes(tmp_path / "out") == expected


@pytest.mark.slow
@pytest.mark.parametrize("form", ["parquet bytes", "webdataset", "zip"])
def test_ray_workers_read_members(tmp_path: Path, clips: Clips, expected: dict[str, str], form: str) -> None:
    (tmp_path / "in").mkdir()
    options = RunOptions(out=tmp_path / "out", workers=1, **FORMS[form](tmp_path / "in", clips))
    curate(options, CONFIG, Progress(quiet=True))
    assert shard_hashes(tmp_path / "out") == expected
    verify_dataset(tmp_path / "out")
