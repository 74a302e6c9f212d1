"""What the loader raises: data that cannot be read, or a batch that cannot be divided. One sentence each."""

from training.errors import TrainingError


class DataError(TrainingError):
    """The data cannot be had as they were asked for. The message is one sentence for a person."""


class DamageError(DataError):
    """A shard, or a sample of it, cannot be read."""

    def __init__(self, shard: str, reason: str) -> None:
        super().__init__(shard, reason)
        self.shard = shard
        """Path or URL of the shard."""
        self.reason = reason
        """Which member, and what is wrong with it."""

    def __str__(self) -> str:
        return f"{self.shard}: {self.reason}"
