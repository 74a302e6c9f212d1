"""Why there are no bytes. None of these ends a run: each becomes the verdict of one clip.

::

    FetchError
        TransientError          it may go well another time
    TooManyBytesError
"""


class FetchError(Exception):
    """The bytes could not be had. The message says why."""


class TransientError(FetchError):
    """The bytes could not be had, but trying again may help."""


class TooManyBytesError(Exception):
    """There are more bytes than the limit allows. The message says how many."""
