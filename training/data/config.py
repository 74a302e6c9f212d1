"""What of the data may be chosen: where they lie, in what order they come, and how they are read."""

import dataclasses
from pathlib import Path
from typing import Literal

from training.data.errors import DataError


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What to read and how. Checked on construction; raises DataError."""

    location: str
    """Folder or URL (http://, https://, s3://) of a data set, or of a latent cache."""
    split: str = "train"
    """train, val or test."""
    seed: int = 0
    """Decides the order and the flips."""
    global_batch: int
    """Samples of an optimizer step, over all ranks and accumulated micro-batches."""
    micro_batch: int
    """Samples that a rank passes through the model at once."""
    num_workers: int = 2
    """Processes of each rank that read and decode; 0 does it in the trainer's own. It changes no batch."""
    prefetch_batches: int = 4
    """Micro-batches that each worker keeps ready, 1 or more."""
    resolution: int | None = None
    """Side of the pictures that the model expects, in pixels; None takes what there is."""
    flip: bool = True
    """Mirror half of the pairs, source and target together."""
    window_shards: int | None = None
    """Shards that are in use at a time; None mixes all of them. Choose it where shards are fetched into a cache."""
    cache: Path | None = None
    """Folder for whole shards of a remote data set, and for indexes of offsets. Without one a remote data set is
    read by ranges, and indexes are kept in the user's cache."""
    on_damage: Literal["raise", "skip"] = "raise"
    """Whether a damaged sample ends the training or is counted and another stands in for it."""
    verify: Literal["quick", "full"] = "quick"
    """Before the first batch: that every shard has its size (quick), or its hash and contents too (full). Of a remote
    data set the manifest alone is held; a shard is held against its hash when it is fetched."""
    pin_memory: bool = False
    """Put batches in page-locked memory, from which copies to a GPU overlap with its work."""
    s3_endpoint: str | None = None
    """URL of an S3 service other than Amazon's; else AWS_ENDPOINT_URL tells it."""

    def __post_init__(self) -> None:
        for name, least in (("global_batch", 1), ("micro_batch", 1), ("num_workers", 0), ("prefetch_batches", 1)):
            if getattr(self, name) < least:
                raise DataError(f"{name} is {getattr(self, name)}; {least} or more is allowed")
        if self.window_shards is not None and self.window_shards < 1:
            raise DataError(f"window_shards is {self.window_shards}; 1 or more, or None, is allowed")
        if self.on_damage not in ("raise", "skip"):
            raise DataError(f"on_damage is {self.on_damage!r}; raise and skip are allowed")
        if self.verify not in ("quick", "full"):
            raise DataError(f"verify is {self.verify!r}; quick and full are allowed")
