"""Whether the warping module works in the toy world: `full` as shipped and with a flow warm-up.

    python -m benchmarks.warp_study --out study/ [--preset toy|smoke] [--seed 0] [--clips 24]

Trains both in the steps of `examples.toy_world`, and prints a line of JSON for each: figures of the warp and the noise
loss over the val split, and the motion of generated frames. Run the same command again to continue a stopped run.
"""

import dataclasses
import json
from pathlib import Path

import torch

from benchmarks.helpers import make_parser
from examples.toy_world.__main__ import Run
from examples.toy_world.presets import PRESETS
from training.data import BatchStream, DataConfig
from training.model.factory import build_from_stable_diffusion
from training.model.saved import load_model
from training.trainer.config import resolve_config
from training.trainer.flow_training import pop_figures
from training.trainer.loss_step import LossStep, StepInputs

WARMUP_STEPS = 1000
NOISY_FROM = 700
"""The first of the noisiest timesteps, which decide where a sprite goes."""
_BATCH = 32
_NUM_PASSES = 8
"""Passes over the val split, each with noise and timesteps of its own."""
_NOTHING_DROPPED = 0.5


class Study(Run):
    """Two runs of `full`, with the same number of joint steps."""

    MODELS = ("as-shipped", "warm-up")

    def choose_options(self, model: str) -> dict[str, object]:
        """Return the flow warm-up of a model, whose steps are added to those of the preset."""
        warmup = min(WARMUP_STEPS, self.preset.max_steps) if model == "warm-up" else 0
        return {
            "--variant": "full",
            "--flow-warmup-steps": warmup,
            "--max-steps": warmup + self.preset.max_steps,
        }

    def measure(self, model: str) -> dict[str, float]:
        """Return `flow_px`, `warp_error` and the noise loss from NOISY_FROM on, over the val split, nothing dropped."""
        config = resolve_config("tiny", self.config, {"pretrained": str(self.weights)})
        parts = build_from_stable_diffusion(self.weights, config.model)
        parts = dataclasses.replace(parts, model=load_model(self.run_folder(model) / "model").eval())
        loss_step = LossStep(config, parts, None, torch.device("cpu"))
        data = DataConfig(location=str(self.latents), split="val", seed=self.seed, global_batch=_BATCH,
                          micro_batch=_BATCH, num_workers=0, flip=False)  # fmt: skip
        sums: dict[str, float] = {}
        num_samples = 0
        with BatchStream(data, rank=0, world_size=1, start_position=0) as stream, torch.no_grad():
            for batch in stream:
                if num_samples >= _NUM_PASSES * stream.num_samples:
                    break
                losses = loss_step(parts.model, _choose_noise(loss_step.prepare(batch)))
                for name, value in losses.by_name().items():
                    sums[name] = sums.get(name, 0.0) + float(value.sum())
                num_samples += len(batch)
        means = {name: value / num_samples for name, value in sums.items()}
        return {**pop_figures(means), "noise_loss": means["noise_loss"], "num_samples": num_samples}


def _choose_noise(inputs: StepInputs) -> StepInputs:
    """Map uniform timesteps to those from NOISY_FROM on, and drop no condition."""
    noise = inputs.noise
    timesteps = NOISY_FROM + noise.timesteps * (1000 - NOISY_FROM) // 1000
    condition = torch.full_like(noise.condition, _NOTHING_DROPPED)
    return dataclasses.replace(inputs, noise=dataclasses.replace(noise, timesteps=timesteps, condition=condition))


def main() -> None:
    """Run the study with the options of the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="toy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=int, default=24, help="Clips of the val split to generate frames for.")
    args = parser.parse_args()
    preset = PRESETS[args.preset]()
    study = Study(args.out, dataclasses.replace(preset, num_clips=args.clips), args.seed)
    page = study.go()
    outcomes = json.loads((args.out / "outcomes.json").read_text(encoding="utf-8"))["outcomes"]
    for outcome in outcomes:
        print(json.dumps({**outcome, **study.measure(outcome["variant"])}))
    print(f"The sheets are in {page}")


if __name__ == "__main__":
    main()
