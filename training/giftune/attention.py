"""Attention over frames: spatio-temporal causal attention and temporal attention (GIF-Tune, Method).

B clips of F frames, N positions per frame, C channels. A batch [B F, ...] holds all frames of clip 1, then of clip 2.
"""

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn


class TemporalAttention(nn.Module):
    """Residual self-attention over the frames at each position, with its own norm (GIF-Tune, Method: architecture).

    Output weight and bias are initialized to zero, so a new module is the identity. There is no position encoding, as
    in Tune-A-Video (Wu et al., 2023).
    """

    def __init__(self, dim: int, num_heads: int, head_dim: int, num_frames: int) -> None:
        """Make the module for clips of `num_frames` frames."""
        super().__init__()
        self.num_frames = num_frames
        self.norm = nn.LayerNorm(dim)
        self.attention = Attention(query_dim=dim, heads=num_heads, dim_head=head_dim)
        for parameter in self.attention.to_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, hidden: Tensor) -> Tensor:
        """Attend over frames: [B F, N, C] -> [B F, N, C]."""
        positions = hidden.reshape(-1, self.num_frames, *hidden.shape[1:]).transpose(1, 2)
        attended: Tensor = self.attention(self.norm(positions.flatten(0, 1)))
        return hidden + attended.reshape(positions.shape).transpose(1, 2).reshape(hidden.shape)


def gather_earlier_frames(hidden: Tensor, num_frames: int) -> Tensor:
    """Concatenate frames 1 and i-1 for each frame i: [B F, N, C] -> [B F, 2 N, C].

    The first frame is concatenated with itself, which gives the same attention as the frame alone.
    """
    clips = hidden.reshape(-1, num_frames, *hidden.shape[1:])
    first = clips[:, :1].expand_as(clips)
    previous = torch.cat([clips[:, :1], clips[:, :-1]], dim=1)
    return torch.cat([first, previous], dim=2).flatten(0, 1)


class SpatioTemporalProcessor:
    """Attention processor for diffusers: frame i attends to frames 1 and i-1 (GIF-Tune, Method: architecture).

    It uses the weights of the self-attention as they are, and PyTorch's scaled dot product attention, whose fused
    kernels do not store the N x 2 N attention matrix.
    """

    def __init__(self, num_frames: int) -> None:
        """Make the processor for clips of `num_frames` frames."""
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
        """Attend from each frame to frames 1 and i-1: [B F, N, C] -> [B F, N, C]."""
        earlier = gather_earlier_frames(hidden_states, self.num_frames)
        attended: Tensor = self._attend(attn, hidden_states, earlier, attention_mask, temb)
        return attended
