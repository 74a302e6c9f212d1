"""Buffers are used again when no tensor views them, and not before."""

import gc

from tests.training.data.helpers import are_same, batches, config
from training.data import BatchStream
from training.data.shared_memory import BufferPool


def test_buffer_is_free_when_its_last_view_is_gone():
    pool = BufferPool(1, 1, 8)
    number, buffer = pool.acquire(0)
    buffer[:] = 7
    tensor = pool.view(0, number)
    part = tensor.view(2, 4)[1]
    del tensor
    gc.collect()
    assert pool.acquire(0) is None
    assert part.tolist() == [7] * 4
    del part
    gc.collect()
    assert pool.acquire(0) is not None


def test_kept_batches_do_not_change(uneven):
    expected = batches(uneven, 12)
    with BatchStream(config(uneven, num_workers=1, prefetch_batches=1), num_steps=12) as stream:
        kept = list(stream)
    assert are_same(expected, kept)


def test_memory_of_dropped_batches_is_used_again(uneven):
    with BatchStream(config(uneven, num_workers=1, prefetch_batches=1), num_steps=20) as stream:
        addresses = {batch.source.data_ptr() for batch in stream}
    assert len(addresses) <= 3
