"""What the U-Net predicts, and the noise schedule that goes with it.

B samples, 4 x H x W latents. SNR: signal-to-noise ratio of z_t.
"""

from typing import Any

from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from training.model.config import PredictionType
from training.model.errors import ModelError


def adapt_schedule(
    scheduler: DDPMScheduler, prediction: PredictionType | None, *, zero_terminal_snr: bool
) -> DDPMScheduler:
    """Return the schedule with another prediction type, None to keep it, and with an SNR of 0 at the last timestep.

    Zero SNR rescales the betas, and sampling starts at the last timestep (Lin et al., 2024). Raises ModelError for zero
    SNR with noise prediction, which has nothing to learn from pure noise.
    """
    changes: dict[str, Any] = {} if prediction is None else {"prediction_type": prediction}
    if zero_terminal_snr:
        changes |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    adapted: DDPMScheduler = DDPMScheduler.from_config(scheduler.config, **changes)
    if adapted.config["rescale_betas_zero_snr"] and adapted.config["prediction_type"] == "epsilon":
        raise ModelError('a terminal SNR of zero needs prediction = "v_prediction": noise cannot be predicted there')
    return adapted


def find_objective(scheduler: DDPMScheduler, z_0: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """Return what the U-Net has to predict, the noise or the velocity: [B, 4, H, W] each, timesteps [B]."""
    if scheduler.config["prediction_type"] == "epsilon":
        return noise
    velocity: Tensor = scheduler.get_velocity(z_0, noise, timesteps)  # type: ignore[arg-type]
    return velocity
