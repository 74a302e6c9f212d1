"""Frame i hears frames 1 and i-1 and no other; asked by changing one frame at a time."""

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0

from training.giftune.attention import SpatioTemporalProcessor, gather_earlier_frames

NUM_FRAMES = 5


@pytest.fixture
def attention():
    torch.manual_seed(0)
    return Attention(query_dim=16, heads=2, dim_head=8, processor=SpatioTemporalProcessor(NUM_FRAMES)).eval()


@pytest.fixture
def hidden():
    """Two clips of five frames, 6 positions of 16 channels."""
    return torch.randn(2 * NUM_FRAMES, 6, 16, generator=torch.Generator().manual_seed(1))


def heard_frames(attention, hidden) -> list[set[int]]:
    """Of each frame of clip 1: which frames change it when they are changed; clip 2 must never change."""
    with torch.no_grad():
        before = attention(hidden)
        heard: list[set[int]] = [set() for _ in range(NUM_FRAMES)]
        for changed in range(NUM_FRAMES):
            other = hidden.clone()
            other[changed] += torch.randn(6, 16, generator=torch.Generator().manual_seed(2))
            after = attention(other)
            assert torch.equal(after[NUM_FRAMES:], before[NUM_FRAMES:])
            for frame in range(NUM_FRAMES):
                if not torch.equal(after[frame], before[frame]):
                    heard[frame].add(changed)
    return heard


def test_a_frame_hears_the_first_and_the_one_before_and_asks_itself(attention, hidden):
    assert heard_frames(attention, hidden) == [{0}, {0, 1}, {0, 1, 2}, {0, 2, 3}, {0, 3, 4}]


def test_a_frame_gives_itself_no_answer(attention, hidden):
    torch.nn.init.zeros_(attention.to_q.weight)  # All frames ask the same, so what is left is whom they hear.
    assert heard_frames(attention, hidden) == [{0}, {0}, {0, 1}, {0, 2}, {0, 3}]


def test_the_first_frame_attends_as_in_the_image_model(attention, hidden):
    with torch.no_grad():
        ours = attention(hidden)
        attention.set_processor(AttnProcessor2_0())
        image = attention(hidden)
    for first in (0, NUM_FRAMES):
        torch.testing.assert_close(ours[first], image[first], rtol=0, atol=1e-6)
    assert not torch.allclose(ours[1], image[1], atol=1e-3)


def test_what_is_gathered_is_the_first_frame_and_then_the_one_before():
    hidden = torch.arange(4.0).reshape(4, 1, 1)
    assert gather_earlier_frames(hidden, 4)[:, :, 0].tolist() == [[0, 0], [0, 0], [0, 1], [0, 2]]
