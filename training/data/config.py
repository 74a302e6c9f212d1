"""Configuration of the loader: the location of the data, their order, and how they are read."""

import dataclasses
from pathlib import Path
from typing import Literal

from training.data.errors import DataError


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What to read and how. Construction raises DataError for an invalid value."""

    location: str
    """Folder or URL (http://, https://, s3://, gs://) of a data set or a latent cache."""
    split: str = "train"
    """train, val or test."""
    seed: int = 0
    """Determines the order and the flips."""
    global_batch: int
    """Samples of an optimizer step, over all ranks and accumulated micro-batches."""
    micro_batch: int
    """Samples that a rank passes through the model at a time."""
    num_workers: int = 2
    """Processes per rank that read and decode; 0 reads in the trainer's own. Batches do not depend on it."""
    prefetch_batches: int = 4
    """Micro-batches that each worker prefetches, 1 or more."""
    resolution: int | None = None
    """Side in pixels of the pictures that the model expects; None accepts any."""
    flip: bool = True
    """Mirror half of the pairs, source and target together."""
    window_shards: int | None = None
    """Shards that are shuffled together; None shuffles all. Set it where shards are downloaded into a cache."""
    cache: Path | None = None
    """Folder for the shards of a remote data set and for indexes of offsets. Without one, a remote data set is read by
    ranges and indexes are kept in the user's cache folder."""
    on_damage: Literal["raise", "skip"] = "raise"
    """Whether a damaged sample raises, or is counted and replaced by another sample."""
    verify: Literal["quick", "full"] = "quick"
    """Checks before the first batch: the size of every shard (quick), or also its SHA-256 and contents (full). Of a
    remote data set only the manifest is checked; a shard's SHA-256 is checked when it is downloaded."""
    pin_memory: bool = False
    """Copy batches to page-locked memory, so that transfers to a GPU overlap with its work."""

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
