"""What the contract raises: a data set that does not hold, or cannot be read."""


class DatasetError(Exception):
    """A finished data set breaks its contract, or is none. The message is one sentence for a person."""
