"""Shards or cached latents -> batches, in an order that is a function of seed and position alone."""

from training.data.batch import Batch, LatentBatch
from training.data.config import DataConfig
from training.data.errors import DamageError, DataError
from training.data.open_data import open_data
from training.data.stream import BatchStream, read_batch

__all__ = ["Batch", "BatchStream", "DamageError", "DataConfig", "DataError", "LatentBatch", "open_data", "read_batch"]
