"""Sample clips with the models of all runs and measure them; the results are JSON values."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from examples.giftune_demo import measure
from examples.giftune_demo.depth_model import measure_depth_error
from examples.giftune_demo.presets import PROMPTS
from examples.giftune_demo.world import GIF, draw_pictures
from examples.toy_world.autoencoder import measure_psnr
from training.giftune.clip import decode_clip
from training.giftune.depth import Disparity, load_depth_model
from training.giftune.model import TunedModel, make_tuned_model
from training.giftune.saved_run import read_run
from training.giftune.step import TuneStep
from training.model.pretrained.stable_diffusion import load_stable_diffusion

UNTUNED = "untuned"
_NUM_HELD_OUT = 200
_NUM_LOSSES = 24
_OTHER_SEED = 1000


def compare_runs(
    runs: Mapping[tuple[str, int], Path], image_model: Path, depth_model: Path, frames: Path, seed: int
) -> dict[str, Any]:
    """Measure the models before tuning, and the clips that each run's model samples for each prompt.

    `runs` is {(variant, seed): folder}. The frames of every clip are written to `frames`.
    """
    held_out = draw_pictures(_NUM_HELD_OUT, seed, held_out=True)
    about = {
        "autoencoder_psnr_db": measure_psnr(load_stable_diffusion(image_model).vae, held_out.pixels),
        "depth_error": measure_depth_error(depth_model, held_out),
    }
    frames.mkdir(parents=True, exist_ok=True)
    rows, losses = [], []
    disparity = load_depth_model(str(depth_model))
    for (variant, run_seed), tuned in _load_models(runs):
        about["clip_through_autoencoder"] = _measure_autoencoder(tuned, disparity)
        named = {"variant": variant, "seed": run_seed}
        losses.append({**named, **_measure_losses(tuned, disparity)})
        noise = tuned.invert(tuned.config.inversion_steps)
        for name, prompt in PROMPTS.items():
            guidance = 1.0 if prompt == GIF.caption else tuned.config.guidance
            drawn = tuned.sample(noise, prompt, guidance=guidance, num_steps=tuned.config.inversion_steps)
            np.save(frames / f"{variant}-{run_seed}-{name}.npy".replace(" ", "-"), drawn)
            rows.append({**named, "prompt": name, **_measure(drawn, tuned.clip.frames, disparity)})
    return {"about": about, "rows": rows, "losses": losses}


def _load_models(runs: Mapping[tuple[str, int], Path]) -> Iterator[tuple[tuple[str, int], TunedModel]]:
    """Yield (name, model): first the inflated image model before tuning, then the model of each run."""
    tuned = read_run(next(iter(runs.values()))).tuned
    yield (UNTUNED, 0), make_tuned_model(tuned.config, tuned.clip, tuned.device)
    for name, folder in runs.items():
        yield name, read_run(folder).tuned


def _measure(drawn: measure.Frames, source: measure.Frames, disparity: Disparity) -> dict[str, Any]:
    return {
        "psnr_db": measure.measure_psnr(drawn, source),
        "flicker": measure.measure_flicker(drawn),
        "change_error": measure.measure_change_error(drawn, source),
        "ground_change": measure.measure_ground_change(drawn, source),
        "depth_change": measure.measure_depth_change(drawn, source, disparity),
        "path_px": measure.measure_path(drawn),
        "colour": measure.name_colour(drawn),
        "ground": measure.name_ground(drawn),
    }


def _measure_losses(tuned: TunedModel, disparity: Disparity) -> dict[str, float]:
    """Return the mean of each loss on the GIF, unweighted, at noise and timesteps that no tuning run used."""
    config = dataclasses.replace(tuned.config, background_weight=1.0, consistency_weight=1.0, seed=_OTHER_SEED)
    losses: dict[str, list[float]] = {}
    for form in ("change", "stillness"):
        unweighted = dataclasses.replace(tuned, config=dataclasses.replace(config, consistency=form))
        step = TuneStep(unweighted, disparity)
        with torch.no_grad():
            for number in range(_NUM_LOSSES):
                figures = step(tuned.model, number).to_metrics()
                del figures["loss"]
                figures[form] = figures.pop("consistency_loss")
                for name, value in figures.items():
                    losses.setdefault(name.removesuffix("_loss"), []).append(value)
    return {name: float(np.mean(values)) for name, values in losses.items()}


def _measure_autoencoder(tuned: TunedModel, disparity: Disparity) -> dict[str, Any]:
    """Measure the GIF after encoding and decoding: an upper bound for every model that uses the autoencoder."""
    back = decode_clip(tuned.parts.vae, tuned.clip_latents(), tuned.config.frames_at_once)
    return _measure(back, tuned.clip.frames, disparity)
