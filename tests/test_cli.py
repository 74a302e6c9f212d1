"""The commands as a user types them: output and exit status."""

import fcntl
import os
import pty
import re
import resource
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

import cli
from curation.errors import ConfigError
from curation.options import FetchOptions, RunOptions
from shards.manifest import read_manifest

BIN = Path(sys.executable).parent


def command(*words: object, cwd: Path | None = None, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / str(words[0]), *map(str, words[1:])],
        cwd=cwd, capture_output=True, text=True, timeout=120, check=False, **options,
    )  # fmt: skip


def refused(ended: subprocess.CompletedProcess[str]) -> str:
    """Return the error of a failed command: one line on standard error, nothing else."""
    assert ended.returncode not in (0, None)
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1, ended.stderr
    return lines[0]


@pytest.fixture
def here(tmp_path, monkeypatch, capsys) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a command in this process, which saves the second of importing."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        monkeypatch.chdir(tmp_path)
        handler = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as exited:
            (cli.curate_main if words[0] == "pix2gif-curate" else cli.main)()
        signal.signal(signal.SIGTERM, handler)
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(words, exited.value.code, printed.out, printed.err)

    return run


@pytest.fixture(scope="module")
def short_listing(listing):
    """A listing of the first three GIFs: 487 pairs."""
    path = listing.parent / "short.tsv"
    path.write_text("".join(listing.read_text(encoding="utf-8").splitlines(keepends=True)[:3]), encoding="utf-8")
    return path


def test_help_lists_commands_and_options_with_defaults():
    assert {"curate", "verify"} <= set(command("pix2gif", "--help").stdout.split())
    assert command("pix2gif", "--version").stdout == f"pix2gif {metadata.version('pix2gif')}\n"
    text = command("pix2gif-curate", "--help").stdout
    assert text.replace("pix2gif-curate", "pix2gif curate", 1) == command("pix2gif", "curate", "--help").stdout
    for option in ("--out", "--gifs", "--splits", "--flow", "--workers", "--config", "--overwrite", "--quiet"):
        assert option in text
    for option, default in (("--min-motion", "2.0"), ("--max-motion", "20.0"), ("--pairs-per-gif", "10")):
        assert re.search(rf"{option} .*?\[default:\s+{re.escape(default)}\]", text, re.DOTALL)


def test_run_prints_a_summary(listing, tmp_path, here):
    ended = command("pix2gif-curate", listing, "--out", "made", "--workers", "0", cwd=tmp_path)
    assert ended.returncode == 0
    for words in ("15 rows, 14 clips", "kept", "not_a_gif", "1,920 pairs", "120 kept", "pairs/s", "report.html"):
        assert words in ended.stdout
    assert re.search(r"measure: 1,920 of 1,920 pairs \(100 %\)", ended.stderr)
    again = here("pix2gif-curate", listing, "--out", "made", "--workers", "0")
    assert again.returncode == 0
    assert "nothing to do" in again.stdout


def test_terminal_shows_progress_bars(short_listing, tmp_path):
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    words = [BIN / "pix2gif-curate", short_listing, "--out", tmp_path / "made", "--workers", "0"]
    subprocess.run(words, stderr=secondary, stdout=subprocess.DEVNULL, check=True, timeout=120)
    os.set_blocking(primary, False)
    shown = os.read(primary, 2**16).decode()
    assert re.search(r"measure\s*: *100%\|█+\| *487/487", shown)


