"""The clips of a listing, stored in columns.

A million clips take 100 MB; a `Clip` object is created when it is looked up.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.archives.location import Archives
from shards.schema import SPLITS

ROWS_SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("clip", pa.int32(), nullable=False),
    ]
)
"""Listing rows, in order; `clip` is the clip number, counted from 0 by first row."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One GIF of the listing."""

    key: str
    uri: str
    location: str
    """Absolute path or URL of its bytes, or a member of an archive; always a URL if the listing is remote."""
    folder: str | None = None
    """Folder of --gifs or of the listing, without symbolic links. A path that leads out of it is not read."""
    captions: tuple[str, ...]
    split: str
    row: int
    """First row with this clip, counted from 1."""


class Clips(Mapping[str, Clip]):
    """The clips of a listing by key, ordered by first row. A clip's number is its index in this order."""

    def __init__(
        self,
        rows: pa.Table,
        numbers: dict[str, int],
        splits: NDArray[np.int8],
        locate: Callable[[str], str],
        folder: str | None = None,
        places: pa.Array | None = None,
        archives: Archives | None = None,
    ) -> None:
        """Create the clips of a listing.

        rows: ROWS_SCHEMA. numbers: clip number by key, ascending. splits: index in SPLITS of each clip, int8 [clips].
        locate: returns a uri's location. folder: `Clip.folder` of all clips. places: of each clip in `archives`, string
        [clips]; null where the uri alone gives the location.
        """
        self._rows = rows
        self._numbers = numbers
        self._locate = locate
        self._folder = folder
        self._places = places
        self._archives = archives or Archives()
        self.keys_in_order = tuple(numbers)
        self.splits = splits
        """Index in SPLITS of each clip, int8 [clips]."""
        clip_numbers = rows["clip"].to_numpy()
        self._rows_by_clip = np.argsort(clip_numbers, kind="stable").astype(np.int32)
        self._starts = np.searchsorted(clip_numbers[self._rows_by_clip], np.arange(len(numbers) + 1)).astype(np.int32)
        self.first_rows: NDArray[np.int32] = self._rows_by_clip[self._starts[:-1]] + 1
        """First row of each clip, counted from 1, int32 [clips]."""

    def __getitem__(self, key: str) -> Clip:
        number = self._numbers[key]
        rows = self._rows_by_clip[self._starts[number] : self._starts[number + 1]].tolist()
        uri = self._rows["uri"][rows[0]].as_py()
        captions = self._rows["caption"]
        return Clip(
            key=key,
            uri=uri,
            location=self.location(number),
            folder=self._folder,
            captions=tuple(dict.fromkeys(captions[row].as_py() for row in rows)),
            split=self.split(number),
            row=rows[0] + 1,
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, key: str) -> int:
        """Return a clip's number. Raises KeyError if the listing has no such clip."""
        return self._numbers[key]

    def find_numbers(self, keys: Sequence[str]) -> NDArray[np.int32]:
        """Return the numbers of some clips, int32 [keys]; -1 for a key that is not in the listing."""
        return np.array([self._numbers.get(key, -1) for key in keys], dtype=np.int32)

    def split(self, number: int) -> str:
        """Return the name of a clip's split."""
        return SPLITS[self.splits[number]]

    def uri(self, number: int) -> str:
        """Return a clip's uri."""
        uri: str = self._rows["uri"][int(self.first_rows[number]) - 1].as_py()
        return uri

    def location(self, number: int) -> str:
        """Return the absolute path, the URL or the place in an archive of a clip's bytes."""
        place = self._places[number].as_py() if self._places is not None else None
        return self._locate(self.uri(number)) if place is None else self._archives.locate(place)

    def with_splits(self, splits: NDArray[np.int8]) -> "Clips":
        """Return the same clips in other splits, int8 [clips]."""
        return Clips(self._rows, self._numbers, splits, self._locate, self._folder, self._places, self._archives)

    def with_places(self, places: pa.Array, archives: Archives) -> "Clips":
        """Return the same clips with places, string [clips], in archives."""
        return Clips(self._rows, self._numbers, self.splits, self._locate, self._folder, places, archives)
