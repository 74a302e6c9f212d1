import pytest
import torch
from safetensors.torch import load_file, save_file

from training.model.errors import ModelError
from training.model.motion import MotionEmbedding
from training.model.pretrained.loading import load_weights


@pytest.fixture
def folder(tmp_path):
    MotionEmbedding(num_motions=20, width=8, init="normal").save_pretrained(tmp_path / "part")
    return tmp_path


def test_complete_weights_load(folder):
    loaded = load_weights(MotionEmbedding.from_pretrained, "embedding", folder, subfolder="part")
    saved = load_file(folder / "part" / "diffusion_pytorch_model.safetensors")
    assert torch.equal(loaded.embedding.weight, saved["embedding.weight"])


def test_incomplete_weights_raise(folder):
    """diffusers and transformers initialize missing weights randomly and only log it."""
    save_file({"other": torch.zeros(1)}, folder / "part" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(ModelError, match=r"^the embedding in .*/part is incomplete: embedding\.weight is missing"):
        load_weights(MotionEmbedding.from_pretrained, "embedding", folder / "part")


def test_weights_of_another_shape_raise(folder):
    save_file({"embedding.weight": torch.zeros(3, 8)}, folder / "part" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(ModelError, match=r"^no embedding can be loaded"):
        load_weights(MotionEmbedding.from_pretrained, "embedding", folder / "part")


def test_a_missing_folder_raises(tmp_path):
    with pytest.raises(ModelError, match=r"^no embedding can be loaded from .*/part; .*[^.]$"):
        load_weights(MotionEmbedding.from_pretrained, "embedding", tmp_path, subfolder="part")
