"""Every kept pair stands in one place, shards are full, and the pairs of a clip are apart."""

import collections
import itertools

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curation.config import CurationConfig
from curation.export.shard_plan import SAMPLES_PER_FRAGMENT, PlannedShard, ShardPlan
from tests.strategies import selection_table, selections


def make_selection(num_clips: int, num_pairs: int = 10) -> pa.Table:
    """Some clips with equally many pairs each."""
    return selection_table([(f"clip-{c:04d}", 0, k + 1) for c in range(num_clips) for k in range(num_pairs)])


def plan(pairs: pa.Table, samples_per_shard: int, seed: int = 0) -> list[PlannedShard]:
    """Plan the shards of one split."""
    return list(ShardPlan("train", pairs, CurationConfig(samples_per_shard=samples_per_shard, seed=seed)))


@given(selections(), st.integers(1, 40), st.integers(0, 3))
def test_every_pair_stands_once_in_full_shards(pairs: pa.Table, samples_per_shard: int, seed: int) -> None:
    shards = plan(pairs, samples_per_shard, seed)
    told = pairs.drop_columns("across_cut")
    planned = [
        {"clip_key": key, **{name: getattr(pair, name) for name in told.schema.names[1:]}}
        for shard in shards
        for key, pair in shard.sample_order(seed)
    ]
    assert sorted(planned, key=lambda row: tuple(row.values())[:3]) == told.to_pylist()
    assert [shard.num_samples for shard in shards[:-1]] == [samples_per_shard] * (len(shards) - 1)
    assert all(0 < shard.num_samples <= samples_per_shard for shard in shards)
    assert [(shard.split, shard.number) for shard in shards] == [("train", n) for n in range(len(shards))]


@given(selections(), st.integers(1, 40))
def test_a_clip_stands_in_one_shard_or_in_consecutive_ones(pairs: pa.Table, samples_per_shard: int) -> None:
    places = collections.defaultdict(list)
    for shard in plan(pairs, samples_per_shard):
        for clip in shard.clips:
            places[clip.clip_key].append(shard.number)
    for numbers in places.values():
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert len(numbers) <= 1 + -(-15 // samples_per_shard)


@given(selections(), st.integers(1, 300))
def test_fragments_are_whole_clips_of_about_equal_work(pairs: pa.Table, samples_per_shard: int) -> None:
    for shard in plan(pairs, samples_per_shard):
        fragments = shard.fragments()
        assert tuple(itertools.chain(*fragments)) == shard.clips
        sizes = [sum(len(clip.pairs) for clip in fragment) for fragment in fragments]
        assert all(size >= SAMPLES_PER_FRAGMENT for size in sizes[:-1])
        assert all(0 < size < SAMPLES_PER_FRAGMENT + 15 for size in sizes)


@given(st.integers(2, 40), st.integers(1, 15), st.integers(0, 2**63 - 1))
def test_pairs_of_one_clip_are_no_neighbours_where_others_have_as_many(
    num_clips: int, num_pairs: int, seed: int
) -> None:
    (shard,) = plan(make_selection(num_clips, num_pairs), 1000, seed)
    keys = [key for key, _ in shard.sample_order(seed)]
    assert all(one != other for one, other in itertools.pairwise(keys))


def test_in_a_full_shard_the_pairs_of_a_clip_are_far_apart() -> None:
    shard = plan(make_selection(300), 1000)[0]
    places = collections.defaultdict(list)
    for place, (key, _) in enumerate(shard.sample_order(0)):
        places[key].append(place)
    steps = [b - a for numbers in places.values() if len(numbers) == 10 for a, b in itertools.pairwise(numbers)]
    assert min(steps) > 80


def test_the_order_of_clips_and_of_samples_is_drawn_by_the_seed() -> None:
    orders = {tuple(plan(make_selection(30), 100, seed)[0].sample_order(seed)) for seed in (0, 1, 1)}
    assert len(orders) == 2
    order = [clip.clip_key for shard in plan(make_selection(30), 100) for clip in shard.clips]
    assert order != sorted(order)
    targets = [pair.target_index for key, pair in plan(make_selection(30), 1000)[0].sample_order(0) if key == order[0]]
    assert sorted(targets) == list(range(1, 11))
    assert targets != sorted(targets)


def test_nothing_kept_is_no_shard() -> None:
    assert plan(make_selection(0), 10) == []


@given(selections(), st.integers(10, 40))
def test_a_shard_is_the_same_whenever_it_is_asked_for(pairs: pa.Table, samples_per_shard: int) -> None:
    shards = ShardPlan("train", pairs, CurationConfig(samples_per_shard=samples_per_shard))
    in_order = list(shards)
    assert sum(shard.num_samples for shard in in_order) == shards.num_samples == pairs.num_rows
    assert [shards[number] for number in reversed(range(len(shards)))] == in_order[::-1]
