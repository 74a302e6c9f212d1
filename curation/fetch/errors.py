"""Why a location gave no bytes. None of these ends a run: each becomes the verdict of one clip.

::

    FetchError
        StatusError             an HTTP status that no retry changes
        TransientError          a retry may succeed
    TooManyBytesError
    OptedOutError
"""


class FetchError(Exception):
    """The bytes cannot be fetched."""


class TransientError(FetchError):
    """The bytes cannot be fetched now, but a retry may succeed."""


class StatusError(FetchError):
    """The server sent a status other than 200, which no retry changes."""


class OptedOutError(Exception):
    """The owner asks not to be trained on; the message says where."""


class TooManyBytesError(Exception):
    """There are more bytes than the limit allows."""
