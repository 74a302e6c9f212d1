"""The command as a user runs it."""

import os
import subprocess
import sys

import pytest
from PIL import Image

COMMAND = (
    "import cli; from training.commands.generate import generate; cli.app.command('generate')(generate); cli.main()"
)


def run(*words):
    return subprocess.run(
        [sys.executable, "-c", COMMAND, "generate", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_gif_a_sheet_and_a_record(model, cat, tmp_path):
    out = tmp_path / "cat.gif"
    ended = run(cat, "a cat dancing", "--model", model, "--out", out, "--sheet", tmp_path / "why.png",
                "--motion", "2,19,30", "--steps", 1, "--size", "64")  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("1 made, on ")
    assert "Note: the motion 30 lies outside" in ended.stderr
    with Image.open(out) as gif:
        assert (gif.n_frames, gif.size) == (3, (96, 64))
    assert (tmp_path / "cat.json").exists()
    assert (tmp_path / "why.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--motion", "2,x"], "is no list of numbers"),
        (["--motion", "2", "--frames", "3"], "--motion and --frames exclude each other; name one of them\n"),
        (["--size", "100"], "size is 100; it must be"),
    ],
)
def test_bad_input_is_one_sentence(cat, tmp_path, words, message):
    ended = run(cat, "a cat", "--model", tmp_path, "--out", tmp_path / "cat.gif", *words)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: ")
    assert ended.stderr.count("\n") == 1
    assert message in ended.stderr
