"""A step's number -> its losses: draw, noise the clip, predict, compare.

F frames, latents of c x h x w, text embeddings of 77 x D.
"""

import dataclasses

from torch import Tensor, nn

from training.giftune.background import BackgroundRegularization, spread_frames
from training.giftune.depth import Disparity
from training.giftune.losses import consistency_loss, estimate_clean, noise_target, signal_share
from training.giftune.model import TunedModel
from training.runtime.sample_noise import draw_noise


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneLosses:
    """The losses of a step, scalars; None where a regularization had no part in it."""

    total: Tensor
    noise: Tensor
    background: Tensor | None
    consistency: Tensor | None

    def figures(self) -> dict[str, float]:
        """Return them by the names under which they are told."""
        named = {
            "loss": self.total,
            "noise_loss": self.noise,
            "background_loss": self.background,
            "consistency_loss": self.consistency,
        }
        return {name: float(loss.detach()) for name, loss in named.items() if loss is not None}


class TuneStep:
    """Computes losses. Holds what does not change from step to step: the clip's latents, its text, its depth."""

    def __init__(self, tuned: TunedModel, disparity: Disparity | None) -> None:
        """Encode the clip once. `disparity` finds the background; None where nobody asks for it."""
        self._config, self._scheduler, self._device = tuned.config, tuned.parts.scheduler, tuned.device
        self._latents = tuned.clip_latents()
        self._text = tuned.text_embeds(tuned.clip.prompt)
        self._background = None
        if disparity is not None:
            images = tuned.clip.images().to(self._device)
            self._background = BackgroundRegularization(tuned.parts.vae, disparity, images, self._config.frames_at_once)

    def __call__(self, model: nn.Module, step: int) -> TuneLosses:
        """Compute the losses of a step; gradients reach what `model` trains."""
        config, scheduler, latents = self._config, self._scheduler, self._latents
        num_frames, channels, height, width = latents.shape
        num_timesteps = int(scheduler.config["num_train_timesteps"])
        drawn = draw_noise([step], config.seed, (num_frames * channels, height, width), num_timesteps).to(self._device)
        noise, timestep = drawn.noise.reshape(latents.shape), drawn.timesteps
        noisy = scheduler.add_noise(latents, noise, timestep)  # type: ignore[arg-type]
        predicted = model(noisy[None], timestep, self._text)[0].float()
        noise_loss = (predicted - noise_target(scheduler, latents, noise, timestep)).square().mean()
        clean = estimate_clean(scheduler, noisy, predicted, timestep)
        total, background, consistency = noise_loss, None, None
        if config.consistency_weight:
            # An estimate from much noise is a guess, and its error grows with 1 / alpha-bar; so it counts less.
            share = signal_share(scheduler, timestep).to(self._device)[0]
            consistency = share * consistency_loss(clean, latents, config.consistency)
            total = total + config.consistency_weight * consistency
        if self._background is not None and int(timestep) <= config.background_max_timestep:
            chosen = spread_frames(num_frames, config.background_frames, float(drawn.condition))
            background = self._background(clean, chosen)
            total = total + config.background_weight * background
        return TuneLosses(total=total, noise=noise_loss, background=background, consistency=consistency)
