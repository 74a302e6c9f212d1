"""Options of fetching: validation, precedence of file and command line, error messages."""

import subprocess
import sys
from pathlib import Path

import pytest

from curation.errors import ConfigError
from curation.options import FetchOptions, RunOptions

BAD = [
    ("cache", 3, "a string"),
    ("max_cache_bytes", -1, "0 or more"),
    ("allow_host", "one.example", "a list of hosts"),
    ("allow_host", ("http://one.example",), "HOST or HOST:PORT"),
    ("allow_host", (8080,), "a string"),
    ("max_fetches", 0, "from 1 to 4096"),
    ("max_fetches", 2.5, "a whole number"),
    ("fetches_per_host", 0, "1 or more"),
    ("rate_per_host", -0.1, "0 or more"),
    ("rate_per_host", float("nan"), "0 or more"),
    ("rate_per_host", "fast", "a number"),
    ("fetch_timeout", 0, "more than 0 seconds"),
    ("fetch_timeout", float("inf"), "more than 0 seconds"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), BAD)
def test_invalid_value_is_refused_by_name(name: str, value: object, allowed: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is .*it must be .*{allowed}"):
        FetchOptions(**{name: value})


def test_every_option_has_an_invalid_value_here() -> None:
    assert {name for name, _, _ in BAD} == set(FetchOptions.__dataclass_fields__)


def test_listing_is_a_path_or_a_url(tmp_path: Path) -> None:
    def listing(given: Path | str) -> Path | str:
        return RunOptions(listing=given, out=tmp_path).listing

    assert listing("a.tsv") == Path("a.tsv").absolute()
    assert listing(f"file://{tmp_path}/a.tsv") == tmp_path / "a.tsv"
    assert listing("s3://bucket/a.tsv") == "s3://bucket/a.tsv"
    assert RunOptions(listing="https://host/x/a.tsv?signed=/by#me", out=tmp_path).listing_name == "a.tsv"


def test_cache_is_a_folder_or_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert FetchOptions(cache="cache").cache == str(tmp_path / "cache")
    assert FetchOptions(cache="s3://bucket/cache").cache == "s3://bucket/cache"


def test_command_line_overrides_config_file(web_server, tmp_path: Path) -> None:
    web_server.pages["/a.gif"] = b"<html>gone</html>"
    (tmp_path / "listing.tsv").write_text(f"{web_server.url}/a.gif\ta caption\n")
    (tmp_path / "run.toml").write_text(f'allow_host = ["{web_server.name}"]\ncache = "from-file"\nmax-fetches = 3\n')
    command = [Path(sys.executable).parent / "pix2gif-curate", "listing.tsv", "--workers", "0", "--out"]

    def run(*words: str) -> str:
        ended = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        return ended.stdout + ended.stderr

    assert "not_a_gif" in run("one", "--config", "run.toml")
    assert (tmp_path / "from-file" / "objects").is_dir()
    assert "reserved address" in run("two", "--config", "run.toml", "--allow-host", "other", "--cache", "from-line")
    assert "not_a_gif" in run("three", "--allow-host", "other", "--allow-host", web_server.name, "--cache", "from-file")
    assert web_server.paths() == ["/a.gif"]
    output = run("four", "--allow-host", "http://host")
    assert output.startswith("Error: allow_host is 'http://host'; it must be")
    assert output.count("\n") == 1
