"""Errors of the loader. Each message is one sentence for a user."""

import contextlib
from collections.abc import Iterator

from shards.errors import DatasetError, StoreError
from training.errors import TrainingError


class DataError(TrainingError):
    """The data cannot be read, or cannot be used as configured."""


class DamageError(DataError):
    """A shard, or a sample in it, is damaged."""

    def __init__(self, shard: str, reason: str) -> None:
        super().__init__(shard, reason)
        self.shard = shard
        """Path or URL of the shard."""
        self.reason = reason
        """The damaged member and what is wrong with it."""

    def __str__(self) -> str:
        return f"{self.shard}: {self.reason}"


@contextlib.contextmanager
def raise_data_errors(path: object) -> Iterator[None]:
    """Raise DataError for whatever reading `path` raises in the block."""
    try:
        yield
    except (DatasetError, StoreError) as error:
        raise DataError(str(error)) from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file") from error
    except OSError as error:
        reason = str(error.strerror or error).partition("\n")[0]
        raise DataError(f"{path}: {reason[:200]}") from error
