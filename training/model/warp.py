"""The warping module W: source latent and c_L -> a flow and the source latent warped by it (Pix2Gif, section 3.3.2).

B samples, C = 4 latent channels, H x W latent pixels (32 x 32 for 256 x 256 images), D: width of c_L (768), L: reduced
width (256). Flows are [B, 2, H, W], channel 0 horizontal, 1 vertical, in grid units: 2 is the full width or height of
the latent, so one latent pixel is 2 / W or 2 / H.
"""

import math
from typing import Literal, NamedTuple

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (PyTorch's conventional name.)

from training.model.config import FlowMode, FlowNorm, WarpLayers
from training.model.errors import ModelError
from training.model.text.encoder import NUM_TOKENS

NUM_GROUPS = 8
SLOPE = 0.2


class Warped(NamedTuple):
    """Output of the warping module: z_W [B, C, H, W] and its flow [B, 2, H, W]."""

    latent: Tensor
    flow: Tensor


def warp(latent: Tensor, flow: Tensor, mode: FlowMode = "residual") -> Tensor:
    """Warp a latent [B, C, H, W] by a flow [B, 2, H, W], bilinearly, with zeros outside (WarpNet; Pix2Gif, eq. 6).

    `residual`: out(p) = latent(p + flow(p)). The flow points from the new position of a pixel to its old one, so a flow
    of 2 / W moves the picture one pixel to the left. A zero flow is the identity: exactly if H and W are powers of two,
    else up to rounding.
    `absolute`: out(p) = latent(flow(p)). The flow is the grid, (-1, -1) the top left corner; zero is the centre.

    Computes in float32: a bfloat16 grid would be wrong by some hundredths of a pixel.
    """
    grid = flow.float()
    if mode == "residual":
        grid = grid + _make_identity(flow)
    moved = F.grid_sample(
        latent.float(), grid.permute(0, 2, 3, 1), mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return moved.to(latent.dtype)


def to_grid_units(displacement_px: Tensor) -> Tensor:
    """Convert displacements [B, 2, H, W] from latent pixels to grid units."""
    height, width = displacement_px.shape[-2:]
    return displacement_px * displacement_px.new_tensor([2 / width, 2 / height])[:, None, None]


def measure_flow_px(flow: Tensor, mode: FlowMode = "residual") -> Tensor:
    """Return the mean length of each displacement in latent pixels: [B, 2, H, W] -> float32 [B].

    An `absolute` flow is a position, so the identity grid is subtracted first.
    """
    displacement = flow.float()
    if mode == "absolute":
        displacement = displacement - _make_identity(flow)
    height, width = flow.shape[-2:]
    in_px = displacement * displacement.new_tensor([width / 2, height / 2])[:, None, None]
    lengths_px: Tensor = torch.linalg.vector_norm(in_px, dim=1)
    return lengths_px.flatten(1).mean(1)


def _make_identity(flow: Tensor) -> Tensor:
    """Return the grid at which every pixel samples itself, float32 [2, H, W], for a flow [B, 2, H, W]."""
    height, width = flow.shape[-2:]
    x = (torch.arange(width, device=flow.device) * 2 + 1) / width - 1
    y = (torch.arange(height, device=flow.device) * 2 + 1) / height - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


class InjectionModule(nn.Module):
    """Map c_L [B, 77, D] to a FlowNet feature [B, 16, H / 2, W / 2] (Pix2Gif, section 3.3.2).

    A convolution along D maps 77 tokens to 16 channels and D to L = ceil(D / 3). The L values of a channel become a
    square: D = 768 gives 16 x 16, half of a 32 x 32 latent, as in the authors' code. If L is not a square number, it is
    interpolated down to one. If the square is not half the latent's size, it is interpolated to it, bilinearly.

    `lean` layers normalize the L values of each channel; `authors` all L x 16 values of a sample together.
    """

    def __init__(
        self, width: int, num_tokens: int = NUM_TOKENS, channels: int = 16, layers: WarpLayers = "lean"
    ) -> None:
        super().__init__()
        reduced = math.ceil(width / 3)
        self.side = math.isqrt(reduced)
        self.normalizes_together = layers == "authors"
        # Normalized one by one, channels would lose their biases.
        bias = self.normalizes_together
        self.conv = nn.Conv1d(num_tokens, channels, kernel_size=3, stride=3, padding=1, bias=bias)
        self.norm = nn.LayerNorm((reduced, channels) if self.normalizes_together else reduced)

    def forward(self, c_l: Tensor, size: tuple[int, int]) -> Tensor:
        """Return c_L [B, 77, D] as [B, 16, height, width], with `size` = (height, width)."""
        features = self.conv(c_l)
        features = F.relu(self.norm(features.mT).mT if self.normalizes_together else self.norm(features))
        if features.shape[-1] != self.side**2:
            features = F.interpolate(features, self.side**2, mode="linear", align_corners=False)
        features = features.reshape(*features.shape[:2], self.side, self.side)
        if features.shape[-2:] != size:
            features = F.interpolate(features, size, mode="bilinear", align_corners=False)
        return features


class FlowNet(nn.Module):
    """Predict a flow from a latent and the injected c_L, with an architecture like FlowNet2-SD (Pix2Gif, eq. 5).

    0.5 M parameters, with either kind of `layers`. `flow2` and `flow1` are coarse flows that refine the next one; only
    `flow0` is used for warping.
    """

    def __init__(
        self,
        in_channels: int = 4,
        injected_channels: int = 16,
        norm: FlowNorm = "group",
        zero_last: bool = True,
        layers: WarpLayers = "lean",
    ) -> None:
        super().__init__()
        self.conv0 = _block(in_channels, 64, norm, layers)
        self.conv1 = _block(64, 64, norm, layers, stride=2)
        self.conv1_1 = _block(64, 128, norm, layers)
        self.conv2 = _block(128, 128, norm, layers, stride=2)
        self.conv2_1 = _block(128, 128, norm, layers)
        self.flow2 = nn.Conv2d(128, 2, 3, padding=1)
        self.up2 = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)
        self.deconv1 = _deconv(128, 32, norm, layers)
        joined = 32 + 2 + injected_channels
        self.inter1 = _block(joined, 32, norm, layers)
        self.flow1 = nn.Conv2d(32, 2, 3, padding=1)
        self.up1 = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)
        self.deconv0 = _deconv(joined, 16, norm, layers)
        self.inter0 = _block(16 + 2, 16, norm, layers)
        self.flow0 = nn.Conv2d(16, 2, 3, padding=1)
        if zero_last:
            nn.init.zeros_(self.flow0.weight)
            nn.init.zeros_(self.flow0.bias)  # type: ignore[arg-type]

    def forward(self, latent: Tensor, injected: Tensor) -> Tensor:
        """Predict a flow in (-1, 1): latent [B, 4, H, W] and injected [B, 16, H / 2, W / 2] -> [B, 2, H, W]."""
        features = self.conv2_1(self.conv2(self.conv1_1(self.conv1(self.conv0(latent)))))  # [B, 128, H / 4, W / 4]
        flow2 = torch.tanh(self.flow2(features))
        joined1 = torch.cat([self.deconv1(features), self.up2(flow2), injected], 1)  # [B, 50, H / 2, W / 2]
        flow1 = torch.tanh(self.flow1(self.inter1(joined1)))
        joined0 = torch.cat([self.deconv0(joined1), self.up1(flow1)], 1)  # [B, 18, H, W]
        return torch.tanh(self.flow0(self.inter0(joined0)))


