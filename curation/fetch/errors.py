"""Why a location gave no bytes. None of these ends a run: each becomes the verdict of one clip.

::

    FetchError
        TransientError          a retry may succeed
    TooManyBytesError
"""


class FetchError(Exception):
    """The bytes cannot be fetched."""


class TransientError(FetchError):
    """The bytes cannot be fetched now, but a retry may succeed."""


class TooManyBytesError(Exception):
    """There are more bytes than the limit allows."""
