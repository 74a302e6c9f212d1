"""The losses of one step, as a function of the config and the step's number.

F frames, latents of c x h x w, text embeddings of 77 x D.
"""

import dataclasses

from torch import Tensor, nn

from training.giftune.depth import Disparity
from training.giftune.losses import (
    BackgroundRegularization,
    choose_frames,
    consistency_loss,
    estimate_clean,
    get_alpha_bar,
    prediction_target,
)
from training.giftune.model import TunedModel
from training.runtime.sample_noise import draw_noise


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneLosses:
    """Losses of a step, scalars; None for a regularization that the step does not use."""

    total: Tensor
    noise: Tensor
    background: Tensor | None
    consistency: Tensor | None

    def to_metrics(self) -> dict[str, float]:
        """Return the losses by the names of their metrics."""
        losses = {
            "loss": self.total,
            "noise_loss": self.noise,
            "background_loss": self.background,
            "consistency_loss": self.consistency,
        }
        return {name: float(loss.detach()) for name, loss in losses.items() if loss is not None}


class TuneStep:
    """Computes the losses of steps. Holds what all steps share: latents, text embedding and depth of the clip."""

    def __init__(self, tuned: TunedModel, disparity: Disparity | None) -> None:
        """Encode the clip. `disparity` finds the background; None disables the background loss."""
        self._config, self._scheduler, self._device = tuned.config, tuned.parts.scheduler, tuned.device
        self._latents = tuned.clip_latents()
        self._text = tuned.text_embeds(tuned.clip.prompt)
        self._background = None
        if disparity is not None:
            images = tuned.clip.images().to(self._device)
            self._background = BackgroundRegularization(tuned.parts.vae, disparity, images, self._config.frames_at_once)

    def __call__(self, model: nn.Module, step: int) -> TuneLosses:
        """Compute the losses of step number `step`, with gradients for the parameters of `model`."""
        config, scheduler, latents = self._config, self._scheduler, self._latents
        num_frames, channels, height, width = latents.shape
        num_timesteps = int(scheduler.config["num_train_timesteps"])
        random = draw_noise([step], config.seed, (num_frames * channels, height, width), num_timesteps).to(self._device)
        noise, timestep = random.noise.reshape(latents.shape), random.timesteps
        noisy = scheduler.add_noise(latents, noise, timestep)  # type: ignore[arg-type]
        predicted = model(noisy[None], timestep, self._text)[0].float()
        noise_loss = (predicted - prediction_target(scheduler, latents, noise, timestep)).square().mean()
        clean = estimate_clean(scheduler, noisy, predicted, timestep)
        total, background, consistency = noise_loss, None, None
        if config.consistency_weight:
            # The error of the clean estimate grows with 1 / alpha-bar, so alpha-bar weights the loss.
            alpha_bar = get_alpha_bar(scheduler, timestep).to(self._device)[0]
            consistency = alpha_bar * consistency_loss(clean, latents, config.consistency)
            total = total + config.consistency_weight * consistency
        if self._background is not None and int(timestep) <= config.background_max_timestep:
            chosen = choose_frames(num_frames, config.background_frames, float(random.condition))
            background = self._background(clean, chosen)
            total = total + config.background_weight * background
        return TuneLosses(total=total, noise=noise_loss, background=background, consistency=consistency)
