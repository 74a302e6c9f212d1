"""Every kept pair is in one shard, shards are full, and the pairs of a clip are spread."""

import collections
import itertools

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curation.config import CurationConfig
from curation.export.shard_plan import SAMPLES_PER_FRAGMENT, PlannedShard, ShardPlan
from tests.strategies import selection_table, selections


def make_selection(num_clips: int, num_pairs: int = 10) -> pa.Table:
    """Make a selection of clips with the same number of pairs each."""
    return selection_table([(f"clip-{c:04d}", 0, k + 1) for c in range(num_clips) for k in range(num_pairs)])


def plan(pairs: pa.Table, samples_per_shard: int, seed: int = 0) -> list[PlannedShard]:
    """Plan the shards of one split."""
    return list(ShardPlan("train", pairs, CurationConfig(samples_per_shard=samples_per_shard, seed=seed)))


@given(selections(), st.integers(1, 40), st.integers(0, 3))
def test_every_pair_is_in_one_shard_and_shards_are_full(pairs: pa.Table, samples_per_shard: int, seed: int) -> None:
    shards = plan(pairs, samples_per_shard, seed)
    expected = pairs.drop_columns("across_cut")
    planned = [
        {"clip_key": key, **{name: getattr(pair, name) for name in expected.schema.names[1:]}}
        for shard in shards
        for key, pair in shard.order_samples(seed)
    ]
    assert sorted(planned, key=lambda row: tuple(row.values())[:3]) == expected.to_pylist()
    assert [shard.num_samples for shard in shards[:-1]] == [samples_per_shard] * (len(shards) - 1)
    assert all(0 < shard.num_samples <= samples_per_shard for shard in shards)
    assert [(shard.split, shard.number) for shard in shards] == [("train", n) for n in range(len(shards))]


@given(selections(), st.integers(1, 40))
def test_a_clip_is_in_one_shard_or_in_consecutive_ones(pairs: pa.Table, samples_per_shard: int) -> None:
    numbers_by_clip = collections.defaultdict(list)
    for shard in plan(pairs, samples_per_shard):
        for clip in shard.clips:
            numbers_by_clip[clip.clip_key].append(shard.number)
    for numbers in numbers_by_clip.values():
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert len(numbers) <= 1 + -(-15 // samples_per_shard)


@given(selections(), st.integers(1, 300))
def test_fragments_are_whole_clips_of_similar_size(pairs: pa.Table, samples_per_shard: int) -> None:
    for shard in plan(pairs, samples_per_shard):
        fragments = shard.split_into_fragments()
        assert tuple(itertools.chain(*fragments)) == shard.clips
        sizes = [sum(len(clip.pairs) for clip in fragment) for fragment in fragments]
        assert all(size >= SAMPLES_PER_FRAGMENT for size in sizes[:-1])
        assert all(0 < size < SAMPLES_PER_FRAGMENT + 15 for size in sizes)


@given(st.integers(2, 40), st.integers(1, 15), st.integers(0, 2**63 - 1))
def test_pairs_of_one_clip_are_not_adjacent(num_clips: int, num_pairs: int, seed: int) -> None:
    (shard,) = plan(make_selection(num_clips, num_pairs), 1000, seed)
    keys = [key for key, _ in shard.order_samples(seed)]
    assert all(key != next_key for key, next_key in itertools.pairwise(keys))


def test_pairs_of_one_clip_are_far_apart_in_a_full_shard() -> None:
    shard = plan(make_selection(300), 1000)[0]
    positions_by_clip = collections.defaultdict(list)
    for position, (key, _) in enumerate(shard.order_samples(0)):
        positions_by_clip[key].append(position)
    whole_clips = [positions for positions in positions_by_clip.values() if len(positions) == 10]
    distances = [b - a for positions in whole_clips for a, b in itertools.pairwise(positions)]
    assert min(distances) > 80


def test_the_seed_decides_the_order_of_clips_and_samples() -> None:
    orders = {tuple(plan(make_selection(30), 100, seed)[0].order_samples(seed)) for seed in (0, 1, 1)}
    assert len(orders) == 2
    order = [clip.clip_key for shard in plan(make_selection(30), 100) for clip in shard.clips]
    assert order != sorted(order)
    targets = [pair.target_index for key, pair in plan(make_selection(30), 1000)[0].order_samples(0) if key == order[0]]
    assert sorted(targets) == list(range(1, 11))
    assert targets != sorted(targets)


def test_an_empty_selection_has_no_shards() -> None:
    assert plan(make_selection(0), 10) == []


@given(selections(), st.integers(10, 40))
def test_shards_do_not_depend_on_the_order_of_access(pairs: pa.Table, samples_per_shard: int) -> None:
    shards = ShardPlan("train", pairs, CurationConfig(samples_per_shard=samples_per_shard))
    in_order = list(shards)
    assert sum(shard.num_samples for shard in in_order) == shards.num_samples == pairs.num_rows
    assert [shards[number] for number in reversed(range(len(shards)))] == in_order[::-1]
