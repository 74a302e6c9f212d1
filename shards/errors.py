"""Errors of data sets and their locations. Each message is one sentence for a user."""


class DatasetError(Exception):
    """A data set is missing, unfinished, damaged, or violates the contract."""


class StoreError(Exception):
    """An object store or web server cannot be reached, or refuses a request."""


def describe_error(error: Exception) -> str:
    """Return why a file or a store could not be used: the system's words, without the number and the name."""
    return str(getattr(error, "strerror", None) or error)
