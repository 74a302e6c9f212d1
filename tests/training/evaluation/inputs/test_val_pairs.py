import numpy as np
import pytest

from shards.errors import DatasetError
from shards.manifest import read_manifest
from shards.reader import read_shard
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.val_pairs import draw_pairs


def test_seed_determines_the_drawn_pairs(small_shards):
    pairs = draw_pairs(small_shards, 4, seed=1371)
    assert [pair.key for pair in pairs] == [pair.key for pair in draw_pairs(small_shards, 4, seed=1371)]
    assert len({pair.key for pair in pairs}) == 4
    assert len({tuple(pair.key for pair in draw_pairs(small_shards, 4, seed)) for seed in range(4)}) > 1
    assert {pair.source.shape for pair in pairs} == {(128, 128, 3)}
    assert all(2 <= pair.motion_px <= 20 for pair in pairs)
    assert pairs[0].digest != pairs[1].digest


def test_pairs_of_several_shards_are_in_shard_order(small_shards):
    entry = read_manifest(small_shards).splits["train"]
    assert len(entry.shards) == 3
    keys = [s.record.key for shard in entry.shards for s in read_shard(small_shards / "train" / shard.name)]
    assert [pair.key for pair in draw_pairs(small_shards, entry.num_samples, seed=0, split="train")] == keys


def test_images_are_resized_to_the_given_resolution(small_shards):
    pair = draw_pairs(small_shards, 1, seed=0, resolution=64)[0]
    assert pair.source.shape == pair.target.shape == (64, 64, 3)
    assert pair.source.dtype == np.uint8


def test_too_few_pairs_or_no_data_set_raise(small_shards, tmp_path):
    with pytest.raises(EvaluationError, match="10 pairs in val, fewer than the 11 to draw"):
        draw_pairs(small_shards, 11, seed=0)
    with pytest.raises(DatasetError, match="no finished data set"):
        draw_pairs(tmp_path, 1, seed=0)
