"""The commands whose operations fail: what each starts from, its command line, the files that it determines."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

from curation.config import CurationConfig
from examples.draw_gifs import DrawnGif, draw_frames, save_gif
from tests.curation.helpers import run

_CONFIG = CurationConfig(resolution=64, pairs_per_gif=3, samples_per_shard=4)
_CURATE = ["--workers", "0", "--quiet"]
_CONFIG_OPTIONS = ["--resolution", "64", "--pairs-per-gif", "3", "--samples-per-shard", "4"]


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that writes to a folder."""

    words: Callable[[str, str], list[str]]
    """From the folder of inputs and OUT to the command line."""
    determined: tuple[str, ...]
    """Patterns of the files whose bytes a run determines."""
    start: Callable[[Path, Path], None] = lambda inputs, out: None
    """Write what OUT holds when the command starts."""
    resolution: int = 64
    """Of the data set that it reads."""


def make_inputs(inputs: Path, resolution: int) -> None:
    """Draw three small GIFs and their listing, and make a data set of them."""
    inputs.mkdir()
    rows = []
    for seed in range(3):
        drawn = DrawnGif(name="", caption="", width=64, height=64, num_frames=4, dx=3.0, seed=seed)
        save_gif(inputs / f"{seed}.gif", draw_frames(drawn))
        rows.append(f"{seed}.gif\tcaption {seed}\n")
    (inputs / "listing.tsv").write_text("".join(rows))
    run(inputs / "listing.tsv", inputs / "dataset", dataclasses.replace(_CONFIG, resolution=resolution))
    (inputs / "train.toml").write_text("perceptual_weight = 0\n")


def _start_with_missing_gif(inputs: Path, out: Path) -> None:
    """Make a data set while a GIF is missing, which the retry finds."""
    gif, hidden = inputs / "1.gif", inputs / "1.hidden"
    shutil.move(gif, hidden)
    run(inputs / "listing.tsv", out, _CONFIG)
    shutil.move(hidden, gif)


_DATA_SET = ("*/*.tar", "flow/*", "clips.parquet")
_TINY = ["--preset", "tiny"]
COMMANDS = {
    "curate": Command(
        lambda inputs, out: ["curate", f"{inputs}/listing.tsv", "--out", out, *_CURATE, *_CONFIG_OPTIONS],
        _DATA_SET,
    ),
    "store": Command(
        lambda inputs, out: ["curate", f"{inputs}/listing.tsv", "--out", out, *_CURATE, *_CONFIG_OPTIONS],
        _DATA_SET,
    ),
    "resplit": Command(
        lambda inputs, out: ["resplit", f"{inputs}/dataset", "--out", out, *_CURATE, "--min-motion", "3"],
        _DATA_SET,
    ),
    "retry": Command(lambda inputs, out: ["retry", out, *_CURATE], _DATA_SET, _start_with_missing_gif),
    "encode": Command(
        lambda inputs, out: ["encode", f"{inputs}/dataset", "--out", out, "--workers", "0", *_TINY],
        ("*/*.arrow", "*.json"),
    ),
    "train": Command(
        lambda inputs, out: [
            "train", f"{inputs}/dataset", "--out", out, *_TINY, "--max-steps", "2", "--checkpoint-every", "1",
            "--num-workers", "0", "--validate-every", "0", "--global-batch", "2", "--micro-batch", "2", "--config",
            f"{inputs}/train.toml",
        ],
        ("checkpoints/*/*.safetensors", "model/*.safetensors", "model/*/*.safetensors"),
        resolution=128,
    ),
}  # fmt: skip
