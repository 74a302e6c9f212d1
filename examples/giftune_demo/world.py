"""Draw the demo's world, a toy world of 32 x 32 pixels: single images for training, and the one GIF.

Images are uint8 [N, 3, H, W]. A sprite is nearest; the ground is nearer towards the lower edge.
"""

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from examples.toy_world.draw import DIRECTIONS, GROUNDS, Clip, Kind, World, draw_frames, list_kinds

WORLD = World(side=32, radius=6.5)
GIF = Clip(
    name="disc.gif",
    kind=Kind("disc", "checkered", "red"),
    ground="green grass",
    direction="right",
    speed=2.0,
    num_frames=8,
    start=(9.0, 16.0),
    seed=3,
)
"""The GIF to tune on: a disc that crosses the image."""
_REACH = 1.75
"""Greatest distance of any shape's soft edge from its centre, in radii."""
_EDGE_GAP_PX = 8.0
_GROUND_DISPARITY = 0.5
"""Disparity of the ground at the lower edge. At the upper edge it is 0; a sprite has 1."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Single images of the world."""

    pixels: Tensor
    """uint8 [N, 3, H, W]."""
    captions: list[str]
    disparity: Tensor
    """Inverse depth of each pixel, float32 [N, H, W] in 0 to 1."""


def draw_pictures(num: int, seed: int, *, held_out: bool = False) -> Pictures:
    """Draw images of random sprites of the train kinds, or of the held-out kinds, at random positions and grounds."""
    kinds = list_kinds()[held_out]
    clips = [_plan_picture(kinds, np.random.default_rng([seed, held_out, number])) for number in range(num)]
    pixels = np.stack([np.asarray(draw_frames(WORLD, clip)[0]) for clip in clips])
    return Pictures(
        pixels=torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
        captions=[clip.caption for clip in clips],
        disparity=torch.from_numpy(np.stack([_disparity(*clip.start) for clip in clips])).float(),
    )


def untouched_ground() -> NDArray[np.bool_]:
    """Return the pixels that the GIF's sprite never covers, whatever its shape: bool [H, W]."""
    near = np.zeros((WORLD.side, WORLD.side), bool)
    for frame in range(GIF.num_frames):
        near |= _distance(*GIF.centre(frame)) < _REACH * WORLD.radius
    return ~near


def sprite_core(frame: int) -> NDArray[np.bool_]:
    """Return the pixels of a frame that the GIF's sprite covers, whatever its shape: bool [H, W]."""
    return _distance(*GIF.centre(frame)) < 0.7 * WORLD.radius


def _plan_picture(kinds: list[Kind], rng: np.random.Generator) -> Clip:
    x, y = rng.uniform(_EDGE_GAP_PX, WORLD.side - _EDGE_GAP_PX, 2).tolist()
    return Clip(
        name="",
        kind=kinds[int(rng.integers(len(kinds)))],
        ground=list(GROUNDS)[int(rng.integers(len(GROUNDS)))],
        direction=list(DIRECTIONS)[int(rng.integers(len(DIRECTIONS)))],
        speed=0.0,
        num_frames=1,
        start=(x, y),
        seed=int(rng.integers(2**31)),
    )


def _distance(x: float, y: float) -> NDArray[np.float64]:
    rows, columns = np.mgrid[0 : WORLD.side, 0 : WORLD.side].astype(np.float64)
    distance: NDArray[np.float64] = np.hypot(columns - x, rows - y)
    return distance


def _disparity(x: float, y: float) -> NDArray[np.float64]:
    ground = np.broadcast_to(np.linspace(0, _GROUND_DISPARITY, WORLD.side)[:, None], (WORLD.side, WORLD.side))
    return np.where(_distance(x, y) < WORLD.radius, 1.0, ground)
