import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.selection.pair_counts import bin_edges
from curation.selection.pairs import Selection, select_pairs
from shards.manifest import read_manifest
from tests.curation.selection.helpers import write_flow
from tests.curation.solver import best_entropy, entropy


def select_one_split(parts: list[Path], keys: Iterable[str], config: CurationConfig) -> Selection:
    return select_pairs(parts, dict.fromkeys(keys, "train"), config)["train"]


def taken(selection: Selection) -> set[tuple[str, int, int]]:
    rows = selection.pairs.to_pylist()
    return {(row["clip_key"], row["source_index"], row["target_index"]) for row in rows}


def counted(selection: Selection) -> dict[str, int]:
    return dict(zip(selection.clip_keys, selection.num_in_range.tolist(), strict=True))


@pytest.fixture
def clips() -> dict[str, list[float]]:
    rng = np.random.default_rng(7)
    return {f"clip-{n}": rng.gamma(2.0, 4.0, 60).tolist() for n in range(20)}


def test_takes_min_of_cap_and_pairs_in_range_of_each_clip(tmp_path, clips):
    config = CurationConfig(pairs_per_gif=7)
    clips["few"] = [1.0, 2.0, 20.0, 20.1, 30.0]
    selection = select_one_split([write_flow(tmp_path, clips)], clips, config)
    for key, motions in clips.items():
        in_range = sum(2 <= np.float32(motion) <= 20 for motion in motions)
        assert counted(selection)[key] == in_range
        assert sum(one == key for one, _, _ in taken(selection)) == min(7, in_range)
    assert all(2 <= motion <= 20 for motion in selection.pairs["motion_px"].to_pylist())


def test_ignores_the_order_of_rows_and_parts_and_clips(tmp_path, clips):
    config = CurationConfig()
    whole = select_one_split([write_flow(tmp_path / "a", clips)], clips, config)
    shuffled = np.random.default_rng(1).permutation(60).tolist()
    parts = [write_flow(tmp_path / "b", {key: clips[key]}, shuffled) for key in reversed(clips)]
    assert select_one_split(parts, reversed(list(clips)), config).pairs.equals(whole.pairs)


def test_another_seed_takes_other_pairs(tmp_path, clips):
    parts = [write_flow(tmp_path, clips)]
    first, second = (taken(select_one_split(parts, clips, CurationConfig(seed=seed))) for seed in (0, 1))
    assert len(first) == len(second)
    assert first != second


def test_too_few_pairs_leave_a_clip_out(tmp_path):
    clips = {"many": [3.0] * 8, "few": [3.0] * 2}
    selection = select_one_split([write_flow(tmp_path, clips)], clips, CurationConfig(min_pairs=3))
    assert {key for key, _, _ in taken(selection)} == {"many"}
    assert counted(selection) == {"many": 8, "few": 2}


def test_each_split_is_flat_by_itself_and_takes_its_own_clips_alone(tmp_path, clips):
    part, splits = write_flow(tmp_path, clips), {key: ("train", "val")[n % 3 == 0] for n, key in enumerate(clips)}
    del splits["clip-19"]  # Of no split, so not to be selected from.
    selections = select_pairs([part], splits, CurationConfig())
    assert list(selections) == ["train", "val"]
    for split, selection in selections.items():
        own = [key for key, at in splits.items() if at == split]
        assert {key for key, _, _ in taken(selection)} == set(own)
        assert selection.pairs.equals(select_one_split([part], own, CurationConfig()).pairs)


def test_nothing_in_range_selects_nothing(tmp_path):
    selection = select_one_split([write_flow(tmp_path, {"slow": [0.5, 1.0]})], ["slow"], CurationConfig())
    assert selection.pairs.num_rows == 0
    assert sum(selection.kept_histogram) == 0


def test_bins_are_whole_pixels_and_the_last_takes_the_upper_end(tmp_path):
    config = CurationConfig(min_motion=2.5, max_motion=5.0)
    assert bin_edges(config) == (2, 3, 4, 5)
    selection = select_one_split([write_flow(tmp_path, {"clip": [2.5, 2.4, 3.1, 4.9, 5.0]})], ["clip"], config)
    assert selection.kept_histogram == (1, 1, 2)


def test_thresholds_hold_for_the_stored_value(tmp_path):
    # 2.1 as float32 is a little less than 2.1, so it is outside, and must be for every reader alike.
    config = CurationConfig(min_motion=2.1)
    selection = select_one_split([write_flow(tmp_path, {"clip": [2.1, 2.2]})], ["clip"], config)
    assert float(np.float32(2.1)) < 2.1
    assert counted(selection) == {"clip": 1}


def test_real_gifs_come_out_within_a_percent_of_the_best_any_choice_can_reach(real_dataset):
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
            [np.bincount(bins[in_range & (keys == key)], minlength=18) for key, at in clips.items() if at == split]
        )
        caps = np.minimum(10, available.sum(axis=1))
        reached = entropy(np.array(entry.motion_histogram.counts))
        assert reached / math.log(18) >= 0.99 * best_entropy(available, caps) / math.log(18)
