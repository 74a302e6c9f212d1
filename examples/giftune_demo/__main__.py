"""Train a small text-to-image model on a drawn world, tune it on one drawn GIF, and measure the results.

    python -m examples.giftune_demo --out giftune-demo/ [--preset demo|smoke] [--seed 0] [--seeds 3]

The image model and the depth model are small models of diffusers and transformers, trained here on drawn images. All
else is done by `pix2gif giftune`; its commands are printed. Run the same command again to continue a stopped run.
"""

import argparse
import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

from examples.giftune_demo.presets import EXAMPLE_VARIANT, PRESETS, PROMPTS, VARIANTS, Preset
from examples.giftune_demo.world import GIF, WORLD, draw_pictures
from examples.steps import call, make_command, run_steps, write_text
from examples.toy_world.draw import draw_frames, save_gif


class Demo:
    """One run of the demo in a folder. Its steps are the methods named in STEPS, in that order."""

    STEPS = ("draw", "image_model", "depth_model", "tune", "invert", "sample", "compare")

    def __init__(self, out: Path, preset: Preset, seed: int, call: Callable[..., None] = call) -> None:
        """Choose the folders. Nothing is written yet. `call` runs the project's commands."""
        self.out, self.preset, self.seed, self.call = out, preset, seed, call
        self.gif, self.model, self.depth, self.config = (
            out / GIF.name, out / "image-model", out / "depth-model", out / "tune.toml"
        )  # fmt: skip

    def go(self) -> Path:
        """Run every step that is not done yet and write the report; return its path."""
        import torch

        from training.runtime.libraries import silence_libraries

        silence_libraries()
        # For models this small, synchronizing two cores at every layer costs more than the second core gains.
        torch.set_num_threads(1)
        chosen = {"preset": repr(self.preset), "seed": self.seed}
        seconds = run_steps(self.out, chosen, {name: getattr(self, name) for name in self.STEPS})
        from examples.giftune_demo.report import write_report

        return write_report(self.out, self.preset, seconds)

    def draw(self) -> None:
        """Draw the GIF and write the tuning config."""
        self.out.mkdir(parents=True, exist_ok=True)
        save_gif(self.gif, draw_frames(WORLD, GIF))
        write_text(self.config, self.preset.tuning_toml(str(self.model.absolute()), str(self.depth.absolute())))

    def image_model(self) -> None:
        """Train autoencoder and U-Net on single images with captions, not on GIFs."""
        from examples.giftune_demo.image_model import make_image_model

        plan = self.preset.image_model
        make_image_model(self.model, draw_pictures(plan.num_pictures, self.seed), plan, self.seed, print)

    def depth_model(self) -> None:
        """Train the depth model on the same images."""
        from examples.giftune_demo.depth_model import make_depth_model

        pictures = draw_pictures(self.preset.image_model.num_pictures, self.seed)
        make_depth_model(self.depth, pictures, self.preset.depth, self.seed, print)

    def tune(self) -> None:
        """Tune with `pix2gif giftune train`: every variant with every seed, as many in parallel as there are cores."""
        commands = []
        for (name, seed), folder in self.runs().items():
            weights = VARIANTS[name]
            options = {"--preset": "tiny", "--config": self.config, "--seed": seed,
                       "--background-weight": weights.background, "--consistency-weight": weights.consistency,
                       "--consistency": weights.form, "--out": folder}  # fmt: skip
            commands.append(make_command("pix2gif", "giftune", "train", self.gif, GIF.caption, **options))
        cores = len(os.sched_getaffinity(0))
        for first in range(0, len(commands), cores):
            self.call(*commands[first : first + cores], threads=1)

    def invert(self) -> None:
        """Invert the GIF with `pix2gif giftune invert`, with the model of `example_run`."""
        self.call(make_command("pix2gif", "giftune", "invert", self.example_run))

    def sample(self) -> None:
        """Sample every prompt with `pix2gif giftune sample`, with the model of `example_run`."""
        for name, prompt in PROMPTS.items():
            options = {"--guidance": 1} if prompt == GIF.caption else {}
            options["--out"] = self.out / "samples" / f"{name.replace(' ', '-')}.gif"
            self.call(make_command("pix2gif", "giftune", "sample", self.example_run, prompt, **options))

    def compare(self) -> None:
        """Sample every prompt with the model of every run, and measure the frames."""
        from examples.giftune_demo.compare import compare_runs

        figures = compare_runs(self.runs(), self.model, self.depth, self.out / "frames", self.seed)
        write_text(self.out / "figures.json", json.dumps(figures, indent=2) + "\n")

    def runs(self) -> dict[tuple[str, int], Path]:
        """Return the folder of each tuning run, by variant and seed."""
        return {
            (name, seed): self.out / "runs" / f"{name.replace(' ', '-')}-{seed}"
            for name in self.preset.variants
            for seed in range(self.preset.num_seeds)
        }

    @property
    def example_run(self) -> Path:
        """The folder of the run that the commands invert and sample."""
        return self.runs()[EXAMPLE_VARIANT, 0]


def main() -> None:
    """Run the demo with the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.giftune_demo",
        description="Train a small text-to-image model on a drawn world, tune it on one drawn GIF, and measure.",
        epilog="Example: python -m examples.giftune_demo --out giftune-demo/",
    )
    parser.add_argument("--out", type=Path, required=True, help="The folder for all files.")
    sizes = "demo: about 20 minutes on 2 cores; smoke: seconds, to test every step."
    parser.add_argument("--preset", choices=sorted(PRESETS), default="demo", help=sizes)
    parser.add_argument("--seed", type=int, default=0, help="Seed of the two models and their images.")
    parser.add_argument("--seeds", type=int, help="Tuning runs of each variant.  [default: the preset's]")
    args = parser.parse_args()
    preset = PRESETS[args.preset]()
    if args.seeds is not None:
        if args.seeds < 1:
            parser.error(f"--seeds is {args.seeds}; it must be 1 or more")
        preset = dataclasses.replace(preset, num_seeds=args.seeds)
    page = Demo(args.out, preset, args.seed).go()
    print(f"The result page is {page}")


if __name__ == "__main__":
    main()
