"""`pix2gif generate` in a process of its own."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from training.errors import TrainingError
from training.generation.generate import load_generator


def test_generate_writes_gif_sheet_and_record(model, cat, tmp_path, fork_command):
    out = tmp_path / "cat.gif"
    words = ["--sheet", tmp_path / "sheet.png", "--frames", 3, "--steps", 1, "--size", "128"]
    result = fork_command("generate", cat, "a cat dancing", "--model", model, "--out", out, *words).wait()
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("1 generated, on ")
    assert json.loads((tmp_path / "cat.json").read_text())["recipe"]["settings"]["motion_px"] == [2, 10, 19]
    with Image.open(out) as gif:
        assert (gif.n_frames, gif.size) == (3, (170, 128))
    assert (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--motion", "2,x"], "is not a list of numbers"),
        (["--motion", "2", "--frames", "3"], "--motion and --frames exclude each other; name one of them\n"),
        (["--size", "100", "--fit", "crop"], "size is 100; it must be"),
        (["--scheduler", "ddim"], "scheduler is ddim; it must be one of euler-a, dpm++, lcm\n"),
    ],
)
def test_invalid_options_give_a_one_line_error(cat, tmp_path, fork_command, arguments, message):
    words = ["--model", tmp_path, "--out", tmp_path / "cat.gif", *arguments]
    result = fork_command("generate", cat, "a cat", *words).wait()
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model_index.json", "[" * 100_000, "does not name a variant of Pix2Gif"),
        ("text_encoder/config.json", '{"hidden_size": "x"}', "no text model can be loaded from"),
    ],
)
def test_odd_content_of_a_model_folder_raises_one_error(model, tmp_path, file, content, message):
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    (folder / file).write_text(content)
    with pytest.raises(TrainingError, match=message):
        load_generator(str(folder), "cpu")
