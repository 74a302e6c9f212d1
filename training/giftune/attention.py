"""Spatio-temporal causal attention: frame i asks, frames 1 and i-1 answer.

B clips of F frames, N positions of a frame, C channels; a batch holds all frames of clip 1, then those of clip 2.
"""

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn


class TemporalAttention(nn.Module):
    """A residual attention over frames, with its own norm (GIF-Tune, Method: architecture).

    Its output matrix and bias are zero at first, so that it adds nothing before it has learnt something. It knows no
    order of the frames, as in Tune-A-Video (Wu et al., 2023), so it serves clips of any length.
    """

    def __init__(self, dim: int, num_heads: int, head_dim: int, num_frames: int) -> None:
        """Make it for clips of `num_frames`."""
        super().__init__()
        self.num_frames = num_frames
        self.norm = nn.LayerNorm(dim)
        self.attention = Attention(query_dim=dim, heads=num_heads, dim_head=head_dim)
        for parameter in self.attention.to_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, hidden: Tensor) -> Tensor:
        """[B F, N, C] -> the same shape."""
        positions = hidden.reshape(-1, self.num_frames, *hidden.shape[1:]).transpose(1, 2)
        attended: Tensor = self.attention(self.norm(positions.flatten(0, 1)))
        return hidden + attended.reshape(positions.shape).transpose(1, 2).reshape(hidden.shape)


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
