"""Sample numbers -> decoded picture pairs with their captions and motion.

H, W: the data set's resolution.
"""

import collections
import dataclasses
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from shards.manifest import ShardEntry
from shards.members import BLOCK_BYTES
from shards.pictures import DECODE_ERRORS, SHARD_FORMATS
from shards.schema import SampleRecord
from training.data.batch import Batch
from training.data.errors import DamageError, DataError, raise_data_errors
from training.data.shard_cache import ShardFiles
from training.data.tar_index import ShardIndex, forget_index, load_index

Picture = NDArray[np.uint8]

MAX_OPEN = 128
"""Shards that a process keeps open, well below the usual limit of 1,024 files per process."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """A decoded pair."""

    key: str
    caption: str
    motion_px: float
    source: Picture
    """uint8 [H, W, 3], RGB."""
    target: Picture
    """uint8 [H, W, 3], RGB."""


class PictureSource:
    """The samples of a split by number. Picklable before the first read, to be sent to workers."""

    def __init__(self, files: ShardFiles, entries: Sequence[ShardEntry], index_folder: Path) -> None:
        self.shard_sizes = tuple(entry.num_samples for entry in entries)
        self.size: tuple[int, int] | None = None
        """(H, W) that every picture must have; None allows any, the same within a batch."""
        self._files = files
        self._entries = tuple(entries)
        self._paths = tuple(str(files.path_of(entry)) for entry in entries)
        self._ends = np.cumsum(self.shard_sizes)
        self._index_folder = index_folder
        self._indexes: dict[int, ShardIndex] = {}
        self._damaged: dict[int, DamageError] = {}
        self._open: collections.OrderedDict[int, Any] = collections.OrderedDict()

    def read(self, sample: int) -> Example:
        """Read and decode a sample, not mirrored (`collate` does that).

        Raises DamageError where the sample is damaged, DataError where its shard cannot be read.
        """
        shard = int(np.searchsorted(self._ends, sample, side="right"))
        number = sample - int(self._ends[shard]) + self.shard_sizes[shard]
        try:
            return self._read(shard, number)
        except DamageError:
            if shard in self._damaged:
                raise
            # The index or the cached shard may be damaged, and not the data set: make both again, once.
            self._close_shard(shard)
            forget_index(self._entries[shard], self._index_folder)
            self._files.drop_if_damaged(self._entries[shard])
            try:
                return self._read(shard, number)
            except DamageError as error:
                self._damaged[shard] = error
                raise

    def num_picture_bytes(self, num_samples: int) -> int:
        """Return the size of a batch's pictures; 0 where it is not known."""
        return 2 * num_samples * math.prod(self.size) * 3 if self.size else 0

    def close(self) -> None:
        """Close all shards and drop their indexes, so that forked workers inherit neither."""
        for shard in [*self._open]:
            self._close_shard(shard)

    def collate(
        self,
        examples: Iterable[Example],
        *,
        positions: NDArray[np.int64],
        flipped: NDArray[np.bool_],
        damages: Sequence[DamageError],
        buffer: Picture | None = None,
    ) -> Batch:
        """Make a batch, mirroring both pictures of a pair where `flipped`.

        The pictures are written to `buffer`, uint8 [bytes], if given. Examples are taken one at a time, so that each is
        copied while it is in the processor's cache; `damages` may grow during the loop.
        """
        size: tuple[int, ...] = ()
        keys, captions, motion_px = [], [], []
        for number, example in enumerate(examples):
            if not number:
                size = example.source.shape
                shape = (2, len(positions), *size)
                pictures = np.empty(shape, np.uint8) if buffer is None else buffer[: math.prod(shape)].reshape(shape)
            keys.append(example.key)
            captions.append(example.caption)
            motion_px.append(example.motion_px)
            for role, picture in enumerate((example.source, example.target)):
                if picture.shape != size:
                    raise DataError(
                        f"pictures of a batch must have the same size: {example.key} has {picture.shape[1]} x "
                        f"{picture.shape[0]}, {keys[0]} has {size[1]} x {size[0]}"
                    )
                if flipped[number]:
                    cv2.flip(picture, 1, dst=pictures[role, number])
                else:
                    pictures[role, number] = picture
        source, target = torch.from_numpy(pictures).permute(0, 1, 4, 2, 3)
        return Batch(
            source=source,
            target=target,
            keys=keys,
            captions=captions,
            motion_px=torch.tensor(motion_px, dtype=torch.float32),
            positions=torch.from_numpy(positions),
            flipped=torch.from_numpy(flipped),
            damages=tuple(damages),
        )

    def _read(self, shard: int, number: int) -> Example:
        path, file = self._paths[shard], self._open_shard(shard)
        if shard not in self._indexes:
            self._indexes[shard] = load_index(self._files, self._entries[shard], self._index_folder)
        index = self._indexes[shard]
        if number >= len(index.extents):
            raise DamageError(path, index.problem or f"it has no sample {number}")
        extent = index.extents[number].tolist()
        start, end = extent[0] - BLOCK_BYTES, extent[4] + extent[5]
        with raise_data_errors(path):
            file.seek(start)
            data = file.read(end - start)
        if len(data) != end - start:
            raise DamageError(path, f"is cut short before byte {end:,}")
        return self._decode(path, data, [offset - start for offset in extent[::2]], extent[1::2])

    def _open_shard(self, shard: int) -> Any:
        if shard in self._open:
            self._open.move_to_end(shard)
        else:
            while len(self._open) >= MAX_OPEN:
                self._open.popitem(last=False)[1].close()
            self._open[shard] = self._files.open(self._entries[shard])
        return self._open[shard]

    def _close_shard(self, shard: int) -> None:
        self._indexes.pop(shard, None)
        if file := self._open.pop(shard, None):
            file.close()

    def _decode(self, path: str, data: bytes, offsets: list[int], sizes: list[int]) -> Example:
        """Decode a sample from the bytes of its members; `offsets` are theirs in `data`."""
        headers = [data[offset - BLOCK_BYTES : offset] for offset in offsets]
        names = [header[:100].rstrip(b"\0").decode("latin-1") for header in headers]
        members = [memoryview(data)[offset : offset + size] for offset, size in zip(offsets, sizes, strict=True)]
        try:
            record = SampleRecord.from_json(bytes(members[0]))
        except (ValueError, KeyError, TypeError) as error:
            raise DamageError(path, f"{names[0]} is not a sample's record ({type(error).__name__})") from error
        key = record.key
        prefixes = (f"{key}.json", f"{key}.source.", f"{key}.target.")
        if not all(name.startswith(prefix) for name, prefix in zip(names, prefixes, strict=True)):
            raise DamageError(path, f"the members of {key} are not where they were expected")
        source, target = (
            self._decode_picture(path, name, member) for name, member in zip(names[1:], members[1:], strict=True)
        )
        return Example(key=key, caption=record.caption, motion_px=record.motion_px, source=source, target=target)

    def _decode_picture(self, path: str, name: str, data: memoryview) -> Picture:
        picture = _decode_picture(path, name, data)
        if self.size is not None and picture.shape[:2] != self.size:
            height, width = self.size
            raise DataError(f"{path}: {name} is {picture.shape[1]} x {picture.shape[0]} pixels, not {width} x {height}")
        return picture


def _decode_picture(path: str, name: str, data: memoryview) -> Picture:
    """Decode to RGB, uint8 [H, W, 3]. Raises DamageError."""
    if name.endswith(".jpg"):
        # OpenCV gives Pillow's pixels, from the same library, and decodes straight into an array.
        # It accepts other formats and a truncated picture, so both markers are checked.
        picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
        if picture is None or bytes(data[:3]) != b"\xff\xd8\xff" or bytes(data[-2:]) != b"\xff\xd9":
            raise DamageError(path, f"{name} is not a whole JPEG picture")
        return np.asarray(picture, dtype=np.uint8)
    try:
        with Image.open(io.BytesIO(data), formats=SHARD_FORMATS) as image:
            return np.asarray(image.convert("RGB"))
    except DECODE_ERRORS as error:
        raise DamageError(path, f"{name} cannot be decoded ({error})") from error
