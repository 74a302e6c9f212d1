"""Which frames influence which: each test changes one frame at a time."""

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0

from tests.training.giftune.helpers import perturb_trained_parameters
from training.giftune.attention import SpatioTemporalProcessor, TemporalAttention, gather_earlier_frames

NUM_FRAMES = 5


@pytest.fixture
def attention():
    torch.manual_seed(0)
    return Attention(query_dim=16, heads=2, dim_head=8, processor=SpatioTemporalProcessor(NUM_FRAMES)).eval()


@pytest.fixture
def hidden():
    """Two clips of five frames, with 6 positions of 16 channels."""
    return torch.randn(2 * NUM_FRAMES, 6, 16, generator=torch.Generator().manual_seed(1))


def find_influences(attention, hidden) -> list[set[int]]:
    """Return, for each frame of clip 1, the frames that change it. Clip 2 must never change."""
    with torch.no_grad():
        before = attention(hidden)
        influences: list[set[int]] = [set() for _ in range(NUM_FRAMES)]
        for changed in range(NUM_FRAMES):
            other = hidden.clone()
            other[changed] += torch.randn(6, 16, generator=torch.Generator().manual_seed(2))
            after = attention(other)
            assert torch.equal(after[NUM_FRAMES:], before[NUM_FRAMES:])
            for frame in range(NUM_FRAMES):
                if not torch.equal(after[frame], before[frame]):
                    influences[frame].add(changed)
    return influences


def test_a_frame_depends_on_itself_the_first_and_the_previous_frame(attention, hidden):
    assert find_influences(attention, hidden) == [{0}, {0, 1}, {0, 1, 2}, {0, 2, 3}, {0, 3, 4}]


def test_keys_and_values_come_from_the_first_and_the_previous_frame(attention, hidden):
    torch.nn.init.zeros_(attention.to_q.weight)  # Equal queries: only keys and values matter.
    assert find_influences(attention, hidden) == [{0}, {0}, {0, 1}, {0, 2}, {0, 3}]


def test_the_first_frame_attends_like_the_image_model(attention, hidden):
    with torch.no_grad():
        ours = attention(hidden)
        attention.set_processor(AttnProcessor2_0())
        image = attention(hidden)
    for first in (0, NUM_FRAMES):
        torch.testing.assert_close(ours[first], image[first], rtol=0, atol=1e-6)
    assert not torch.allclose(ours[1], image[1], atol=1e-3)


def test_the_first_and_the_previous_frame_are_gathered():
    hidden = torch.arange(4.0).reshape(4, 1, 1)
    assert gather_earlier_frames(hidden, 4)[:, :, 0].tolist() == [[0, 0], [0, 0], [0, 1], [0, 2]]


@pytest.fixture
def temporal():
    torch.manual_seed(0)
    return TemporalAttention(16, num_heads=2, head_dim=8, num_frames=NUM_FRAMES)


def test_new_temporal_attention_is_the_identity(temporal, hidden):
    assert torch.equal(temporal(hidden), hidden)


def test_temporal_attention_mixes_only_the_frames_of_a_position(temporal, hidden):
    perturb_trained_parameters(temporal)
    other = hidden.clone()
    other[2, 1] += 1  # Frame 3 of clip 1, position 2.
    with torch.no_grad():
        changed = (temporal(other) != temporal(hidden)).any(dim=-1)
    expected = torch.zeros(2 * NUM_FRAMES, 6, dtype=torch.bool)
    expected[:NUM_FRAMES, 1] = True
    assert torch.equal(changed, expected)
