"""Train the demo's depth model, a small DPT of transformers, in place of Depth Anything."""

import dataclasses
import json
from pathlib import Path

import torch
from transformers import DPTConfig, DPTForDepthEstimation

from examples.giftune_demo.world import WORLD, Pictures
from examples.toy_world.autoencoder import Echo
from shards.storage.atomic import write_atomically
from training.giftune.depth import DepthModel, load_depth_model

_MEAN = _STD = [0.5, 0.5, 0.5]
_PATCH_PX = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class DepthPlan:
    """Training of the depth model."""

    steps: int = 300
    batch: int = 16
    learning_rate: float = 2e-3


def make_depth_model(folder: Path, pictures: Pictures, plan: DepthPlan, seed: int, echo: Echo) -> None:
    """Train on images with known disparity; write the model and its preprocessing like save_pretrained."""
    torch.manual_seed(seed)
    model = DPTForDepthEstimation(
        DPTConfig(
            hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, image_size=WORLD.side,
            patch_size=_PATCH_PX, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[16, 16, 16, 16],
            fusion_hidden_size=16, reassemble_factors=[1, 0.5, 0.25, 0.125],
        )
    )  # fmt: skip
    trained = DepthModel(model, WORLD.side, _MEAN, _STD)
    model.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    for step in range(plan.steps):
        chosen = torch.randint(len(pictures.pixels), (plan.batch,), generator=generator)
        error = trained(pictures.pixels[chosen].float() / 127.5 - 1) - pictures.disparity[chosen]
        loss = error.abs().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0 or step + 1 == plan.steps:
            echo(f"depth model: step {step + 1} of {plan.steps}, mean error {float(loss.detach()):.3f} of 1")
    model.save_pretrained(folder)
    preprocessing = {"size": WORLD.side, "image_mean": _MEAN, "image_std": _STD}
    with write_atomically(folder / "preprocessor_config.json") as temporary:
        temporary.write_text(json.dumps(preprocessing), encoding="utf-8")


def measure_depth_error(folder: Path, pictures: Pictures) -> float:
    """Return the mean absolute error on images, of disparity in 0 to 1."""
    model = load_depth_model(str(folder))
    with torch.no_grad():
        errors = [
            (model(pixels.float() / 127.5 - 1) - disparity).abs().mean()
            for pixels, disparity in zip(pictures.pixels.split(64), pictures.disparity.split(64), strict=True)
        ]
    return float(torch.stack(errors).mean())
