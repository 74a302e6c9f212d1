"""Write Stable Diffusion in the original (LDM) format: the inverse of diffusers' conversion."""

import re
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from training.model.pretrained.stable_diffusion import StableDiffusion

_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def save_single_file(parts: StableDiffusion, path: Path, *, averaged: dict[str, Tensor] | None = None) -> Path:
    """Save U-Net, autoencoder and text model as one file; `averaged` are EMA weights of the U-Net."""
    layers = parts.unet.config["layers_per_block"]
    num_levels = len(parts.vae.config["down_block_types"])
    tensors = {}
    for name, tensor in parts.unet.state_dict().items():
        tensors[f"model.diffusion_model.{_rename_unet(name, layers)}"] = tensor
    for name, tensor in (averaged or {}).items():
        tensors[f"model_ema.diffusion_model{_rename_unet(name, layers).replace('.', '')}"] = tensor
    for name, tensor in parts.vae.state_dict().items():
        renamed = _rename_vae(name, num_levels)
        is_matrix = "attn_1" in renamed and tensor.ndim == 2
        tensors[f"first_stage_model.{renamed}"] = tensor[:, :, None, None] if is_matrix else tensor
    for name, tensor in parts.text_encoder.state_dict().items():
        tensors[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, path)
    return path


def _rename_unet(name: str, layers: int) -> str:
    for ours, original in _UNET_ENDS.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, original, 1)
    if found := re.match(r"down_blocks\.(\d+)\.(resnets|attentions|downsamplers)\.(\d+)\.(.*)", name):
        block, index = int(found[1]), int(found[3])
        if found[2] == "downsamplers":
            return f"input_blocks.{(block + 1) * (layers + 1)}.0.{found[4].replace('conv', 'op')}"
        place = f"input_blocks.{block * (layers + 1) + index + 1}"
    elif found := re.match(r"up_blocks\.(\d+)\.(resnets|attentions|upsamplers)\.(\d+)\.(.*)", name):
        block, index = int(found[1]), int(found[3])
        if found[2] == "upsamplers":
            # The tiny U-Net has no attention in the block that is followed by an upsampling.
            return f"output_blocks.{block * (layers + 1) + layers}.1.{found[4]}"
        place = f"output_blocks.{block * (layers + 1) + index}"
    else:
        found = re.match(r"(mid_block)\.(resnets|attentions)\.(\d+)\.(.*)", name)
        assert found
        place = f"middle_block.{2 * int(found[3]) if found[2] == 'resnets' else 1}"
        if found[2] == "attentions":
            return f"{place}.{found[4]}"
        return f"{place}.{_replace_start(found[4], _RESNET)}"
    return f"{place}.{0 if found[2] == 'resnets' else 1}.{_replace_start(found[4], _RESNET)}"


def _rename_vae(name: str, num_levels: int) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("mid_block.attentions.0", "mid.attn_1")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(
        r"up_blocks\.(\d)\.(resnets|upsamplers\.0)",
        lambda found: f"up.{num_levels - 1 - int(found[1])}.{'block' if found[2] == 'resnets' else 'upsample'}",
        name,
    )
    if "attn_1" in name:
        start, _, end = name.partition("attn_1.")
        return f"{start}attn_1.{_replace_start(end, _ATTENTION)}"
    return name.replace("conv_shortcut", "nin_shortcut")


def _replace_start(name: str, names: dict[str, str]) -> str:
    for ours, original in names.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, original, 1)
    return name
