"""A sample's number -> its pictures, decoded, and what its record tells.

H, W: the data set's resolution.
"""

import collections
import dataclasses
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from shards.manifest import ShardEntry
from shards.members import BLOCK_BYTES
from shards.pictures import DECODE_ERRORS
from shards.schema import SampleRecord
from training.data.batch import Batch
from training.data.byte_source import ByteSource
from training.data.errors import DamageError, DataError
from training.data.shard_cache import ShardFiles
from training.data.tar_index import ShardIndex, forget_index, load_index

Picture = NDArray[np.uint8]

MAX_OPEN = 128
"""Shards that a process holds open; well below the 1,024 files that a process may usually have."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One pair, decoded."""

    key: str
    caption: str
    motion_px: float
    source: Picture
    """uint8 [H, W, 3], RGB."""
    target: Picture
    """uint8 [H, W, 3], RGB."""


class PictureSource:
    """The samples of a split by their numbers. Can be sent to a worker before anything was read."""

    def __init__(self, files: ShardFiles, entries: Sequence[ShardEntry], index_folder: Path | None) -> None:
        self.shard_sizes = tuple(entry.num_samples for entry in entries)
        self.size: tuple[int, int] | None = None
        """(H, W) that every picture must have; None allows any, alike in a batch."""
        self._files = files
        self._entries = tuple(entries)
        self._paths = tuple(files.path_of(entry) for entry in entries)
        self._ends = np.cumsum(self.shard_sizes)
        self._index_folder = index_folder
        self._indexes: dict[int, ShardIndex] = {}
        self._broken: dict[int, DamageError] = {}
        self._open: collections.OrderedDict[int, ByteSource] = collections.OrderedDict()

    def read(self, sample: int) -> Example:
        """Read and decode one sample, not mirrored: `collate` does that.

        Raises DamageError where it cannot be, StorageError where its shard cannot be had.
        """
        shard = int(np.searchsorted(self._ends, sample, side="right"))
        place = sample - int(self._ends[shard]) + self.shard_sizes[shard]
        try:
            return self._read(shard, place)
        except DamageError:
            if shard in self._broken:
                raise
            # An index of another shard, or a cached shard that rotted? Look once at the thing itself.
            self.forget(shard)
            forget_index(self._entries[shard], self._index_folder)
            self._files.drop_if_damaged(self._entries[shard])
            try:
                return self._read(shard, place)
            except DamageError as error:
                self._broken[shard] = error
                raise

    def room_bytes(self, num_samples: int) -> int:
        """Say what room the pictures of a batch need."""
        return 2 * num_samples * math.prod(self.size) * 3 if self.size else 0

    def close(self) -> None:
        """Close all shards, and keep no index: a process that is forked off starts with neither."""
        for shard in [*self._open]:
            self.forget(shard)

    def forget(self, shard: int) -> None:
        """Close a shard and let go of its index."""
        self._indexes.pop(shard, None)
        if opened := self._open.pop(shard, None):
            opened.close()

    def collate(
        self,
        examples: Iterable[Example],
        *,
        positions: NDArray[np.int64],
        flipped: NDArray[np.bool_],
        damages: Sequence[DamageError],
        room: Picture | None = None,
    ) -> Batch:
        """Make a batch, mirroring both pictures of a pair where `flipped`; in `room`, uint8 [bytes], if given.

        Examples are taken one by one and let go, so that decoded pictures are copied while they are in the
        processor's cache; `damages` may grow meanwhile.
        """
        size: tuple[int, ...] = ()
        keys, captions, motion_px = [], [], []
        for number, example in enumerate(examples):
            if not number:
                size = example.source.shape
                shape = (2, len(positions), *size)
                pictures = np.empty(shape, np.uint8) if room is None else room[: math.prod(shape)].reshape(shape)
            keys.append(example.key)
            captions.append(example.caption)
            motion_px.append(example.motion_px)
            for role, picture in enumerate((example.source, example.target)):
                if picture.shape != size:
                    raise DataError(
                        f"pictures of a batch must be alike in size: {example.key} has {picture.shape[1]} x "
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

    def _read(self, shard: int, place: int) -> Example:
        entry, opened = self._entries[shard], self._opened(shard)
        path = self._paths[shard]
        if shard not in self._indexes:
            self._indexes[shard] = load_index(self._files, entry, self._index_folder)
        index = self._indexes[shard]
        if place >= len(index.extents):
            raise DamageError(path, index.problem or f"it has no sample {place}")
        extent = index.extents[place].tolist()
        start, end = extent[0] - BLOCK_BYTES, extent[4] + extent[5]
        data = opened.read_at(start, end - start)
        if len(data) != end - start:
            raise DamageError(path, f"is cut short before byte {end:,}")
        return self._decode(path, data, [offset - start for offset in extent[::2]], extent[1::2])

    def _opened(self, shard: int) -> ByteSource:
        if shard in self._open:
            self._open.move_to_end(shard)
        else:
            while len(self._open) >= MAX_OPEN:
                self._open.popitem(last=False)[1].close()
            self._open[shard] = self._files.open(self._entries[shard])
        return self._open[shard]

    def _decode(self, path: str, data: bytes, offsets: list[int], sizes: list[int]) -> Example:
        """Take a sample apart; `offsets` are those of its members in `data`."""
        names = [
            data[offset - BLOCK_BYTES : offset - BLOCK_BYTES + 100].rstrip(b"\0").decode("latin-1")
            for offset in offsets
        ]
        members = [memoryview(data)[offset : offset + size] for offset, size in zip(offsets, sizes, strict=True)]
        try:
            record = SampleRecord.from_json(bytes(members[0]))
        except (ValueError, KeyError, TypeError) as error:
            raise DamageError(path, f"{names[0]} is not a sample's record ({type(error).__name__})") from error
        key = record.key
        if (
            names[0] != f"{key}.json"
            or not names[1].startswith(f"{key}.source.")
            or not (names[2].startswith(f"{key}.target."))
        ):
            raise DamageError(path, f"the members of {key} are not where they were expected")
        source, target = (
            _decode_picture(path, name, member) for name, member in zip(names[1:], members[1:], strict=True)
        )
        for name, picture in zip(names[1:], (source, target), strict=True):
            if self.size is not None and picture.shape[:2] != self.size:
                height, width = self.size
                raise DataError(
                    f"{path}: {name} is {picture.shape[1]} x {picture.shape[0]} pixels, not {width} x {height}"
                )
        return Example(key=key, caption=record.caption, motion_px=record.motion_px, source=source, target=target)


def _decode_picture(path: str, name: str, data: memoryview) -> Picture:
    """Decode to RGB, uint8 [H, W, 3]. Raises DamageError."""
    if name.endswith(".jpg"):
        # OpenCV and Pillow give the same pixels by the same library; OpenCV writes them straight into an array.
        # It takes a picture that was cut short, so the end is looked for.
        picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
        if picture is None or bytes(data[-2:]) != b"\xff\xd9":
            raise DamageError(path, f"{name} is not a whole JPEG picture")
        return np.asarray(picture, dtype=np.uint8)
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except DECODE_ERRORS as error:
        raise DamageError(path, f"{name} cannot be decoded ({error})") from error
