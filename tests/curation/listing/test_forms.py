"""The same GIFs under the same names and captions give the same shards, whatever form their listing has."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.commands.curate import CurateOptions
from curation.config import CurationConfig
from curation.errors import ListingError, OutputError
from curation.export.dataset import find_sources, read_finished
from curation.options import RunOptions
from curation.pipeline import curate
from curation.resplit import resplit
from curation.retry import retry
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


def test_kept_columns_stay_with_the_data(tmp_path: Path, clips: Clips) -> None:
    helpers.write_gifs(tmp_path, clips)
    listing = helpers.write_delimited(tmp_path, clips, licence="CC0", source="https://user:secret@h/page?token=x")
    run(listing, tmp_path / "out", dataclasses.replace(CONFIG, keep_columns=("licence", "source")))
    table = pq.read_table(tmp_path / "out" / "clips.parquet")
    assert table.column_names[-2:] == ["licence", "source"]
    assert set(table["licence"].to_pylist()) == {"CC0"}
    assert set(table["source"].to_pylist()) == {"https://REDACTED@h/page?token=REDACTED"}
    verify_dataset(tmp_path / "out")
    with pytest.raises(OutputError, match=r"keep_columns .* there, None now"):
        run(listing, tmp_path / "out", CONFIG)
    finished = read_finished(tmp_path / "out")
    options = RunOptions(
        **find_sources(finished, None), out=tmp_path / "again", flow=finished.parts[0].parent, workers=0
    )
    resplit(finished, options, finished.config({"seed": 1}), Progress(quiet=True))
    assert pq.read_table(tmp_path / "again" / "clips.parquet")["licence"].equals(table["licence"])


def test_columns_of_parquet_and_of_json_members_are_kept(tmp_path: Path, clips: Clips) -> None:
    table = pa.table({"image": [data for data, _ in clips.values()], "text": ["x"] * len(clips)})
    table = table.append_column("likes", pa.array(range(len(clips)), pa.int16()))
    pq.write_table(table, tmp_path / "likes.parquet")
    rows = helpers.read(tmp_path, tmp_path / "likes.parquet", keep_columns="likes").rows
    assert (rows["likes"].type, rows["likes"].to_pylist()) == (pa.int16(), list(range(len(clips))))
    rows = helpers.read(tmp_path, helpers.write_webdataset(tmp_path, clips), keep_columns="licence").rows
    assert rows["licence"].to_pylist() == [None] * 4 + ["CC0"] * 3


@pytest.mark.parametrize("name", ["place", "uri", "clip_key"])
def test_a_column_to_keep_may_not_have_the_name_of_one_of_ours(tmp_path: Path, clips: Clips, name: str) -> None:
    for listing in (helpers.write_webdataset(tmp_path, clips), helpers.write_tgif(tmp_path, clips)):
        with pytest.raises(ListingError, match=f"--keep-columns {name}: clips.parquet has a column of its own"):
            helpers.read(tmp_path, listing, keep_columns=name)


def test_retry_finds_a_member_that_was_missing(tmp_path: Path, clips: Clips, expected: dict[str, str]) -> None:
    listing, names = helpers.write_tgif(tmp_path, clips), list(clips)
    gifs = helpers.write_zip(tmp_path / "gifs.zip", {name: clips[name] for name in names[1:]})
    run(listing, tmp_path / "out", CONFIG, gifs=gifs)
    failed = pq.read_table(tmp_path / "out" / "clips.parquet").to_pylist()[0]
    assert (failed["verdict"], failed["detail"]) == (
        "fetch_failed",
        f"no file of --gifs {gifs} has the name clip_0.gif",
    )
    helpers.write_zip(gifs, clips)
    retry(tmp_path / "out", workers=None, progress=Progress(quiet=True))
    assert shard_hashes(tmp_path / "out") == expected


def test_out_may_be_in_the_folder_that_is_listed(tmp_path: Path, clips: Clips, expected: dict[str, str]) -> None:
    helpers.write_folder(tmp_path, clips)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.gif").write_bytes(b"no clip")
    run(tmp_path, tmp_path / "out", CONFIG)
    assert shard_hashes(tmp_path / "out") == expected
    (tmp_path / "out" / "quarantine").mkdir()
    (tmp_path / "out" / "quarantine" / "a.gif").write_bytes(b"no clip either")
    assert run(tmp_path, tmp_path / "out", CONFIG) is None


def test_a_changed_listing_is_another_one(tmp_path: Path, clips: Clips) -> None:
    pattern = helpers.write_webdataset(tmp_path, clips)
    run(pattern, tmp_path / "out", CONFIG)
    helpers.write_webdataset(tmp_path, {name: (data, ["another"]) for name, (data, _) in clips.items()})
    with pytest.raises(OutputError, match="another listing"):
        run(pattern, tmp_path / "out", CONFIG)
    finished = read_finished(tmp_path / "out")
    options = RunOptions(**find_sources(finished, None), out=tmp_path / "again", workers=0)
    with pytest.raises(ListingError, match="has changed since the data set was made; name the GIFs by --gifs"):
        resplit(finished, options, finished.config({"seed": 1}), Progress(quiet=True))


def test_changed_members_are_noticed(tmp_path: Path, clips: Clips) -> None:
    listing, gifs = helpers.write_tgif(tmp_path, clips), helpers.write_zip(tmp_path / "gifs.zip", clips)
    run(listing, tmp_path / "out", CONFIG, gifs=gifs)
    assert run(listing, tmp_path / "out", CONFIG, gifs=gifs, check_sources=True) is None
    first, second = list(clips)[:2]
    helpers.write_zip(gifs, {**clips, first: clips[second]})
    with pytest.raises(OutputError, match=r"member 0 of .*gifs\.zip changed after the data set"):
        run(listing, tmp_path / "out", CONFIG, gifs=gifs, check_sources=True)


def test_the_command_and_the_config_file_take_the_options(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('keep-columns = ["licence"]\ngifs_by = "path"\nout = "out"\n')
    options = CurateOptions(config=tmp_path / "run.toml", gifs="a*.zip", uri_column="link", keep_columns="a, b")
    config, run_options = options.resolve("listing.csv")
    assert (config.keep_columns, config.gifs_by, config.uri_column) == (("a", "b"), "path", "link")
    assert run_options.gifs == Path("a*.zip").absolute()
    config, _ = CurateOptions(config=tmp_path / "run.toml").resolve("listing.csv")
    assert config.keep_columns == ("licence",)
