"""Micro-batches of pictures or of cached latents.

B: number of samples. H, W: the data set's resolution. h, w: H / 8, W / 8. L: tokens of a prompt, 77.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from training.data.errors import DamageError

TensorFunction = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Rows:
    """Fields and methods of both kinds of batch."""

    keys: list[str]
    """Keys of the B samples."""
    captions: list[str]
    """B captions, one per sample."""
    motion_px: Tensor
    """float32 [B], in pixels at the data set's resolution."""
    positions: Tensor
    """int64 [B], the position of each in the order."""
    flipped: Tensor
    """bool [B], true where source and target were mirrored, left to right."""
    damages: tuple[DamageError, ...] = ()
    """Damaged samples in reading order; each was replaced by another sample."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def num_skipped(self) -> int:
        """Number of damaged samples that were replaced."""
        return len(self.damages)

    def to(self, device: torch.device | str, *, non_blocking: bool = True) -> Self:
        """Copy all tensors to a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def split(self, num_samples: int) -> list[Self]:
        """Return parts of `num_samples` samples, the last one of the rest, as views."""
        return [self._part(slice(first, first + num_samples)) for first in range(0, len(self), num_samples)]

    def _part(self, rows: slice) -> Self:
        part = self._map(lambda tensor: tensor[rows])
        return dataclasses.replace(part, keys=self.keys[rows], captions=self.captions[rows])

    def pin_memory(self) -> Self:
        """Copy to page-locked memory, so that transfers to a GPU overlap with its work."""
        return self._map(Tensor.pin_memory)

    def _map(self, function: TensorFunction) -> Self:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        tensors: dict[str, Any] = {name: function(value) for name, value in fields.items() if isinstance(value, Tensor)}
        return dataclasses.replace(self, **tensors)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch(_Rows):
    """A micro-batch of picture pairs.

    Pictures stay uint8 until they are on the device: a quarter of the bytes cross from worker to trainer and from host
    to GPU, and the conversion costs a GPU almost nothing.
    """

    source: Tensor
    """uint8 [B, 3, H, W], RGB, in channels-last memory format."""
    target: Tensor
    """uint8 [B, 3, H, W], RGB, in channels-last memory format."""

    def as_floats(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Return (source, target) on the batch's device: [B, 3, H, W] of `dtype` in [-1, 1], channels last."""
        return _to_floats(self.source, dtype), _to_floats(self.target, dtype)


def _to_floats(pictures: Tensor, dtype: torch.dtype) -> Tensor:
    # Computed in float32, so that every dtype rounds once.
    return pictures.to(torch.float32).div_(127.5).sub_(1).to(dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentBatch(_Rows):
    """A micro-batch of encoded pairs, mirrored before encoding where `flipped`."""

    source_mode: Tensor
    """float16 [B, 4, h, w], mode of the source's posterior, not scaled."""
    target_mean: Tensor
    """float16 [B, 4, h, w], mean of the target's posterior, not scaled."""
    target_logvar: Tensor
    """float16 [B, 4, h, w], log-variance of the target's posterior."""
    token_ids: Tensor
    """int64 [B, L], tokens of the prompt."""