def test_command_line_wins_over_config_file_and_quiet_prints_nothing(short_listing, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text("min_motion = 3\npairs-per-gif = 4\nworkers = 0\nquiet = true\n")
    ended = command("pix2gif-curate", short_listing, "--out", tmp_path / "a", "--config", config, "--min-motion", "4")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    kept = read_manifest(tmp_path / "a").config
    assert (kept["min_motion"], kept["pairs_per_gif"], kept["max_motion"]) == (4.0, 4, 20.0)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["missing.tsv"], r"there is no listing .*missing\.tsv"),
        (["empty.tsv"], r"empty\.tsv is empty"),
        (["folder"], r"folder has no animation"),
        (["no_tab.tsv"], r"no_tab\.tsv, line 2: no TAB"),
        (["latin.tsv"], r"latin\.tsv, line 1: not UTF-8"),
        (["good.tsv", "--min-motion", "9", "--max-motion", "3"], r"range is empty: min_motion 9 .* max_motion 3"),
        (["good.tsv", "--pairs-per-gif", "0"], r"pairs_per_gif is 0; it must be 1 or more"),
        (["good.tsv", "--balance", "flatt"], r"balance is 'flatt'; it must be flat, none, or a JSON file"),
        (["good.tsv", "--image-format", "bmp"], r"image_format is 'bmp'; it must be jpg, png or webp"),
        (["good.tsv", "--gifs", "nowhere"], r"--gifs .*nowhere is not a folder"),
        (["good.tsv", "--splits", "folder"], r"--splits .*folder holds none of train\.txt"),
        (["good.tsv", "--flow", "folder"], r"--flow .*folder holds no flow table"),
        (["good.tsv", "--config", "bad.toml"], r"unknown parameter 'min_moton'"),
        (["good.tsv", "--out", "full"], r"--out .*full holds something else"),
        (["good.tsv", "--out", "good.tsv"], r"--out .*good\.tsv is a file"),
        (["good.tsv", "--out", "good.tsv/below"], r"cannot write to --out .*below: Not a directory"),
    ],
)
def test_user_mistake_prints_one_sentence(tmp_path, here, words, sentence):
    (tmp_path / "good.tsv").write_text("a.gif\ta caption\n")
    (tmp_path / "empty.tsv").write_text("")
    (tmp_path / "no_tab.tsv").write_text("a.gif\ta caption\nb.gif a caption\n")
    (tmp_path / "latin.tsv").write_bytes("a.gif\tun café\n".encode("latin-1"))
    (tmp_path / "bad.toml").write_text("min_moton = 3\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    if "--out" not in words:
        words = [*words, "--out", "made"]
    said = refused(here("pix2gif-curate", *words, "--workers", "0"))
    assert re.search(sentence, said)
    assert not list(tmp_path.glob("made/*/*.tar"))
    assert (tmp_path / "full" / "thesis.tex").read_text() == "years of work"


def test_missing_out_is_an_error(tmp_path):
    (tmp_path / "good.tsv").write_text("a.gif\ta caption\n")
    assert "--out is missing" in refused(command("pix2gif-curate", "good.tsv", cwd=tmp_path))


def test_file_in_place_of_a_folder_prints_one_sentence(listing, tmp_path, here):
    (tmp_path / "run").write_text("not a folder")
    gif = sorted((listing.parent / "gifs").glob("texture_*.gif"))[0]
    words = ("giftune", "train", gif, "a texture", "--preset", "tiny", "--max-steps", "1")
    said = refused(here("pix2gif", *words, "--out", tmp_path / "run"))
    assert re.fullmatch(r"Error: --out .*run is a file; a folder was expected", said)
    assert (tmp_path / "run").read_text() == "not a folder"


def test_full_disk_prints_one_sentence_and_keeps_finished_work(short_listing, tmp_path, here):
    # A limit on the size of files stands in for the disk: the kernel refuses the write in the same way.
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    words = ("pix2gif-curate", short_listing, "--out", "made", "--workers", "0", "--quiet")
    said = refused(command(*words, cwd=tmp_path, preexec_fn=small_files))
    assert re.search(r"Error: file too large: .*made.*; finished work is kept", said)
    assert list((tmp_path / "made" / "flow").glob("*.parquet"))
    assert not list((tmp_path / "made").rglob("*.tmp"))
    ended = here("pix2gif-curate", short_listing, "--out", "made", "--workers", "0")
    assert ended.returncode == 0
    assert "reused from an earlier measurement" in ended.stdout


def test_verify_accepts_an_intact_and_rejects_a_damaged_dataset(dataset, tmp_path):
    ended = command("pix2gif", "verify", dataset)
    assert ended.returncode == 0
    assert "is valid: 15 rows, 1,920 measured pairs, 120 samples in 2 shards" in ended.stdout
    assert re.search("no dataset.json", refused(command("pix2gif", "verify", tmp_path)))


def test_resplit_makes_what_plan_prints(dataset, tmp_path, here):
    narrower = ("--min-motion", "3", "--max-motion", "15", "--pairs-per-gif", "4")
    told = here("pix2gif", "plan", dataset, *narrower)
    assert told.returncode == 0, told.stderr
    assert "with 48 pairs" in told.stdout
    made = command("pix2gif", "resplit", dataset, "--out", tmp_path / "made", *narrower, "--workers", "0")
    assert made.returncode == 0, made.stderr
    assert "48 kept" in made.stdout
    again = here("pix2gif", "resplit", dataset, "--out", tmp_path / "made", *narrower, "--workers", "0")
    assert "nothing to do" in again.stdout
    for sentence, words in (
        ("no dataset.json", ("plan", tmp_path)),
        ("motion range is empty", ("plan", dataset, "--min-motion", "30")),
        ("the data set itself", ("resplit", dataset, "--out", dataset)),
    ):
        assert sentence in refused(here("pix2gif", *words))


def test_flow_prints_csv_or_draws_a_heat_map(listing, tmp_path, here):
    gif = listing.parent / "gifs" / "texture_000.gif"
    printed = command("pix2gif", "flow", gif).stdout
    assert printed.splitlines()[0] == "source_index,target_index,gap_ms,motion_px,tracked_fraction,across_cut"
    for name in ("map.png", "map.csv"):
        assert "pairs of" in here("pix2gif", "flow", gif, "--out", name).stdout
    assert (tmp_path / "map.csv").read_text() == printed
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    page = gif.with_name("gone.gif")
    for sentence, words in (("must end in .csv", (gif, "--out", "map.bmp")), ("an HTML page", (page,))):
        assert sentence in refused(here("pix2gif", "flow", *words))


def test_closed_standard_error_loses_no_message(dataset, tmp_path):
    def run(*words):
        shell = ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", BIN / "pix2gif", *words]
        return subprocess.run(shell, stdout=subprocess.PIPE, text=True, timeout=60, check=False)

    failed, succeeded = run("verify", tmp_path), run("verify", dataset)
    assert (failed.returncode, failed.stdout) == (1, f"Error: {tmp_path}: no dataset.json, so no finished data set\n")
    assert (succeeded.returncode, "is valid" in succeeded.stdout) == (0, True)


def test_name_that_is_too_long_prints_one_sentence(tmp_path):
    said = refused(command("pix2gif", "retry", "n" * 300, cwd=tmp_path))
    assert said.startswith("Error: file name too long: ")


@pytest.mark.parametrize("name", ["listing", "out", "gifs", "splits", "flow"])
def test_unknown_user_in_a_path_is_named(name):
    options = {"listing": "listing.tsv", "out": "out", name: "~nosuchuser/x"}
    with pytest.raises(ConfigError, match=rf"^{name} is ~nosuchuser/x; there is no home folder of ~nosuchuser$"):
        RunOptions(**options)
    with pytest.raises(ConfigError, match=r"^cache is ~nosuchuser/x"):
        FetchOptions(cache="~nosuchuser/x")
