"""Spatio-temporal causal attention: frame i asks, frames 1 and i-1 answer.

B clips of F frames, N positions of a frame, C channels; a batch holds all frames of clip 1, then those of clip 2.
"""

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor


def gather_earlier_frames(hidden: Tensor, num_frames: int) -> Tensor:
    """Lay frame 1 and frame i-1 side by side for each frame i: [B F, N, C] -> [B F, 2 N, C].

    The first frame has itself twice, which attention cannot tell from itself once.
    """
    clips = hidden.reshape(-1, num_frames, *hidden.shape[1:])
    first = clips[:, :1].expand_as(clips)
    previous = torch.cat([clips[:, :1], clips[:, :-1]], dim=1)
    return torch.cat([first, previous], dim=2).flatten(0, 1)


class SpatioTemporalProcessor:
    """Stands in a self-attention of diffusers, whose matrices it uses as they are (GIF-Tune, Method: architecture).

    The attention itself is PyTorch's scaled dot product, which keeps no matrix of N x 2 N where a kernel spares it.
    """

    def __init__(self, num_frames: int) -> None:
        """Take how many frames a clip has."""
        self.num_frames = num_frames
        self._attend = AttnProcessor2_0()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Attend from each frame to frames 1 and i-1: [B F, N, C] -> the same shape."""
        earlier = gather_earlier_frames(hidden_states, self.num_frames)
        attended: Tensor = self._attend(attn, hidden_states, earlier, attention_mask, temb)
        return attended
