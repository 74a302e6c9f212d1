"""A listing as TGIF ships it: one `uri TAB caption` a line, without header or quoting."""

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from curation.batches import in_batches
from curation.errors import ListingError
from curation.listing.listed import MAX_TEXT_BYTES, ROWS_PER_BATCH


def parse_tgif(path: Path | str, data: bytes) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a listing in batches; `path` names it in errors. Raises ListingError."""
    for batch in in_batches(_parse_rows(path, data), ROWS_PER_BATCH):
        uris, captions = zip(*batch, strict=True)
        yield pa.record_batch({"uri": pa.array(uris, pa.string()), "caption": pa.array(captions, pa.string())})


def _parse_rows(path: Path | str, data: bytes) -> Iterator[tuple[str, str]]:
    is_empty = True
    for number, line in enumerate(decode_lines(path, data), 1):
        if not line.strip():
            continue
        uri, tab, caption = line.partition("\t")
        if not tab:
            raise ListingError(f"{path}, line {number}: no TAB between the path or url and the caption: {line[:80]!r}")
        if not uri.strip():
            raise ListingError(f"{path}, line {number}: no path or url before the TAB")
        for name, text in (("path or url", uri), ("caption", caption)):
            if len(text.encode()) > MAX_TEXT_BYTES:
                raise ListingError(
                    f"{path}, line {number}: the {name} has more than {MAX_TEXT_BYTES:,} bytes; shorten it"
                )
        yield uri, caption
        is_empty = False
    if is_empty:
        raise ListingError(f"the listing {path} is empty; write one line a clip: a path or url, a TAB, a caption")


def decode_lines(path: Path | str, data: bytes) -> Iterator[str]:
    """Yield the lines of a text file without their ends. Raises ListingError."""
    for number, line in enumerate(io.BytesIO(data.removeprefix(b"\xef\xbb\xbf")), 1):
        try:
            yield line.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise ListingError(f"{path}, line {number}: not UTF-8 text; save the file as UTF-8") from None
