"""Buffers are used in turn, and batches do not change when theirs are used again."""

from tests.training.data.helpers import are_same, batches, config
from training.data import BatchStream
from training.data.shared_memory import BufferPool


def test_buffers_of_a_worker_are_used_in_turn():
    pool = BufferPool(num_workers=2, num_buffers=3, num_bytes=8)
    for batch in range(4):
        pool.get(0, batch)[:] = batch
        pool.get(1, batch)[:] = 9
    assert [pool.get(0, batch).tolist() for batch in range(3)] == [[3] * 8, [1] * 8, [2] * 8]


def test_kept_batches_do_not_change(uneven):
    expected = batches(uneven, 12)
    stream = BatchStream(config(uneven, num_workers=2, prefetch_batches=1), num_steps=12)
    with stream:
        kept = list(stream)
    assert are_same(expected, kept)
