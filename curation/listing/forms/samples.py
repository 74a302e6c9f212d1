"""Files with captions beside them, as in WebDataset tars: NAME.gif, and NAME.txt or NAME.json."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from curation.archives.entry import MAX_TEXT_BYTES as MAX_CAPTION_FILE_BYTES
from curation.archives.entry import Entry
from curation.archives.location import problem
from curation.batches import in_batches
from curation.config import CurationConfig
from curation.listing.columns import CAPTION_NAMES
from curation.listing.forms.tables import as_text
from curation.listing.listed import MAX_TEXT_BYTES, ROWS_PER_BATCH
from shards.json_fields import load_json

ANIMATIONS = (".gif", ".gifv", ".webp", ".apng", ".png", ".avif", ".mp4", ".m4v", ".webm", ".mov")
"""Extensions of files that may be animations. What a file is, its bytes say."""
_TEXTS = (".txt", ".json")
_KEY = re.compile(r"((?:.*/)?[^./][^./]*)\..*", re.DOTALL)
"""Up to the first dot of the file name, as WebDataset has it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """An animation and what is written beside it."""

    uri: str
    captions: tuple[str, ...]
    """At least one; empty text if there is none."""
    place: str
    kept: dict[str, str | None]
    """Values of the columns to keep."""


class Texts:
    """The captions of a tar or a folder, by the name of their file without its extension."""

    def __init__(self, config: CurationConfig) -> None:
        self._config = config
        self._texts: dict[str, bytes | None] = {}
        self._records: dict[str, bytes | None] = {}

    @staticmethod
    def is_text(entry: Entry) -> bool:
        """Return whether a file may hold a caption."""
        return entry.name.lower().endswith(_TEXTS) and entry.problem is None

    def add(self, entry: Entry, read: Callable[[Entry], bytes]) -> bytes:
        """Read, keep and return the text of a file. One that is too long is not kept."""
        stem, _, extension = entry.name.rpartition(".")
        data = read(entry) if entry.num_bytes <= MAX_CAPTION_FILE_BYTES else b""
        is_short = max(len(data), entry.num_bytes) <= MAX_CAPTION_FILE_BYTES
        (self._records if extension.lower() == "json" else self._texts)[stem] = data if is_short else None
        return data

    def describe(self, entry: Entry, place: str) -> Sample:
        """Return the sample of an animation. A caption that cannot be read becomes its problem."""
        try:
            captions, kept = self._find(entry)
            _check_lengths(captions)
        except ValueError as error:
            captions, kept, place = ("",), dict.fromkeys(self._config.keep_columns), problem(str(error))
        if entry.problem:
            place = problem(entry.problem)
        return Sample(uri=entry.name, captions=captions, place=place, kept=kept)

    def _find(self, entry: Entry) -> tuple[tuple[str, ...], dict[str, str | None]]:
        text, record = _look_up(self._texts, entry.name), _look_up(self._records, entry.name)
        fields = _parse(*record) if record else {}
        kept = {name: as_text(fields.get(name)) for name in self._config.keep_columns}
        if text and self._config.caption_column is None:
            return _split_lines(*text), kept
        if record:
            return _find_captions(record[0], fields, self._config.caption_column), kept
        return ("",), kept


def _look_up(texts: dict[str, bytes | None], name: str) -> tuple[str, bytes] | None:
    """Return (stem, text) of the file beside an animation: of the same stem, or of the same WebDataset key."""
    key = _KEY.fullmatch(name)
    for stem in (name.rpartition(".")[0], key[1] if key else ""):
        if stem in texts:
            if (text := texts[stem]) is None:
                raise ValueError(f"the text beside it has more than {MAX_CAPTION_FILE_BYTES:,} bytes")
            return stem, text
    return None


def _split_lines(stem: str, text: bytes) -> tuple[str, ...]:
    try:
        lines = [line.strip() for line in text.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"{stem}.txt is not UTF-8 text") from None
    return tuple(line for line in lines if line) or ("",)


def _parse(stem: str, text: bytes) -> dict[str, Any]:
    try:
        fields = load_json(text)
    except ValueError as error:
        raise ValueError(f"{stem}.json is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{stem}.json is not a JSON object")
    return fields


def _find_captions(stem: str, fields: dict[str, Any], given: str | None) -> tuple[str, ...]:
    by_name = {name.lower(): name for name in fields}
    name = given if given is not None else next((by_name[name] for name in CAPTION_NAMES if name in by_name), None)
    if name is None or name not in fields:
        wanted = f"no {given!r}" if given is not None else "no caption"
        raise ValueError(f"{stem}.json has {wanted}; it has: {', '.join(list(fields)[:20])}")
    values = fields[name] if isinstance(fields[name], list) else [fields[name]]
    for value in values:
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{stem}.json: {name!r} is no caption: {str(value)[:60]}")
    return tuple(value for value in values if value) or ("",)


def _check_lengths(captions: tuple[str, ...]) -> None:
    for caption in captions:
        try:
            num_bytes = len(caption.encode())
        except UnicodeEncodeError:
            raise ValueError("its caption has half of a surrogate pair, which is no character") from None
        if num_bytes > MAX_TEXT_BYTES:
            raise ValueError(f"its caption has more than {MAX_TEXT_BYTES:,} bytes")


def make_batches(samples: Iterator[Sample], keep: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield a row for each caption of each sample, in batches."""
    rows = ((sample, caption) for sample in samples for caption in sample.captions)
    for batch in in_batches(rows, ROWS_PER_BATCH):
        yield pa.record_batch(
            {
                "uri": pa.array([sample.uri for sample, _ in batch], pa.string()),
                "caption": pa.array([caption for _, caption in batch], pa.string()),
                "place": pa.array([sample.place for sample, _ in batch], pa.string()),
                **{name: pa.array([sample.kept[name] for sample, _ in batch], pa.string()) for name in keep},
            }
        )
