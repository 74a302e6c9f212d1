"""Split work over the processes that torchrun started."""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch.distributed

from shards.interface.progress import ProgressBar

Item = TypeVar("Item")

_BARRIER_TIMEOUT = datetime.timedelta(days=7)
"""Processes may finish days apart. If one fails, torchrun ends the others."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process's rank among the processes of torchrun. A process that was started alone is rank 0 of 1."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process collects the results and prints."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return this process's items. The shares of all processes are disjoint and complete."""
        return items[self.rank :: self.world_size]

    def iterate_share(self, items: Sequence[Item], name: str) -> Iterator[Item]:
        """Yield this process's items. The first process shows its progress under `name`."""
        share = self.share(items)
        if not self.is_first:
            yield from share
            return
        with ProgressBar(name, len(share), "clips") as bar:
            for item in share:
                yield item
                bar.update()

    def wait(self) -> None:
        """Wait until all processes have reached this point, so that all their files are written."""
        if self.world_size > 1:
            torch.distributed.barrier()


@contextlib.contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Join the process group of torchrun, if RANK and WORLD_SIZE are set; leave it at the end of the block."""
    ranks = Ranks(rank=int(os.environ.get("RANK", "0")), world_size=int(os.environ.get("WORLD_SIZE", "1")))
    if ranks.world_size == 1:
        yield ranks
        return
    torch.distributed.init_process_group("gloo", timeout=_BARRIER_TIMEOUT)
    try:
        yield ranks
    finally:
        torch.distributed.destroy_process_group()
