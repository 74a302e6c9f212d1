"""Random LoRAs of Stable Diffusion 1.x, with the layers and in both formats of LCM-LoRA, change frames."""

import dataclasses

import numpy as np
import pytest
import torch
from diffusers.utils import convert_state_dict_to_kohya
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file

from training.generation.config import GenerationConfig
from training.generation.errors import GenerationError
from training.generation.generate import generate, load_generator
from training.generation.images import SourceImage
from training.model.pipeline import Pix2GifPipeline
from training.model.pretrained.stable_diffusion import make_random_stable_diffusion

LCM_TARGETS = [
    *("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2"),
    *("conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj"),
]
LCM = GenerationConfig(
    motion_px=(2.0, 19.0), scheduler="lcm", num_inference_steps=2, text_guidance=1, image_guidance=1
)  # fmt: skip


@pytest.fixture(scope="module")
def loras(tmp_path_factory):
    """Draw a LoRA for the U-Net of Stable Diffusion, whose first convolution has 4 channels."""
    folder = tmp_path_factory.mktemp("lora")
    unet = make_random_stable_diffusion("tiny").unet
    unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=LCM_TARGETS))
    generator = torch.Generator().manual_seed(0)
    layers = {
        name: torch.randn(tensor.shape, generator=generator) * 0.1
        for name, tensor in get_peft_model_state_dict(unet).items()
    }
    Pix2GifPipeline.save_lora_weights(folder / "diffusers", unet_lora_layers=layers)
    (folder / "kohya").mkdir()
    prefixed = {f"unet.{name}": tensor for name, tensor in layers.items()}
    kohya = {
        name.replace("unet.", "lora_unet_", 1): tensor for name, tensor in convert_state_dict_to_kohya(prefixed).items()
    }
    save_file(kohya, folder / "kohya" / "pytorch_lora_weights.safetensors")
    return folder


def generate_frames(model, picture, config):
    generator = load_generator(str(model), "cpu", lora=config.lora, lora_scale=config.lora_scale)
    generator.pipeline.set_progress_bar_config(disable=True)
    frames = generate(generator, SourceImage(image=picture), "a dog", config).frames
    return generator, np.stack([np.asarray(frame) for frame in frames]).astype(int)


def test_a_lora_changes_frames_by_its_scale_in_either_format(model, picture, loras):
    without, frames = generate_frames(model, picture, LCM)
    by_format = {}
    for name in ("diffusers", "kohya"):
        config = dataclasses.replace(LCM, lora=str(loras / name))
        generator, by_format[name] = generate_frames(model, picture, config)
        assert generator.sha256 != without.sha256
    assert np.abs(by_format["diffusers"] - by_format["kohya"]).max() <= 1
    assert np.abs(by_format["diffusers"] - frames).max() > 10
    _, off = generate_frames(model, picture, dataclasses.replace(LCM, lora=str(loras / "diffusers"), lora_scale=0.0))
    assert np.abs(off - frames).max() <= 1


def test_what_is_no_lora_of_this_model_raises_one_sentence(model, tmp_path):
    save_file({"unet.other.lora_A.weight": torch.zeros(4, 4), "unet.other.lora_B.weight": torch.zeros(4, 4)},
              tmp_path / "other.safetensors")  # fmt: skip
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    for name in ("other.safetensors", "torn.safetensors", "none.safetensors"):
        with pytest.raises(GenerationError, match=f"{name}.*[^.]$") as raised:
            load_generator(str(model), "cpu", lora=str(tmp_path / name))
        assert "\n" not in str(raised.value)
