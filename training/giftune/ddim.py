"""DDIM inversion and sampling: latents of a clip -> noise -> latents (Song et al., 2021, eq. 12 with eta = 0).

F frames, latents of c x h x w.
"""

from collections.abc import Callable
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddim_inverse import DDIMInverseScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
"""Predicts the noise (or velocity) in latents [F, c, h, w] at a timestep [1]."""

_SHARED_CONFIG = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, "timestep_spacing": "leading"}
"""Settings of both schedulers, so that inversion and sampling visit the same timesteps."""


def invert(denoise: Denoise, latents: Tensor, schedule: DDPMScheduler, num_steps: int) -> Tensor:
    """Return the noise that `sample` turns into approximately these clean latents, [F, c, h, w].

    Each step uses the prediction at its start for its end, so more steps give a smaller error.
    """
    return _run(DDIMInverseScheduler.from_config(schedule.config, **_SHARED_CONFIG), denoise, latents, num_steps)


def sample(denoise: Denoise, noise: Tensor, schedule: DDPMScheduler, num_steps: int) -> Tensor:
    """Return clean latents for noise [F, c, h, w]. Deterministic."""
    return _run(DDIMScheduler.from_config(schedule.config, **_SHARED_CONFIG), denoise, noise, num_steps)


def guide(denoise_text: Denoise, denoise_null: Denoise, scale: float) -> Denoise:
    """Combine two denoisers by classifier-free guidance (Ho and Salimans, 2022, eq. 6).

    They run one after the other. One batch for both would need twice the memory, and a clip alone keeps a GPU busy.
    """

    def denoise(latents: Tensor, timestep: Tensor) -> Tensor:
        null = denoise_null(latents, timestep)
        return null + scale * (denoise_text(latents, timestep) - null)

    return denoise_text if scale == 1 else denoise


@torch.no_grad()
def _run(scheduler: Any, denoise: Denoise, latents: Tensor, num_steps: int) -> Tensor:
    scheduler.set_timesteps(num_steps, device=latents.device)
    for timestep in scheduler.timesteps:
        predicted = denoise(latents, timestep[None])
        latents = scheduler.step(predicted.float(), timestep, latents, return_dict=False)[0]
    return latents
