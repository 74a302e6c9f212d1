"""Compute the memory of a step of `pix2gif giftune train`, by parts, at Stable Diffusion 1.5's sizes.

    python -m benchmarks.giftune_memory [--frames 24] [--resolution 512]

Models and clips have only shapes, on PyTorch's `meta` device. Every tensor that autograd saves for the backward pass is
counted, in half precision as under --precision fp16. The result is computed, not measured: the allocator's waste,
cuDNN's workspaces and CUDA's own memory (about half a GB) come on top.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

from benchmarks.helpers import make_parser, print_header, print_row
from training.giftune.inflation import InflatedBlock, InflatedUNet
from training.model.pretrained.stable_diffusion import initialize_stable_diffusion

_DEPTH_SIDE = 518


def num_bytes(module: nn.Module, *, trained: bool = False) -> int:
    """Return the bytes of a module's parameters, or of the trained ones."""
    return sum(p.numel() * p.element_size() for p in module.parameters() if p.requires_grad or not trained)


@contextmanager
def saved_bytes(*without: nn.Module) -> Iterator[Callable[[], int]]:
    """Count the bytes saved for the backward pass, each storage once, except the parameters of `without`."""
    known = {p.untyped_storage()._cdata for module in without for p in module.parameters()}
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if (storage := tensor.untyped_storage()._cdata) not in known:
            saved[storage] = tensor
        return tensor

    def count() -> int:
        return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield count


class FusedAttention(torch.autograd.Function):
    """Saves what a fused kernel saves: query, key, value, output and one number per query, but no attention matrix.

    On `meta`, PyTorch would use the implementation that stores the matrix.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return a tensor of the query's shape."""
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out, torch.empty(query.shape[:-1], device="meta"))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        """Not implemented: there is no backward pass."""
        raise AssertionError


def fused_attention(query: Tensor, key: Tensor, value: Tensor, **_: object) -> Tensor:
    """Replace PyTorch's scaled dot product attention."""
    attended: Tensor = FusedAttention.apply(query, key, value)  # type: ignore[no-untyped-call]
    return attended


def largest_block(model: InflatedUNet, latents: Tensor, text: Tensor) -> int:
    """Return the most bytes that one recomputed block saves: a residual or a transformer block."""
    sizes: list[int] = []
    hooks = []
    open_counts: list[tuple[object, Callable[[], int]]] = []

    def enter(module: nn.Module, args: object) -> None:
        context = saved_bytes(module)
        open_counts.append((context, context.__enter__()))

    def leave(module: nn.Module, args: object, output: object) -> None:
        context, count = open_counts.pop()
        sizes.append(count())
        context.__exit__(None, None, None)  # type: ignore[attr-defined]

    for module in model.modules():
        if isinstance(module, InflatedBlock) or type(module).__name__ == "ResnetBlock2D":
            hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    model(latents, torch.zeros(1, device="meta"), text)
    for hook in hooks:
        hook.remove()
    return max(sizes)


def make_depth_model() -> nn.Module:
    """Build a model with the shapes of Depth Anything V2 Small."""
    backbone = Dinov2Config.from_dict(
        {
            "hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "image_size": _DEPTH_SIDE,
            "patch_size": 14, "out_indices": [3, 6, 9, 12], "reshape_hidden_states": False, "apply_layernorm": True,
        }
    )  # fmt: skip
    return DepthAnythingForDepthEstimation(
        DepthAnythingConfig(backbone_config=backbone, reassemble_hidden_size=384, neck_hidden_sizes=[48, 96, 192, 384])
    )


def count_parts(num_frames: int, resolution: int) -> dict[str, int]:
    """Return the bytes of each part."""
    side = resolution // 8
    with torch.device("meta"):
        parts = initialize_stable_diffusion("sd15")
        model = InflatedUNet(parts.unet, num_frames)
        depth = make_depth_model().requires_grad_(False)
        latents = torch.zeros(1, num_frames, 4, side, side, dtype=torch.half)
        text = torch.zeros(1, 77, 768, dtype=torch.half)
    counted = {
        "U-Net with temporal attention, float32": num_bytes(model),
        "of it trained": num_bytes(model, trained=True),
        "gradients and AdamW's two moments, float32": 3 * num_bytes(model, trained=True),
        "autoencoder and text model, float16": (num_bytes(parts.vae) + num_bytes(parts.text_encoder)) // 2,
        "depth model, float32": num_bytes(depth),
    }
    parts.vae.half()
    model.half().train()
    with saved_bytes(model) as count:
        model(latents, torch.zeros(1, device="meta"), text)
        counted["activations, all saved"] = count()
    counted["activations, largest block"] = largest_block(model, latents, text)
    parts.unet.enable_gradient_checkpointing()
    with saved_bytes(model) as count:
        model(latents, torch.zeros(1, device="meta"), text)
        counted["activations, saved with checkpointing"] = count()
    with saved_bytes(parts.vae, depth) as count:
        decoded = parts.vae.decode(latents[0, :1].requires_grad_()).sample
        depth(pixel_values=interpolate(decoded.float(), (_DEPTH_SIDE, _DEPTH_SIDE), mode="bicubic"))
        counted["background loss, one frame, recomputed"] = count()
    return counted


def main() -> None:
    """Print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--resolution", type=int, default=512)
    args = parser.parse_args()
    with mock.patch.object(torch.nn.functional, "scaled_dot_product_attention", fused_attention):
        parts = count_parts(args.frames, args.resolution)
    print(f"{args.frames} frames of {args.resolution} x {args.resolution}, Stable Diffusion 1.5.\n")
    print_header("part", "GB")
    for name, size in parts.items():
        print_row(name, f"{size / 1e9:.2f}")


if __name__ == "__main__":
    main()
