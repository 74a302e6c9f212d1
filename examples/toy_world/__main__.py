"""Draw a toy world, curate it, train small models on it, and measure whether their frames move as requested.

    python -m examples.toy_world --out toy/ [--preset toy|gpu|smoke] [--seed 0]

Curation, training, generation and measuring are done by the project's commands, which are printed as they run. Only the
autoencoder is trained here. Run the same command again to continue a stopped run.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

from examples.steps import call, make_command, run_steps, write_text
from examples.toy_world.draw import draw_world
from examples.toy_world.presets import PRESETS, VARIANTS, Preset


class Run:
    """One run of the example in a folder. Its steps are the methods named in STEPS, in that order."""

    STEPS = ("draw", "curate", "autoencoder", "encode", "train", "generate")
    MODELS: tuple[str, ...] = VARIANTS
    """Names of the trained models."""

    def __init__(self, out: Path, preset: Preset, seed: int) -> None:
        """Choose the folders. Nothing is written yet."""
        self.out, self.preset, self.seed = out, preset, seed
        self.drawn, self.shards, self.latents = out / "drawn", out / "shards", out / "latents"
        self.weights, self.table, self.config = out / "stable-diffusion", out / "table2", out / "toy.toml"

    def go(self) -> Path:
        """Run every step that is not done yet and write the report; return its path."""
        chosen = {"preset": repr(self.preset), "seed": self.seed}
        seconds = run_steps(self.out, chosen, {name: getattr(self, name) for name in self.STEPS})
        from examples.toy_world.report import write_report

        return write_report(self.out, self.preset, self.MODELS, seconds)

    def draw(self) -> None:
        """Draw the GIFs, the listing and the split lists."""
        draw_world(self.drawn, self.preset.world, self.preset.num_train, self.preset.num_val, self.seed)

    def curate(self) -> None:
        """Curate the GIFs with `pix2gif-curate`."""
        preset = self.preset
        min_motion, max_motion = preset.motion_px
        options = {"--splits": self.drawn / "splits", "--resolution": preset.world.side, "--min-motion": min_motion,
                   "--max-motion": max_motion, "--pairs-per-gif": preset.pairs_per_gif, "--image-format": "png",
                   "--seed": self.seed, "--out": self.shards}  # fmt: skip
        call(make_command("pix2gif-curate", self.drawn / "listing.tsv", "--quiet", **options))

    def autoencoder(self) -> None:
        """Train the autoencoder and write the folder that replaces Stable Diffusion."""
        from examples.toy_world import autoencoder
        from examples.toy_world.weights import write_stable_diffusion
        from training.evaluation.inputs.val_pairs import draw_pairs

        preset = self.preset
        pictures = autoencoder.read_pictures(self.shards / "train", preset.pictures)
        vae = autoencoder.train_autoencoder(pictures, preset.autoencoder, self.seed, print)
        about = {
            "psnr_db": autoencoder.measure_psnr(vae, autoencoder.read_pictures(self.shards / "val")),
            "motion_pearson": autoencoder.measure_motion_kept(
                vae, draw_pairs(self.shards, preset.num_clips, self.seed)
            ),
        }
        shutil.rmtree(self.weights, ignore_errors=True)
        write_stable_diffusion(self.weights, vae, preset.denoiser, self.seed)
        write_text(self.weights / "about.json", json.dumps(about))

    def encode(self) -> None:
        """Encode the images with `pix2gif encode`, so that every variant trains on latents."""
        self._write_config()
        options = {"--preset": "tiny", "--config": self.config, "--pretrained": self.weights, "--batch": 64,
                   "--out": self.latents}  # fmt: skip
        call(make_command("pix2gif", "encode", self.shards, **options))

    def train(self) -> None:
        """Train the variants with `pix2gif train`: in parallel on a CPU, one after another on a GPU."""
        import torch

        self._write_config()
        commands = [
            make_command("pix2gif", "train", self.latents, **{"--preset": "tiny", "--config": self.config,
                     "--pretrained": self.weights, "--out": self.run_folder(model), **self.choose_options(model)})
            for model in self.MODELS
        ]  # fmt: skip
        if torch.cuda.is_available():
            for command in commands:
                call(command)
        else:
            # For models this small, synchronizing two cores at every layer costs more than the second core gains.
            call(*commands, threads=max(1, len(os.sched_getaffinity(0)) // len(commands)))

    def generate(self) -> None:
        """Generate frames of held-out clips and measure their motion with `pix2gif evaluate table2`."""
        preset = self.preset
        models = [f"--model={model}={self.run_folder(model) / 'model'}" for model in self.MODELS]
        options = {"--motion": ",".join(map(str, preset.requested_px)), "--num-pairs": preset.num_clips,
                   "--image-guidance": preset.image_guidance, "--text-guidance": preset.text_guidance,
                   "--steps": preset.sampling_steps, "--seed": self.seed, "--noise": "shared",
                   "--out": self.table}  # fmt: skip
        call(make_command("pix2gif", "evaluate", "table2", self.shards, *models, **options))

    def _write_config(self) -> None:
        write_text(self.config, self.preset.training_toml())

    def choose_options(self, model: str) -> dict[str, object]:
        """Return what the training of a model has of its own: its variant."""
        return {"--variant": model}

    def run_folder(self, model: str) -> Path:
        """Return the folder of a model's training run."""
        return self.out / f"run-{model}"


def main() -> None:
    """Run the example with the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.toy_world",
        description="Draw a toy world, curate it, train small models on it, and measure the motion of their frames.",
        epilog="Example: python -m examples.toy_world --out toy/",
    )
    parser.add_argument("--out", type=Path, required=True, help="The folder for all files.")
    sizes = "toy: half an hour on 2 cores; gpu: larger; smoke: seconds, to test every step."
    parser.add_argument("--preset", choices=sorted(PRESETS), default="toy", help=sizes)
    parser.add_argument("--seed", type=int, default=0, help="Seed of all random choices.")
    args = parser.parse_args()
    page = Run(args.out, PRESETS[args.preset](), args.seed).go()
    print(f"The result page is {page}")


if __name__ == "__main__":
    main()
