"""The val split of a finished data set -> the pairs that Table 2 and Figure 7 are made from."""

import bisect
import dataclasses
import functools
import hashlib
import io
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shards.manifest import ShardEntry, read_manifest
from shards.pictures import DECODE_ERRORS
from shards.reader import read_shard
from shards.schema import Sample
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.clips import resize_frames


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValPair:
    """One pair that the model was not trained on."""

    key: str
    caption: str
    source: NDArray[np.uint8]
    """RGB, uint8 [H, W, 3]."""
    target: NDArray[np.uint8]
    """RGB, uint8 [H, W, 3]."""
    motion_px: float

    @functools.cached_property
    def digest(self) -> str:
        """Hash both pictures."""
        hashed = hashlib.sha256()
        for picture in (self.source, self.target):
            hashed.update(repr(picture.shape).encode() + picture.tobytes())
        return hashed.hexdigest()


def draw_pairs(
    shards: Path, num_pairs: int, seed: int, resolution: int | None = None, split: str = "val"
) -> list[ValPair]:
    """Draw pairs of a split by seed, each at most once, in the order of the shards.

    Pictures are resized to squares of `resolution` pixels, or left as they are. Raises EvaluationError where the split
    has fewer pairs, DatasetError where `shards` is no finished data set.
    """
    entry = read_manifest(shards).splits.get(split)
    num_samples = entry.num_samples if entry else 0
    if entry is None or num_samples < num_pairs:
        raise EvaluationError(f"{shards} has {num_samples} pairs in {split}, but {num_pairs} are wanted: ask for fewer")
    wanted = sorted(np.random.default_rng(seed).choice(num_samples, num_pairs, replace=False).tolist())
    pairs: list[ValPair] = []
    start = 0
    for shard in entry.shards:
        end = start + shard.num_samples
        here = wanted[bisect.bisect_left(wanted, start) : bisect.bisect_left(wanted, end)]
        pairs += _read_pairs(shards / split / shard.name, shard, [index - start for index in here], resolution)
        start = end
    return pairs


def _read_pairs(path: Path, shard: ShardEntry, places: list[int], resolution: int | None) -> list[ValPair]:
    if not places:
        return []
    samples = enumerate(itertools.islice(read_shard(path), places[-1] + 1))
    pairs = [_decode(path, sample, resolution) for place, sample in samples if place in set(places)]
    if len(pairs) < len(places):
        raise EvaluationError(f"{path} has fewer samples than the {shard.num_samples} of the manifest")
    return pairs


def _decode(path: Path, sample: Sample, resolution: int | None) -> ValPair:
    pictures = []
    for data in (sample.source, sample.target):
        try:
            with Image.open(io.BytesIO(data)) as picture:
                pixels = np.asarray(picture.convert("RGB"))
        except DECODE_ERRORS as error:
            raise EvaluationError(f"{path}: a picture of {sample.record.key} cannot be decoded ({error})") from error
        pictures.append(resize_frames(pixels[None], resolution, resolution)[0] if resolution else pixels)
    record = sample.record
    return ValPair(
        key=record.key, caption=record.caption, source=pictures[0], target=pictures[1], motion_px=record.motion_px
    )
