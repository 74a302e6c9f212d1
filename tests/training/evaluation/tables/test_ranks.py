import pytest

from training.evaluation.tables.ranks import Ranks


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_shares_are_disjoint_and_complete(world_size):
    items = list(range(7))
    shares = [Ranks(rank=rank, world_size=world_size).share(items) for rank in range(world_size)]
    assert sorted(item for share in shares for item in share) == items
