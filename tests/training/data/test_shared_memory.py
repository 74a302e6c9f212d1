"""Rooms are used again when no tensor looks into them, and never before."""

import gc

import torch

from tests.training.data.helpers import batches, config, same
from training.data import BatchStream
from training.data.shared_memory import RoomPool


def test_a_room_is_free_when_its_last_view_is_gone():
    pool = RoomPool(1, 1, 8)
    number, room = pool.take(0)
    room[:] = 7
    tensor = pool.view(0, number)
    part = tensor.view(2, 4)[1]
    del tensor
    gc.collect()
    assert pool.take(0) is None
    assert part.tolist() == [7] * 4
    del part
    gc.collect()
    assert pool.take(0) is not None


def test_batches_that_are_kept_stay_what_they_were(uneven):
    expected = batches(uneven, 12)
    stream = BatchStream(config(uneven, num_workers=1, prefetch_batches=1), num_steps=12)
    with stream:
        kept = list(stream)
    assert all(same(a, b) for a, b in zip(expected, kept, strict=True))


def test_batches_that_are_let_go_are_read_into_the_same_memory(uneven):
    places = set()
    with BatchStream(config(uneven, num_workers=1, prefetch_batches=1), num_steps=20) as stream:
        for number, batch in enumerate(stream):
            places.add(batch.source.data_ptr())
            assert torch.isfinite(batch.as_floats()[0]).all(), number
    assert len(places) <= 3
