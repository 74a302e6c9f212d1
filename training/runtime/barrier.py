"""A barrier for ranks that wait while the main process works alone."""

import datetime
from collections.abc import Callable

import torch.distributed

_TIMEOUT = datetime.timedelta(days=7)


def make_barrier() -> Callable[[], None]:
    """Return a function in which all ranks wait for each other, without the time limit of other collectives.

    Verifying or writing a checkpoint on a slow disk may take longer than that limit, 10 minutes with NCCL. A rank that
    ends still ends the wait of the others. Call it on all ranks.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return lambda: None
    group = torch.distributed.new_group(backend="gloo", timeout=_TIMEOUT)
    return lambda: torch.distributed.barrier(group=group)
