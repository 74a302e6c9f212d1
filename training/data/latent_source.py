"""The latent cache: a data set encoded by the autoencoder and the tokenizer, read in number of its pictures.

::

    OUT/
      latents.json            the manifest, written last
      train/00000.arrow ...   one file per shard of the data set, with its samples in order; also val/, test/

A file is Arrow IPC with one uncompressed record batch, so that rows are read from the memory map without a copy.
h, w: the resolution divided by 8. L: tokens of a prompt, 77.
"""

import collections
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from training.data.batch import LatentBatch
from training.data.errors import DamageError, raise_data_errors
from training.data.latent_format import TENSORS, Latent, LatentEntry, LatentRow, PairLatents, hash_frame
from training.data.shard_cache import ShardFiles, check_sha256

MAX_OPEN = 128


class LatentShard:
    """A shard of the cache, mapped into memory after its frame was checked: Arrow trusts the bytes of a file."""

    def __init__(self, path: Path, entry: LatentEntry, label: str | None = None) -> None:
        label = label or str(path)
        with raise_data_errors(path):
            _check_frame(path, entry, label)
        try:
            with pa.ipc.open_file(pa.memory_map(os.fsencode(path))) as reader:
                batch = reader.get_batch(0)
                shape = tuple(json.loads(batch.schema.metadata[b"latent_shape"]))
            self._keys, self._captions = batch["key"], batch["caption"]
            self._motion_px = batch["motion_px"].to_numpy()
            self._token_ids = _to_rows(batch["token_ids"])
            columns = {name: _to_rows(batch[name]).reshape(-1, *shape) for name in batch.schema.names[4:]}
            self._plain = [columns[name] for name in TENSORS]
            self._flipped = [columns["flipped_" + name] for name in TENSORS if "flipped_" + name in columns]
        except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
            raise DamageError(label, f"cannot be read as latents ({type(error).__name__})") from error
        if len(self._motion_px) != entry.num_samples:
            raise DamageError(label, f"{len(self._motion_px)} samples, not {entry.num_samples} as in the manifest")

    def __len__(self) -> int:
        return len(self._motion_px)

    def row(self, number: int) -> LatentRow:
        """Return a sample; its arrays are views of the file."""
        return LatentRow(
            key=self._keys[number].as_py(),
            caption=self._captions[number].as_py(),
            motion_px=float(self._motion_px[number]),
            token_ids=self._token_ids[number],
            plain=_pair(self._plain, number),
            flipped=_pair(self._flipped, number) if self._flipped else None,
        )


def _check_frame(path: Path, entry: LatentEntry, label: str) -> None:
    """Raise DamageError if anything but the latents' values differs from what was written, OSError if it is missing."""
    if path.stat().st_size != entry.num_bytes:
        raise DamageError(label, f"{path.stat().st_size:,} bytes, not {entry.num_bytes:,} as in the manifest")
    if entry.frame_sha256 is None:
        check_sha256(path, entry, Path(label))
    elif hash_frame(path, entry.values_start, entry.values_end) != entry.frame_sha256:
        raise DamageError(label, f"its frame does not have the SHA-256 of the manifest ({entry.frame_sha256[:12]}...)")


def _pair(columns: list[Latent], number: int) -> PairLatents:
    source_mode, target_mean, target_logvar = (column[number] for column in columns)
    return PairLatents(source_mode=source_mode, target_mean=target_mean, target_logvar=target_logvar)


def _to_rows(column: pa.FixedSizeListArray) -> NDArray[Any]:
    values: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=True)
    return values.reshape(len(column), -1)


def read_latent_shard(path: Path, entry: LatentEntry) -> list[LatentRow]:
    """Read all rows of a shard. Raises DamageError."""
    shard = LatentShard(path, entry)
    return [shard.row(number) for number in range(len(shard))]


class LatentSource:
    """The samples of a split by number. Picklable before the first read, to be sent to workers."""

    def __init__(self, files: ShardFiles, entries: Sequence[LatentEntry]) -> None:
        self.shard_sizes = tuple(entry.num_samples for entry in entries)
        self._files = files
        self._entries = tuple(entries)
        self._ends = np.cumsum(self.shard_sizes)
        self._open: collections.OrderedDict[int, LatentShard] = collections.OrderedDict()

    def read(self, sample: int) -> LatentRow:
        """Read a sample. Raises DamageError, or DataError where its shard cannot be read."""
        shard = int(np.searchsorted(self._ends, sample, side="right"))
        return self._open_shard(shard).row(sample - int(self._ends[shard]) + self.shard_sizes[shard])

    def collate(
        self,
        rows: Iterable[LatentRow],
        *,
        positions: NDArray[np.int64],
        flipped: NDArray[np.bool_],
        damages: Sequence[DamageError],
        buffer: NDArray[np.uint8] | None = None,
    ) -> LatentBatch:
        """Make a batch, of the mirrored pairs where `flipped`; `buffer` is not used."""
        rows = list(rows)
        pairs = [row.flipped if flip else row.plain for row, flip in zip(rows, flipped.tolist(), strict=True)]
        tensors = {name: torch.from_numpy(np.stack([getattr(pair, name) for pair in pairs])) for name in TENSORS}
        return LatentBatch(
            keys=[row.key for row in rows],
            captions=[row.caption for row in rows],
            motion_px=torch.tensor([row.motion_px for row in rows], dtype=torch.float32),
            token_ids=torch.from_numpy(np.stack([row.token_ids for row in rows]).astype(np.int64)),
            positions=torch.from_numpy(positions),
            flipped=torch.from_numpy(flipped),
            damages=tuple(damages),
            **tensors,
        )

    def num_picture_bytes(self, num_samples: int) -> int:
        """Return 0: latents are small enough to be pickled."""
        return 0

    def _open_shard(self, shard: int) -> LatentShard:
        if shard in self._open:
            self._open.move_to_end(shard)
        else:
            while len(self._open) >= MAX_OPEN:
                self._open.popitem(last=False)
            entry = self._entries[shard]
            self._open[shard] = LatentShard(self._files.local_path(entry), entry, str(self._files.path_of(entry)))
        return self._open[shard]
