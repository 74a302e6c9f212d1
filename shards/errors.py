"""What the contract raises.

DatasetError    a data set that does not hold, or cannot be read
StoreError      an object store that does not do what it is asked
"""


class DatasetError(Exception):
    """A finished data set breaks its contract, or is none. The message is one sentence for a person."""


class StoreError(Exception):
    """An object store cannot be reached, or refuses. The message says of which place, and why."""
