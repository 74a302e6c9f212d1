"""Objects in stores -> their bytes, by a deadline and up to a limit. The stores themselves are `shards.stores`."""

import time
from collections.abc import Callable

from curation.fetch.errors import FetchError, TooManyBytesError, TransientError
from shards.errors import StoreError
from shards.stores import is_object, one_line, open_store

__all__ = ["download_object", "is_object"]
_CHUNK = 2**20


def download_object(location: str, write: Callable[[bytes], object], max_bytes: int, deadline_s: float) -> None:
    """Give an object's bytes to `write`, a chunk at a time, until the clock (monotonic) shows `deadline_s`.

    Raises FetchError, TransientError past the deadline, or TooManyBytesError. The store's own client repeats what a
    network or a busy service spoils.
    """
    try:
        filesystem, path = open_store(location)
        num_bytes = filesystem.get_file_info(path).size
        if num_bytes is None:
            raise FetchError(f"there is no object {location}")
        if num_bytes > max_bytes:
            raise TooManyBytesError(f"{num_bytes:,} bytes, more than the limit of {max_bytes:,}")
        # A stream, not a file: to open a file on Google's store holds up every thread of this process.
        with filesystem.open_input_stream(path, compression=None) as stream:
            while num_bytes:
                if time.monotonic() > deadline_s:
                    raise TransientError("not whole by the deadline")
                chunk = stream.read(min(num_bytes, _CHUNK))
                if not chunk:
                    raise TransientError("the answer was cut short")
                write(chunk)
                num_bytes -= len(chunk)
    except StoreError as error:
        raise FetchError(str(error)) from error
    except FileNotFoundError as error:
        raise FetchError(f"there is no object {location}") from error
    except (OSError, ValueError) as error:
        raise FetchError(f"cannot read {location}: {one_line(error)}") from error
