"""DDIM forth and back: a clip's latents -> the noise that it would have come from -> a clip's latents.

F frames, latents of c x h x w; the steps are those of Song et al., 2021, eq. 12 with eta = 0, by diffusers' schedulers.
"""

from collections.abc import Callable
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddim_inverse import DDIMInverseScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
"""Predicts noise (or velocity) of latents [F, c, h, w] at a timestep [1]."""

_ALIKE = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, "timestep_spacing": "leading"}
"""What both directions must share, so that the steps of one are those of the other."""


def invert(denoise: Denoise, latents: Tensor, schedule: DDPMScheduler, num_steps: int) -> Tensor:
    """Walk from clean latents [F, c, h, w] to noise; `sample` walks back.

    Each step takes the prediction at its beginning for that at its end, so the way back ends near the latents, the
    nearer the more steps there are.
    """
    return _walk(DDIMInverseScheduler.from_config(schedule.config, **_ALIKE), denoise, latents, num_steps)


def sample(denoise: Denoise, noise: Tensor, schedule: DDPMScheduler, num_steps: int) -> Tensor:
    """Walk from noise [F, c, h, w] to clean latents; draws nothing at random."""
    return _walk(DDIMScheduler.from_config(schedule.config, **_ALIKE), denoise, noise, num_steps)


def guide(denoise_text: Denoise, denoise_null: Denoise, scale: float) -> Denoise:
    """Join two denoisers by classifier-free guidance (Ho and Salimans, 2022, eq. 6), one after the other.

    Both in one batch would need twice the memory for what is no faster on a card that a clip keeps busy.
    """

    def denoise(latents: Tensor, timestep: Tensor) -> Tensor:
        null = denoise_null(latents, timestep)
        return null + scale * (denoise_text(latents, timestep) - null)

    return denoise_text if scale == 1 else denoise


@torch.no_grad()
def _walk(scheduler: Any, denoise: Denoise, latents: Tensor, num_steps: int) -> Tensor:
    scheduler.set_timesteps(num_steps, device=latents.device)
    for timestep in scheduler.timesteps:
        predicted = denoise(latents, timestep[None])
        latents = scheduler.step(predicted.float(), timestep, latents, return_dict=False)[0]
    return latents
