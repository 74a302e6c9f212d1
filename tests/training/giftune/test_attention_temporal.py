import pytest
import torch

from tests.training.giftune.conftest import set_at_random
from training.giftune.attention import TemporalAttention

NUM_FRAMES, POSITIONS = 4, 3


@pytest.fixture
def temporal():
    torch.manual_seed(0)
    return TemporalAttention(16, num_heads=2, head_dim=8, num_frames=NUM_FRAMES)


@pytest.fixture
def hidden():
    return torch.randn(2 * NUM_FRAMES, POSITIONS, 16, generator=torch.Generator().manual_seed(1))


def test_it_adds_nothing_at_first(temporal, hidden):
    assert torch.equal(temporal(hidden), hidden)


def test_a_position_hears_itself_in_every_frame_of_its_clip_and_nothing_else(temporal, hidden):
    set_at_random(temporal)
    other = hidden.clone()
    other[2, 1] += 1  # Frame 3 of clip 1, position 2.
    with torch.no_grad():
        changed = (temporal(other) != temporal(hidden)).any(dim=-1)
    expected = torch.zeros(2 * NUM_FRAMES, POSITIONS, dtype=torch.bool)
    expected[:NUM_FRAMES, 1] = True
    assert torch.equal(changed, expected)
