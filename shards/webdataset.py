"""A data set -> a webdataset pipeline, for a training loop of your own.

    for source, target, record in open_pairs("shards/", shuffle=1000):
        record["motion_px"], record["caption"]

The shards are plain WebDataset tars: `webdataset.WebDataset` reads them too, without this module.
"""

import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from shards.errors import DatasetError
from shards.manifest import read_manifest
from shards.members import walk_samples
from shards.schema import IMAGE_MIME


def open_pairs(folder: str | Path, split: str = "train", *, shuffle: int = 0) -> Any:
    """Return a webdataset pipeline of (source, target, record) over the shards of a finished data set.

    `source` and `target` are uint8 [H, W, 3], RGB; `record` is the dict of the sample's JSON. With `shuffle`, shards
    come in random order and samples go through a buffer of that many; otherwise both keep the data set's order.
    Raises DatasetError where there is no finished data set or no such split.
    """
    import webdataset

    manifest = read_manifest(Path(folder))
    if split not in manifest.splits:
        raise DatasetError(f"{folder}: no split {split!r}; the splits are {', '.join(manifest.splits)}")
    paths = [str(Path(folder, split, shard.name)) for shard in manifest.splits[split].shards]
    dataset = webdataset.WebDataset(paths, shardshuffle=len(paths) if shuffle else False)
    # Before the stage that opens the tars: webdataset expands compressed and sparse ones to any size.
    openers = (webdataset.cache.StreamingOpen, webdataset.cache.FileCache)
    position = [isinstance(stage, openers) for stage in dataset.pipeline].index(True)
    dataset.pipeline.insert(position, _check_shards)
    if shuffle:
        dataset = dataset.shuffle(shuffle)
    pictures = [";".join(f"{role}.{extension}" for extension in IMAGE_MIME) for role in ("source", "target")]
    return dataset.decode("rgb8").to_tuple(*pictures, "json")


def _check_shards(sources: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield webdataset's shards after a walk over the headers of each. Raises DatasetError for one that is not ours."""
    for source in sources:
        try:
            with Path(source["url"]).open("rb") as file:
                for _ in walk_samples(file):
                    pass
        except (tarfile.TarError, OSError) as error:
            raise DatasetError(f"{source['url']}: {error}") from error
        yield source
