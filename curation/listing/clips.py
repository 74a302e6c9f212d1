"""The clips of a listing, in columns: a million of them are a hundred megabytes, and each is made when it is wanted."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shards.schema import SPLITS

ROWS_SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("clip", pa.int32(), nullable=False),
    ]
)
"""The rows of a listing, in its order; `clip` counts clips from 0 in the order of their first rows."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One GIF of the listing."""

    key: str
    uri: str
    location: str
    """Where its bytes are: an absolute path, or a URL. One from a listing that lies elsewhere is always a URL."""
    captions: tuple[str, ...]
    split: str
    row: int
    """The first row that names it, from 1."""


class Clips(Mapping[str, Clip]):
    """The clips of a listing by key, in the order of their first rows; a clip's number is its place in that order."""

    def __init__(
        self, rows: pa.Table, numbers: dict[str, int], splits: NDArray[np.int8], locate: Callable[[str], str]
    ) -> None:
        """Take a listing's rows (ROWS_SCHEMA), the number of each key, ascending, and the split of each clip."""
        self._rows = rows
        self._numbers = numbers
        self._locate = locate
        self.keys_in_order = tuple(numbers)
        self.splits = splits
        """Which of SPLITS each clip stands in, int8 [clips]."""
        owners = rows["clip"].to_numpy()
        self._rows_by_clip = np.argsort(owners, kind="stable").astype(np.int32)
        self._starts = np.searchsorted(owners[self._rows_by_clip], np.arange(len(numbers) + 1)).astype(np.int32)
        self.first_rows: NDArray[np.int32] = self._rows_by_clip[self._starts[:-1]] + 1
        """The first row of the listing that names each clip, from 1, int32 [clips]."""

    def __getitem__(self, key: str) -> Clip:
        number = self._numbers[key]
        rows = self._rows_by_clip[self._starts[number] : self._starts[number + 1]].tolist()
        uri = self._rows["uri"][rows[0]].as_py()
        captions = self._rows["caption"]
        return Clip(
            key=key,
            uri=uri,
            location=self._locate(uri),
            captions=tuple(dict.fromkeys(captions[row].as_py() for row in rows)),
            split=self.split(number),
            row=rows[0] + 1,
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, key: str) -> int:
        """Give a clip's number. Raises KeyError."""
        return self._numbers[key]

    def find_numbers(self, keys: Sequence[str]) -> NDArray[np.int32]:
        """Give the numbers of clips, -1 for keys that are none of the listing's."""
        return np.array([self._numbers.get(key, -1) for key in keys], dtype=np.int32)

    def split(self, number: int) -> str:
        """Name a clip's split."""
        return SPLITS[self.splits[number]]

    def uri(self, number: int) -> str:
        """Tell a clip's uri."""
        uri: str = self._rows["uri"][int(self.first_rows[number]) - 1].as_py()
        return uri

    def location(self, number: int) -> str:
        """Tell where a clip's bytes are."""
        return self._locate(self.uri(number))

    def with_splits(self, splits: NDArray[np.int8]) -> "Clips":
        """Give the same clips in other splits."""
        return Clips(self._rows, self._numbers, splits, self._locate)
