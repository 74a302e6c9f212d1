import pytest
import torch

from training.model.errors import ModelError
from training.model.motion import MotionEmbedding


def test_magnitudes_are_truncated_to_whole_numbers():
    embedding = MotionEmbedding(num_motions=20, width=8, init="normal")
    c_m = embedding(torch.tensor([3.0, 3.99, 19.0]))
    assert c_m.shape == (3, 1, 8)
    torch.testing.assert_close(c_m[:, 0], embedding.embedding.weight[[3, 3, 19]], rtol=0, atol=0)


def test_the_initial_embedding_is_zero_or_normal():
    assert MotionEmbedding(init="zero").embedding.weight.abs().max() == 0
    torch.manual_seed(0)
    weight = MotionEmbedding(init="normal").embedding.weight
    assert weight.shape == (1024, 768)
    assert abs(weight.std().item() - 1) < 0.01


@pytest.mark.parametrize("motion", [20.0, -0.1, float("nan")])
def test_a_motion_outside_the_embedding_raises(motion):
    with pytest.raises(ModelError, match=r"^the motion .* is not in the embedding; it must be 0 to 19$"):
        MotionEmbedding(num_motions=20, width=8)(torch.tensor([1.0, motion]))
