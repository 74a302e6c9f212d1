"""What WarpNet does with a flow, and why a residual flow was chosen; on a drawn picture in place of a latent."""

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from docs.figures.style import INK
from examples.draw_scenes import draw_stage
from training.generation.sheet import draw_flow, to_displacements
from training.model.warp import to_grid_units, warp

SIDE = 128


def draw() -> Figure:
    """Draw a source, a flow, what is sampled by it, and what a flow of zero gives in either mode."""
    source = draw_stage(seed=5).convert("RGB").resize((SIDE, SIDE))
    picture = torch.from_numpy(np.array(source)).permute(2, 0, 1)[None].float()
    flow = to_grid_units(_push_right(14.0))
    still = torch.zeros_like(flow)
    moved = to_displacements(flow.numpy(), "residual", source.size)[0]
    panels = (
        ("source", source),
        ("where it moves", draw_flow(source, moved, float(np.hypot(*moved).max()))),
        ("warped", _to_image(warp(picture, flow))),
        ("flow of zero, residual", _to_image(warp(picture, still, "residual"))),
        ("flow of zero, absolute", _to_image(warp(picture, still, "absolute"))),
    )
    figure = Figure(figsize=(9.6, 2.2))
    for axes, (title, image) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.imshow(image)
        axes.set_title(title, color=INK)
        axes.axis("off")
    figure.tight_layout()
    return figure


def _push_right(most_px: float) -> torch.Tensor:
    """Draw a flow [1, 2, H, W] in pixels under which the middle moves to the right and the edges stay."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    strength = np.exp(-(x**2 + y**2) / 0.04)
    # It points back to where something came from, so what moves to the right has a flow to the left.
    return torch.from_numpy(np.stack([-most_px * strength, np.zeros_like(strength)])[None].astype(np.float32))


def _to_image(picture: torch.Tensor) -> Image.Image:
    return Image.fromarray(picture[0].permute(1, 2, 0).round().byte().numpy())
