"""Stable Diffusion in one file of the original format."""

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from tests.training.model.pretrained.original_format import save_single_file
from training.model.config import ModelConfig
from training.model.errors import ModelError
from training.model.factory import build_from_stable_diffusion
from training.model.pretrained.single_file import load_single_file
from training.model.pretrained.stable_diffusion import make_random_stable_diffusion


class Opener:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture(scope="module")
def parts():
    return make_random_stable_diffusion("tiny")


@pytest.fixture(scope="module")
def config(parts, tmp_path_factory):
    """Save configs and tokenizer as of a hub repository."""
    folder = tmp_path_factory.mktemp("config")
    names = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    pipeline = StableDiffusionPipeline(
        **{name: getattr(parts, name) for name in names}, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    for weights in folder.rglob("*.safetensors"):
        weights.unlink()
    return str(folder)


def assert_equal(loaded, expected):
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.items())


def test_every_part_of_a_file_is_loaded_offline(parts, config, tmp_path):
    loaded = load_single_file(save_single_file(parts, tmp_path / "sd.safetensors"), config)
    for name in ("unet", "vae", "text_encoder"):
        assert_equal(loaded[name].state_dict(), getattr(parts, name).state_dict())
    assert loaded["tokenizer"].get_vocab() == parts.tokenizer.get_vocab()
    assert loaded["scheduler"].config["beta_schedule"] == "scaled_linear"


def test_averaged_weights_are_preferred(parts, config, tmp_path):
    averaged = {name: tensor + 1 for name, tensor in parts.unet.state_dict().items()}
    path = save_single_file(parts, tmp_path / "sd.safetensors", averaged=averaged)
    assert_equal(load_single_file(path, config)["unet"].state_dict(), averaged)


def test_a_model_is_built_from_a_file_with_another_autoencoder(parts, config, tmp_path):
    path = save_single_file(parts, tmp_path / "sd.safetensors")
    other = make_random_stable_diffusion("tiny", seed=1).vae
    other.save_pretrained(tmp_path / "vae")
    built = build_from_stable_diffusion(path, ModelConfig(), vae=tmp_path / "vae", single_file_config=config)
    assert_equal(built.vae.state_dict(), other.state_dict())
    assert torch.equal(built.model.unet.conv_in.weight[:, :4], parts.unet.conv_in.weight)
    assert {tensor.dtype for tensor in built.model.parameters()} == {torch.float32}


def test_files_that_are_incomplete_or_no_checkpoint_raise_one_sentence(parts, config, tmp_path):
    path = save_single_file(parts, tmp_path / "sd.safetensors")
    tensors = load_file(path)
    for name, sentence in (
        ("model.diffusion_model.out.2.bias", "a weight of its U-Net or autoencoder"),
        ("first_stage_model.decoder.conv_out.bias", "a weight of its U-Net or autoencoder"),
        ("cond_stage_model.transformer.text_model.final_layer_norm.bias", "final_layer_norm.bias of its text model"),
    ):
        save_file({key: tensor for key, tensor in tensors.items() if key != name}, path)
        with pytest.raises(ModelError, match=rf"^the file .*sd\.safetensors is incomplete: {sentence} is missing$"):
            load_single_file(path, config)
    save_file({"something": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match=r"^Stable Diffusion cannot be loaded from the file [^\n]*[^.\n]$"):
        load_single_file(path, config)
    path.write_bytes(b"torn")
    with pytest.raises(ModelError, match="cannot be loaded from the file"):
        load_single_file(path, config)


def test_a_pickled_file_runs_no_code(parts, config, tmp_path):
    tensors = load_file(save_single_file(parts, tmp_path / "sd.safetensors"))
    torch.save({"state_dict": tensors}, tmp_path / "sd.ckpt")
    assert_equal(load_single_file(tmp_path / "sd.ckpt", config)["vae"].state_dict(), parts.vae.state_dict())
    torch.save({"state_dict": tensors, "other": Opener(tmp_path / "ran")}, tmp_path / "bad.ckpt")
    with pytest.raises(ModelError, match=r"cannot be loaded from the file .*bad\.ckpt"):
        load_single_file(tmp_path / "bad.ckpt", config)
    assert not (tmp_path / "ran").exists()
