"""Every random number of a training step, drawn for each sample by seed and position alone.

So a step's numbers do not depend on how its samples are spread over ranks, workers and micro-batches, and a run that
resumes draws what it would have drawn. Dimensions: B samples, C x h x w latents.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

import torch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draws:
    """The random numbers of some samples."""

    noise: torch.Tensor
    """N(0, 1), float32 [B, C, h, w]: what is added to the target's latent."""
    posterior: torch.Tensor
    """N(0, 1), float32 [B, C, h, w]: where in its posterior the target's latent lies."""
    timesteps: torch.Tensor
    """int64 [B], uniform from 0 to below the scheduler's number."""
    condition: torch.Tensor
    """float32 [B], uniform in [0, 1): which conditions are dropped."""

    def to(self, device: torch.device) -> "Draws":
        """Copy all of them to a device; from page-locked memory without waiting."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Draws":
        """Copy all of them to page-locked memory."""
        return self._map(torch.Tensor.pin_memory)

    def _map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "Draws":
        return Draws(**{field.name: function(getattr(self, field.name)) for field in dataclasses.fields(self)})


def draw(positions: Sequence[int], seed: int, latent_shape: tuple[int, int, int], num_timesteps: int) -> Draws:
    """Draw for the samples at these positions of the run; `latent_shape` is (C, h, w). On the CPU, alike everywhere."""
    noise, posterior, timesteps, condition = [], [], [], []
    for position in positions:
        generator = torch.Generator().manual_seed(_seed_of(seed, position))
        noise.append(torch.randn(latent_shape, generator=generator))
        posterior.append(torch.randn(latent_shape, generator=generator))
        timesteps.append(torch.randint(num_timesteps, (), generator=generator))
        condition.append(torch.rand((), generator=generator))
    return Draws(
        noise=torch.stack(noise),
        posterior=torch.stack(posterior),
        timesteps=torch.stack(timesteps),
        condition=torch.stack(condition),
    )


def _seed_of(seed: int, position: int) -> int:
    digest = hashlib.blake2b(f"draws {seed} {position}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
