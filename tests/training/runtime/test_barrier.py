"""Ranks wait for the main process longer than the time limit of other collectives."""

import datetime
import socket
import time
from multiprocessing.context import ForkServerContext
from typing import Any

import torch.distributed

from training.runtime.barrier import make_barrier

LIMIT_S = 2


def wait_for_rank_0(rank: int, port: int, started: Any) -> None:
    """Join a group with a short time limit, and wait for rank 0, which works for longer than that."""
    started.wait(60)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=LIMIT_S),
    )
    wait = make_barrier()
    if rank == 0:
        time.sleep(1.5 * LIMIT_S)
    wait()
    torch.distributed.destroy_process_group()


def test_ranks_wait_longer_than_the_limit_of_collectives(forks: ForkServerContext) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    started = forks.Barrier(2)
    processes = [forks.Process(target=wait_for_rank_0, args=(rank, port, started)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]


def test_one_process_does_not_wait() -> None:
    make_barrier()()
