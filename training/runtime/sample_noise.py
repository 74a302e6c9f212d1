"""Random numbers of a training step, drawn for each sample from the seed and the sample's position alone.

They do not depend on how samples are spread over ranks, workers and micro-batches, and a resumed run draws the same
numbers as an uninterrupted one. Dimensions: B samples, C x h x w latents.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

import torch


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleNoise:
    """Random numbers of B samples."""

    noise: torch.Tensor
    """N(0, 1), float32 [B, C, h, w]: added to the target's latent."""
    posterior: torch.Tensor
    """N(0, 1), float32 [B, C, h, w]: samples the target's latent from its posterior."""
    timesteps: torch.Tensor
    """int64 [B], uniform in [0, `num_timesteps`)."""
    condition: torch.Tensor
    """float32 [B], uniform in [0, 1): decides which conditions are dropped."""

    def to(self, device: torch.device) -> "SampleNoise":
        """Copy all tensors to a device; asynchronously from pinned memory."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "SampleNoise":
        """Copy all tensors to pinned memory."""
        return self._map(torch.Tensor.pin_memory)

    def _map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "SampleNoise":
        return SampleNoise(**{field.name: function(getattr(self, field.name)) for field in dataclasses.fields(self)})


def draw_noise(
    positions: Sequence[int], seed: int, latent_shape: tuple[int, int, int], num_timesteps: int
) -> SampleNoise:
    """Draw the random numbers of the samples at `positions`; `latent_shape` is (C, h, w).

    Draws on the CPU, so that the numbers are the same with every device.
    """
    noise, posterior, timesteps, condition = [], [], [], []
    for position in positions:
        generator = torch.Generator().manual_seed(_make_seed(seed, position))
        noise.append(torch.randn(latent_shape, generator=generator))
        posterior.append(torch.randn(latent_shape, generator=generator))
        timesteps.append(torch.randint(num_timesteps, (), generator=generator))
        condition.append(torch.rand((), generator=generator))
    return SampleNoise(
        noise=torch.stack(noise),
        posterior=torch.stack(posterior),
        timesteps=torch.stack(timesteps),
        condition=torch.stack(condition),
    )


def _make_seed(seed: int, position: int) -> int:
    digest = hashlib.blake2b(f"draws {seed} {position}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
