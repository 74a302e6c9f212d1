"""An invalid parameter raises ConfigError with its name, its value and what is allowed."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from curation.commands.curate import CurateOptions
from curation.config import SOURCE_SIZE, CurationConfig
from curation.config_checks import read_config_file
from curation.errors import ConfigError
from curation.options import RunOptions

NAMES = {field.name for field in dataclasses.fields(CurationConfig)}

INVALID: list[tuple[str, Any, str]] = [
    ("resolution", 15, "16 to 4096"),
    ("resolution", -1, "16 to 4096"),
    ("resolution", 4097, "16 to 4096"),
    ("resolution", 256.0, "a whole number"),
    ("resolution", True, "a whole number"),
    ("min_motion", -0.1, "from 0 to 10000 pixels"),
    ("min_motion", float("nan"), "from 0 to 10000 pixels"),
    ("min_motion", "2", "a number"),
    ("max_motion", 2.0, "min_motion 2 must be less than max_motion 2"),
    ("max_motion", float("nan"), "from 0 to 10000 pixels"),
    ("max_motion", None, "a number"),
    ("pairs_per_gif", 0, "1 or more"),
    ("min_pairs", 0, "1 or more"),
    ("samples_per_shard", 0, "1 or more"),
    ("max_bytes", 0, "1 or more"),
    ("max_pixels", 0, "1 or more"),
    ("limit", 0, "1 or more"),
    ("max_frames", 1, "from 2 to 10000"),
    ("max_frames", 10_001, "from 2 to 10000"),
    ("val_fraction", 1.01, "from 0 to 1"),
    ("val_fraction", -0.01, "from 0 to 1"),
    ("seed", -1, "0 to 2^63 - 1"),
    ("seed", 2**63, "0 to 2^63 - 1"),
    ("seed", 0.5, "a whole number"),
    ("image_format", "gif", "jpg, png or webp"),
    ("image_format", 3, "jpg, png or webp"),
    ("quality", 0, "from 1 to 100"),
    ("quality", 101, "from 1 to 100"),
    ("drop_cuts", 1, "true or false"),
    ("near_distance", 17, "from 0 to 16 bits"),
    ("clip_timeout", 0.0, "more than 0 seconds"),
    ("clip_memory", 0.0, "more than 0 GiB"),
    ("fps", 0.0, "more than 0 frames per second"),
    ("fps", 1001.0, "up to 1,000"),
    ("robots", 1, "true or false"),
    ("ignore_opt_outs", "no", "true or false"),
    ("keep_credentials", 1, "true or false"),
    ("balance", "round", "flat, none"),
    ("uri_column", 1, "a string"),
    ("caption_column", ["text"], "a string"),
    ("keep_columns", ["a", "a"], "a list of different names"),
    ("gifs_by", "column:", "name, path, url-sha256 or column:NAME"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), INVALID)
def test_invalid_value_raises_with_name_value_and_what_is_allowed(name: str, value: Any, allowed: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(allowed)) as error:
        CurationConfig(**{name: value})
    message = str(error.value)
    assert name in message.split()
    assert repr(value).removesuffix(".0") in message


def test_every_parameter_has_an_invalid_value_in_this_test() -> None:
    assert {name for name, _, _ in INVALID} == NAMES


def test_infinite_max_motion_is_reported_as_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"max_motion.*inf") as error:
        CurationConfig(max_motion=float("inf"))
    assert "2 must be less than max_motion inf" not in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        {"resolution": SOURCE_SIZE},
        {"resolution": 16},
        {"resolution": 4096},
        {"min_motion": 0, "max_motion": 1},
        {"val_fraction": 0},
        {"val_fraction": 1},
        {"seed": 2**63 - 1},
        {"image_format": "png", "quality": 1},
        {"image_format": "webp", "quality": 100},
        {"max_frames": 2},
    ],
)
def test_limits_are_inclusive(values: dict[str, Any]) -> None:
    config = CurationConfig(**values)
    assert {name: getattr(config, name) for name in values} == values


def test_defaults_are_those_of_the_paper() -> None:
    config = CurationConfig()
    assert (config.resolution, config.min_motion, config.max_motion, config.pairs_per_gif) == (256, 2, 20, 10)


def test_config_file_accepts_dashes_and_underscores(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('# ours\nmin_motion = 3\npairs-per-gif = 5\nimage-format = "png"\n')
    values = read_config_file(path, NAMES)
    assert values == {"min_motion": 3, "pairs_per_gif": 5, "image_format": "png"}
    # An option overrides the file, and the file overrides the default.
    config = CurationConfig(**(values | {"pairs_per_gif": 7}))
    assert (config.min_motion, config.pairs_per_gif, config.quality) == (3, 7, 95)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"min_motoin = 2\n", "unknown parameter 'min_motoin'; choose from .*min_motion"),
        (b"[curation]\nseed = 1\n", "unknown parameter 'curation'"),
        (b"seed = \n", "is not valid TOML"),
        (b'image_format = "\xff"\n', "is not valid TOML"),
        (b"seed = " + b"[" * 100_000, "is not valid TOML"),
        (b"min_motion = 3\nmin-motion = 4\n", "min_motion is set twice"),
    ],
    ids=["unknown key", "table", "no value", "not UTF-8", "deep nesting", "twice"],
)
def test_invalid_config_file_raises_config_error(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "run.toml").write_bytes(text)
    with pytest.raises(ConfigError, match=rf"run\.toml.*{message}"):
        read_config_file(tmp_path / "run.toml", NAMES)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('overwrite = "no"', "overwrite is 'no'; it must be true or false"),
        ('quiet = "no"', "quiet is 'no'; it must be true or false"),
        ('workers = "x"', "workers is 'x'; it must be a whole number"),
        ("workers = true", "workers is True; it must be a whole number"),
        ("workers = 1.5", "workers is 1.5; it must be a whole number"),
        ("out = 5", "out is 5; it must be a path"),
        ('out = ""', "out is ''; it must be a path"),
        ("gifs = [1]", r"gifs is \[1\]; it must be a path"),
        ("splits = 2020-01-01", r"splits is .*; it must be a path"),
        ("flow = false", "flow is False; it must be a path"),
        ("ray_address = 6379", "ray_address is 6379; it must be a string"),
        ("cache = 1", "cache is 1; it must be a string"),
        ("check_sources = 1", "check_sources is 1; it must be true or false"),
        ("balance = 1", "balance is 1; it must be a string"),
        ("image_format = 1", "image_format is 1; it must be jpg, png or webp"),
    ],
)
def test_options_of_another_type_raise_config_error(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "run.toml").write_text(line)
    options = CurateOptions(out=None if line.startswith("out") else "out", config=tmp_path / "run.toml")
    with pytest.raises(ConfigError, match=message):
        options.resolve("listing.tsv")


@pytest.mark.parametrize("name", ["gone.toml", "."])
def test_config_file_that_cannot_be_read_raises_config_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot read the config file"):
        read_config_file(tmp_path / name, NAMES)


def test_run_options_make_paths_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    options = RunOptions(listing=Path("a.tsv"), out=Path("~/out"), gifs=Path("gifs"))
    assert (options.listing, options.out) == (tmp_path / "a.tsv", tmp_path / "home/out")
    assert (options.gifs, options.flow) == (tmp_path / "gifs", None)


def test_negative_number_of_workers_raises_config_error() -> None:
    with pytest.raises(ConfigError, match="workers is -1; it must be 0 or more"):
        RunOptions(listing=Path("a"), out=Path("b"), workers=-1)
