"""Batches do not depend on ranks and workers, resuming is exact, and workers stop when they should."""

import io
import multiprocessing
import os
import signal

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from shards.manifest import read_manifest
from shards.reader import read_shard
from tests.training.data.helpers import are_same, batches, config, keys, same
from training.data import Batch, BatchStream, DataError, read_batch

NUM = 110


def all_samples(folder):
    shards = read_manifest(folder).splits["train"].shards
    return {sample.record.key: sample for shard in shards for sample in read_shard(folder / "train" / shard.name)}


@pytest.mark.parametrize(("ranks", "micro", "workers"), [(1, 10, 0), (1, 5, 2), (2, 5, 1), (5, 1, 0)])
def test_every_epoch_has_each_sample_once(uneven, ranks, micro, workers):
    shape = {"global_batch": 10, "micro_batch": micro, "num_workers": workers, "ranks": ranks}
    by_rank = [batches(uneven, 2 * NUM // 10, rank=rank, **shape) for rank in range(ranks)]
    per_epoch = len(by_rank[0]) // 2
    expected = sorted(all_samples(uneven))
    for epoch in (slice(None, per_epoch), slice(per_epoch, None)):
        assert sorted(key for of_rank in by_rank for key in keys(of_rank[epoch])) == expected


@pytest.mark.parametrize("ranks", [2, 4])
def test_order_does_not_depend_on_the_number_of_ranks(uneven, ranks):
    alone = batches(uneven, 4, micro_batch=2)
    by_rank = [batches(uneven, 4, micro_batch=2, rank=rank, ranks=ranks) for rank in range(ranks)]
    per_step = 4 // ranks
    together = [batch for step in range(4) for of in by_rank for batch in of[step * per_step : (step + 1) * per_step]]
    assert are_same(alone, together)


def test_batches_do_not_depend_on_workers(uneven):
    none, one, two = (batches(uneven, 5, num_workers=workers) for workers in (0, 1, 2))
    assert len(none) == 10
    assert are_same(none, one)
    assert are_same(none, two)


@pytest.mark.parametrize("step", [1, 9, 20])
def test_resuming_with_other_ranks_and_workers_is_exact(uneven, step):
    through = batches(uneven, 22, micro_batch=4)
    stream = BatchStream(config(uneven, num_workers=1), num_steps=step)
    with stream:
        assert len(list(stream)) == 2 * step
    assert stream.position == 8 * step
    resumed = [batches(uneven, 22 - step, start=stream.position, rank=rank, ranks=2) for rank in range(2)]
    together = [batch for pair in zip(*resumed, strict=True) for batch in pair]
    assert are_same(through[2 * step :], together)


def test_second_iteration_continues_after_the_last_whole_step(uneven):
    stream = BatchStream(config(uneven), start_position=5, num_steps=4)
    iterator = iter(stream)
    seen = [next(iterator) for _ in range(3)]
    assert stream.position == 5 + 8
    again = list(stream)
    assert len(again) == 6
    assert same(again[0], seen[2])
    assert stream.position == 5 + 4 * 8


def test_order_depends_on_the_seed_alone(uneven):
    assert keys(batches(uneven, 2)) == keys(batches(uneven, 2, flip=False)) != keys(batches(uneven, 2, seed=4))


def test_window_covers_the_whole_epoch(uneven):
    windowed = keys(batches(uneven, NUM // 10, window_shards=2, global_batch=10, micro_batch=10))
    assert sorted(windowed) == sorted(all_samples(uneven))


def test_pictures_equal_those_of_pillow_and_pairs_flip_together(uneven):
    samples, num_flipped = all_samples(uneven), 0
    for batch in batches(uneven, 3):
        for row, key in enumerate(batch.keys):
            sample, flipped = samples[key], bool(batch.flipped[row])
            num_flipped += flipped
            assert batch.captions[row] == sample.record.caption
            assert batch.motion_px[row].item() == np.float32(sample.record.motion_px)
            for found, data in ((batch.source[row], sample.source), (batch.target[row], sample.target)):
                pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
                assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
                assert np.array_equal(found.permute(1, 2, 0).numpy(), pixels[:, ::-1] if flipped else pixels)
    assert 0 < num_flipped < 24
    assert not any(batch.flipped.any() for batch in batches(uneven, 3, flip=False))


def test_batch_moves_to_a_device_and_converts_to_floats(uneven):
    (batch, *_) = batches(uneven, 1)
    assert isinstance(batch, Batch)
    assert batch.source.dtype == torch.uint8
    assert batch.source.is_contiguous(memory_format=torch.channels_last)
    assert len(batch) == 4
    source, target = batch.as_floats()
    assert source.dtype == torch.float32
    assert source.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(source, batch.source / 127.5 - 1)
    assert torch.equal(((target + 1) * 127.5).round().to(torch.uint8), batch.target)
    assert batch.as_floats(torch.bfloat16)[0].dtype == torch.bfloat16
    moved = batch.to("meta")
    assert moved.source.device.type == moved.motion_px.device.type == "meta"
    assert moved.keys == batch.keys


def test_global_random_generators_are_untouched(uneven):
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    batches(uneven, 2, num_workers=1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def start(stream):
    """Take the first batch; return the iterator, the batch and the ids of the worker processes."""
    before = multiprocessing.active_children()
    iterator = iter(stream)
    batch = next(iterator)
    return iterator, batch, [child.pid for child in multiprocessing.active_children() if child not in before]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_ignore_signals_to_the_process_group(uneven):
    expected = batches(uneven, 6)
    stream = BatchStream(config(uneven, num_workers=2, prefetch_batches=1), num_steps=6)
    with stream:
        iterator, first, pids = start(stream)
        second = next(iterator)  # Both workers run now, and ignore signals.
        assert len(pids) == 2
        for pid in pids:
            for name in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
                os.kill(pid, name)
        found = [first, second, *iterator]
    assert are_same(expected, found)


def test_killed_worker_raises_data_error(uneven):
    with BatchStream(config(uneven, num_workers=1)) as stream:
        iterator, _, (pid,) = start(stream)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(DataError, match=r"a process that reads the data ended: .*worker"):
            list(iterator)


@pytest.mark.parametrize("closed", ["iterator", "stream"])
def test_closing_stops_the_workers(uneven, closed):
    stream = BatchStream(config(uneven, num_workers=2))
    iterator, _, pids = start(stream)
    {"iterator": iterator, "stream": stream}[closed].close()
    assert not any(map(is_running, pids))
    assert list(iterator) == []


def test_error_stops_the_other_workers(uneven):
    stream = BatchStream(config(uneven, num_workers=2))
    iterator, _, pids = start(stream)
    os.kill(pids[0], signal.SIGKILL)
    with pytest.raises(DataError) as raised:
        list(iterator)
    assert raised.value.__context__ is None
    assert not is_running(pids[1])


def test_read_batch_reads_samples_by_number_not_mirrored(uneven):
    batch = read_batch(config(uneven), [3, 0, 100])
    everything = list(all_samples(uneven))
    assert batch.keys == [everything[3], everything[0], everything[100]]
    assert not batch.flipped.any()
    with pytest.raises(DataError, match="no sample 110 in train"):
        read_batch(config(uneven), [110])
