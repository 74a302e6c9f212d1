"""Measure clips of a tuned model: similarity to the GIF, stillness of the ground, and what they show.

Frames are RGB, uint8 [F, H, W, 3]. Positions come from the drawing, so no measure depends on the losses; only
`measure_depth_change` uses the depth model.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from examples.giftune_demo.world import GIF, sprite_core, untouched_ground
from examples.toy_world.draw import COLOURS, GROUNDS
from training.giftune.depth import Disparity
from training.giftune.losses import background_loss

Frames = NDArray[np.uint8]


def measure_psnr(frames: Frames, source: Frames) -> float:
    """Return the peak signal-to-noise ratio of frames against the source's, in dB."""
    error = np.square(frames.astype(np.float64) - source).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-12)))


def measure_flicker(frames: Frames) -> float:
    """Return the mean absolute change from frame to frame where nothing moves, in grey levels of 255."""
    return float(np.abs(np.diff(frames.astype(np.float64), axis=0))[:, untouched_ground()].mean())


def measure_change_error(frames: Frames, source: Frames) -> float:
    """Return the mean absolute error of the change from frame to frame against the source's, in grey levels of 255."""
    change, true = (np.diff(clip.astype(np.float64), axis=0) for clip in (frames, source))
    return float(np.abs(change - true).mean())


def measure_ground_change(frames: Frames, source: Frames) -> float:
    """Return the mean absolute error of ground that is never covered against the source's, in grey levels of 255."""
    return float(np.abs(frames.astype(np.float64) - source)[:, untouched_ground()].mean())


def measure_depth_change(frames: Frames, source: Frames, disparity: Disparity) -> float:
    """Return the background loss: the depth error over the far half of the source, in units of its range."""
    with torch.no_grad():
        depths = [
            disparity(torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 127.5 - 1) for clip in (frames, source)
        ]
    return float(background_loss(*depths))


def measure_path(frames: Frames) -> float:
    """Measure how far the sprite's way is from the GIF's: root mean square over the frames, in pixels.

    A sprite is where the picture is not of its ground's colour.
    """
    ground = np.median(frames[:, untouched_ground()].astype(np.float64), axis=(0, 1))
    distance = np.linalg.norm(frames - ground, axis=-1)
    weight = np.where(distance > 0.5 * distance.max(axis=(1, 2), keepdims=True), distance, 0)
    rows, columns = np.mgrid[0 : frames.shape[1], 0 : frames.shape[2]]
    total = weight.sum(axis=(1, 2))
    centres = np.stack([(weight * columns).sum(axis=(1, 2)), (weight * rows).sum(axis=(1, 2))], axis=1) / total[:, None]
    true = np.array([GIF.centre(frame) for frame in range(len(frames))])
    return float(np.sqrt(np.square(centres - true).sum(axis=1).mean()))


def name_colour(frames: Frames) -> str:
    """Return the colour whose two pattern colours span the line nearest to the sprite's pixels."""
    core = np.concatenate([frame[sprite_core(number)] for number, frame in enumerate(frames)]).astype(np.float64)

    def distance(name: str) -> float:
        light, dark = (np.array(colour, np.float64) for colour in COLOURS[name])
        along = np.clip((core - dark) @ (light - dark) / np.square(light - dark).sum(), 0, 1)[:, None]
        return float(np.linalg.norm(core - (dark + along * (light - dark)), axis=1).mean())

    return min(COLOURS, key=distance)


def name_ground(frames: Frames) -> str:
    """Return the ground with the nearest mean colour."""
    mean = frames[:, untouched_ground()].reshape(-1, 3).mean(axis=0)
    return min(GROUNDS, key=lambda name: float(np.linalg.norm(mean - np.array(GROUNDS[name]))))
