"""Shards or cached latents -> batches, in an order that is a function of seed and position alone."""

from training.data.batch import Batch, LatentBatch
from training.data.dataset import BatchStream, DataConfig, open_data, read_batch
from training.data.errors import DamageError, DataError

__all__ = ["Batch", "BatchStream", "DamageError", "DataConfig", "DataError", "LatentBatch", "open_data", "read_batch"]
