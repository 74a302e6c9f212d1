"""Which pairs are selected, and that the choice depends only on measurements, thresholds and seed."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.selection.pair_counts import compute_bin_edges
from curation.selection.pairs import Selection, select_pairs
from shards.manifest import read_manifest
from tests.curation.selection.helpers import best_entropy, entropy, write_flow


def select_one_split(parts: list[Path], keys: Iterable[str], config: CurationConfig) -> Selection:
    return select_pairs(parts, dict.fromkeys(keys, "train"), config)["train"]


def kept_pairs(selection: Selection) -> set[tuple[str, int, int]]:
    rows = selection.pairs.to_pylist()
    return {(row["clip_key"], row["source_index"], row["target_index"]) for row in rows}


def num_in_range(selection: Selection) -> dict[str, int]:
    return dict(zip(selection.clip_keys, selection.num_in_range.tolist(), strict=True))


@pytest.fixture
def clips() -> dict[str, list[float]]:
    rng = np.random.default_rng(7)
    return {f"clip-{n}": rng.gamma(2.0, 4.0, 60).tolist() for n in range(20)}


def test_each_clip_keeps_up_to_the_cap_of_its_pairs_in_range(tmp_path, clips):
    config = CurationConfig(pairs_per_gif=7)
    clips["few"] = [1.0, 2.0, 20.0, 20.1, 30.0]
    selection = select_one_split([write_flow(tmp_path, clips)], clips, config)
    for key, motions in clips.items():
        in_range = sum(2 <= np.float32(motion) <= 20 for motion in motions)
        assert num_in_range(selection)[key] == in_range
        assert sum(clip_key == key for clip_key, _, _ in kept_pairs(selection)) == min(7, in_range)
    assert all(2 <= motion <= 20 for motion in selection.pairs["motion_px"].to_pylist())


def test_the_order_of_rows_parts_and_clips_does_not_matter(tmp_path, clips):
    config = CurationConfig()
    whole = select_one_split([write_flow(tmp_path / "a", clips)], clips, config)
    shuffled = np.random.default_rng(1).permutation(60).tolist()
    parts = [write_flow(tmp_path / "b", {key: clips[key]}, shuffled) for key in reversed(clips)]
    assert select_one_split(parts, reversed(list(clips)), config).pairs.equals(whole.pairs)


def test_another_seed_selects_other_pairs(tmp_path, clips):
    parts = [write_flow(tmp_path, clips)]
    first, second = (kept_pairs(select_one_split(parts, clips, CurationConfig(seed=seed))) for seed in (0, 1))
    assert len(first) == len(second)
    assert first != second


def test_clips_below_min_pairs_are_left_out(tmp_path):
    clips = {"many": [3.0] * 8, "few": [3.0] * 2}
    selection = select_one_split([write_flow(tmp_path, clips)], clips, CurationConfig(min_pairs=3))
    assert {key for key, _, _ in kept_pairs(selection)} == {"many"}
    assert num_in_range(selection) == {"many": 8, "few": 2}


def test_splits_are_selected_independently(tmp_path, clips):
    part, splits = write_flow(tmp_path, clips), {key: ("train", "val")[n % 3 == 0] for n, key in enumerate(clips)}
    del splits["clip-19"]  # In no split, so nothing is selected from it.
    selections = select_pairs([part], splits, CurationConfig())
    assert list(selections) == ["train", "val"]
    for split, selection in selections.items():
        own = [key for key, split_of_key in splits.items() if split_of_key == split]
        assert {key for key, _, _ in kept_pairs(selection)} == set(own)
        assert selection.pairs.equals(select_one_split([part], own, CurationConfig()).pairs)


def test_no_pair_in_range_gives_an_empty_selection(tmp_path):
    selection = select_one_split([write_flow(tmp_path, {"slow": [0.5, 1.0]})], ["slow"], CurationConfig())
    assert selection.pairs.num_rows == 0
    assert sum(selection.kept_histogram) == 0


def test_the_last_bin_includes_its_upper_edge(tmp_path):
    config = CurationConfig(min_motion=2.5, max_motion=5.0)
    assert compute_bin_edges(config) == (2, 3, 4, 5)
    selection = select_one_split([write_flow(tmp_path, {"clip": [2.5, 2.4, 3.1, 4.9, 5.0]})], ["clip"], config)
    assert selection.kept_histogram == (1, 1, 2)


def test_thresholds_apply_to_the_stored_float32(tmp_path):
    # 2.1 as float32 is a little less than 2.1, so every reader of the flow table must find it outside.
    config = CurationConfig(min_motion=2.1)
    selection = select_one_split([write_flow(tmp_path, {"clip": [2.1, 2.2]})], ["clip"], config)
    assert float(np.float32(2.1)) < 2.1
    assert num_in_range(selection) == {"clip": 1}


def test_on_real_gifs_entropy_is_within_one_percent_of_the_optimum(real_dataset):
    clips = {
        row["clip_key"]: row["split"]
        for row in pq.read_table(real_dataset / "clips.parquet").to_pylist()
        if row["verdict"] == "kept"
    }
    flow = ds.dataset(real_dataset / "flow", format="parquet").to_table()
    keys = np.array(flow["clip_key"].cast(pa.string()).to_pylist())
    motion = flow["motion_px"].to_numpy().astype(np.float64)
    in_range = (motion >= 2) & (motion <= 20)
    bins = np.minimum(motion.astype(int), 19) - 2
    for split, entry in read_manifest(real_dataset).splits.items():
        available = np.array(
            [np.bincount(bins[in_range & (keys == key)], minlength=18) for key in clips if clips[key] == split]
        )
        caps = np.minimum(10, available.sum(axis=1))
        reached = entropy(np.array(entry.motion_histogram.counts))
        assert reached / math.log(18) >= 0.99 * best_entropy(available, caps) / math.log(18)
