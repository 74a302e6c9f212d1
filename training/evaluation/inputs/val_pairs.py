"""Draw the pairs of a data set's val split that Table 2 and Figure 7 are measured on."""

import dataclasses
import functools
import hashlib
import io
import itertools
from pathlib import Path

import numpy as np
from PIL import Image

from shards.manifest import ShardEntry, read_manifest
from shards.pictures import DECODE_ERRORS, SHARD_FORMATS
from shards.reader import read_shard
from shards.schema import Sample
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.frames import Frame, resize_frames


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValPair:
    """One pair of a held-out split."""

    key: str
    caption: str
    source: Frame
    target: Frame
    motion_px: float
    """Motion from source to target in the data set, in pixels at the data set's resolution."""

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of both images."""
        hashed = hashlib.sha256()
        for image in (self.source, self.target):
            hashed.update(repr(image.shape).encode() + image.tobytes())
        return hashed.hexdigest()


def draw_pairs(
    shards: Path, num_pairs: int, seed: int, resolution: int | None = None, split: str = "val"
) -> list[ValPair]:
    """Draw pairs of a split without replacement, in the order of the shards.

    Images are resized to squares of `resolution` pixels, or keep their size. Raises EvaluationError if the split has
    fewer pairs, and DatasetError if `shards` is not a finished data set.
    """
    entry = read_manifest(shards).splits.get(split)
    num_samples = entry.num_samples if entry else 0
    if entry is None or num_samples < num_pairs:
        raise EvaluationError(
            f"{shards} has {num_samples} pairs in {split}, fewer than the {num_pairs} to draw: ask for fewer pairs"
        )
    drawn = set(np.random.default_rng(seed).choice(num_samples, num_pairs, replace=False).tolist())
    pairs: list[ValPair] = []
    start = 0
    for shard in entry.shards:
        end = start + shard.num_samples
        indices = {index - start for index in drawn if start <= index < end}
        pairs += _read_pairs(shards / split / shard.name, shard, indices, resolution)
        start = end
    return pairs


def _read_pairs(path: Path, shard: ShardEntry, indices: set[int], resolution: int | None) -> list[ValPair]:
    if not indices:
        return []
    samples = enumerate(itertools.islice(read_shard(path), max(indices) + 1))
    pairs = [_decode(path, sample, resolution) for index, sample in samples if index in indices]
    if len(pairs) < len(indices):
        raise EvaluationError(f"{path} has fewer samples than the {shard.num_samples} in the manifest")
    return pairs


def _decode(path: Path, sample: Sample, resolution: int | None) -> ValPair:
    images = []
    for data in (sample.source, sample.target):
        try:
            with Image.open(io.BytesIO(data), formats=SHARD_FORMATS) as image:
                pixels = np.asarray(image.convert("RGB"))
        except DECODE_ERRORS as error:
            raise EvaluationError(f"{path}: an image of {sample.record.key} cannot be decoded ({error})") from error
        images.append(resize_frames(pixels[None], resolution, resolution)[0] if resolution else pixels)
    record = sample.record
    return ValPair(
        key=record.key, caption=record.caption, source=images[0], target=images[1], motion_px=record.motion_px
    )