class WarpingModule(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers does not type its bases.
    """Injection module, FlowNet and WarpNet: source latent and c_L -> z_W and its flow (Pix2Gif, eq. 5 and 6).

    With `flow_mode="residual"`, FlowNet's last layer is initialized to zero, so z_W is the source latent at step 0.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        latent_channels: int = 4,
        condition_width: int = 768,
        num_tokens: int = NUM_TOKENS,
        injected_channels: int = 16,
        flow_mode: FlowMode = "residual",
        flow_norm: FlowNorm = "group",
        warp_layers: WarpLayers = "lean",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flow_mode: FlowMode = flow_mode
        self.injection = InjectionModule(condition_width, num_tokens, injected_channels, warp_layers)
        self.flow_net = FlowNet(
            latent_channels, injected_channels, flow_norm, zero_last=flow_mode == "residual", layers=warp_layers
        )

    def forward(self, source_latent: Tensor, c_l: Tensor) -> Warped:
        """Warp a source latent [B, 4, H, W] under c_L [B, 77, D]. H and W must be multiples of 4, else ModelError.

        Under autocast an `absolute` flow is computed in float32.
        """
        height, width = source_latent.shape[-2:]
        if height % 4 or width % 4:
            raise ModelError(f"a latent of {width} x {height} cannot be warped; its sides must be multiples of 4")
        size = (height // 2, width // 2)
        device = source_latent.device.type
        if self.flow_mode == "absolute" and torch.is_autocast_enabled(device):
            # In bfloat16 a position near the edge would be wrong by some hundredths of a pixel.
            with torch.autocast(device, enabled=False):
                flow = self.flow_net(source_latent.float(), self.injection(c_l.float(), size))
        else:
            flow = self.flow_net(source_latent, self.injection(c_l, size))
        return Warped(warp(source_latent, flow, self.flow_mode), flow)


def _block(
    in_channels: int, out_channels: int, norm: FlowNorm, layers: WarpLayers, stride: Literal[1, 2] = 1
) -> nn.Sequential:
    """Return a 3 x 3 convolution, a normalization and a leaky ReLU. A batch normalization makes the bias redundant."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=layers == "authors")
    return nn.Sequential(conv, _normalize(out_channels, norm), nn.LeakyReLU(SLOPE))


def _deconv(in_channels: int, out_channels: int, norm: FlowNorm, layers: WarpLayers) -> nn.Sequential:
    """Return a transposed convolution that doubles height and width, a normalization if the authors', a leaky ReLU."""
    normalizations = [_normalize(out_channels, norm)] if layers == "authors" else []
    deconv = nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)
    return nn.Sequential(deconv, *normalizations, nn.LeakyReLU(SLOPE))


def _normalize(channels: int, norm: FlowNorm) -> nn.Module:
    return nn.GroupNorm(NUM_GROUPS, channels) if norm == "group" else nn.BatchNorm2d(channels)
