"""Temporal self-attention: every position of a picture attends to itself in all frames.

B clips of F frames, N positions of a frame, C channels.
"""

from diffusers.models.attention_processor import Attention
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
