"""What these tests read: the drawn data set cut into uneven shards, and a web server that knows ranges."""

import dataclasses
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import torch

from shards.manifest import Manifest, read_manifest, write_manifest
from shards.reader import read_shard
from shards.writer import shard_name, write_shard
from training.data import BatchStream, DataConfig
from training.data.latent_format import (
    LatentManifest,
    LatentRow,
    LatentSplit,
    PairLatents,
    write_latent_manifest,
    write_latent_shard,
)

SIZES = (1, 30, 17, 42, 20)
"""Samples of the shards, of 110 in all."""


def cut(dataset: Path, out: Path, sizes: Sequence[int] = SIZES) -> Path:
    """Write the train split of a data set anew, in shards of these sizes."""
    manifest = read_manifest(dataset)
    split = manifest.splits["train"]
    samples = (sample for shard in split.shards for sample in read_shard(dataset / "train" / shard.name))
    entries = []
    for number, size in enumerate(sizes):
        chosen = [next(samples) for _ in range(size)]
        entries.append(write_shard(out / "train" / shard_name(number), chosen))
    write_split(out, manifest, shards=tuple(entries), num_samples=sum(sizes))
    return out


def write_split(out: Path, manifest: Manifest, **changes: Any) -> None:
    """Write a manifest whose train split is changed."""
    train = dataclasses.replace(manifest.splits["train"], **changes)
    write_manifest(out, dataclasses.replace(manifest, splits={**manifest.splits, "train": train}))


def copy(folder: Path, to: Path) -> Path:
    """Copy a data set, to change it."""
    return Path(shutil.copytree(folder, to))


def config(location: Path | str, **changes: Any) -> DataConfig:
    """Configure small batches."""
    fields = {"location": str(location), "seed": 3, "global_batch": 8, "micro_batch": 4, "num_workers": 0}
    return DataConfig(**{**fields, **changes})


def batches(location: Path | str, num_steps: int, *, start: int = 0, rank: int = 0, ranks: int = 1, **changes: Any):
    """Read the micro-batches of some steps."""
    stream = BatchStream(
        config(location, **changes), rank=rank, world_size=ranks, start_position=start, num_steps=num_steps
    )
    with stream:
        return list(stream)


def keys(of: Iterable[Any]) -> list[str]:
    """Join the keys of batches."""
    return [key for batch in of for key in batch.keys]


def same(first: Any, second: Any) -> bool:
    """Say whether two batches are the same in every field."""
    pairs = [(getattr(first, field.name), getattr(second, field.name)) for field in dataclasses.fields(first)]
    return type(first) is type(second) and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else str(a) == str(b) for a, b in pairs
    )


def latent_row(key: str, number: int, *, has_flips: bool = True) -> LatentRow:
    """Make up a sample of a latent cache."""
    rng = np.random.default_rng(number)

    def pair() -> PairLatents:
        draws = rng.standard_normal((3, 4, 8, 8)).astype(np.float16)
        return PairLatents(source_mode=draws[0], target_mean=draws[1], target_logvar=draws[2])

    return LatentRow(
        key=key,
        caption=f"caption of {key}",
        motion_px=number / 8,
        token_ids=rng.integers(0, 49408, 77, dtype=np.int32),
        plain=pair(),
        flipped=pair() if has_flips else None,
    )


def write_latents(dataset: Path, out: Path, *, has_flips: bool = True) -> Path:
    """Make up a latent cache of a data set, its keys in the same order."""
    entries, number = [], 0
    for shard in read_manifest(dataset).splits["train"].shards:
        rows = []
        for sample in read_shard(dataset / "train" / shard.name):
            rows.append(latent_row(sample.record.key, number, has_flips=has_flips))
            number += 1
        entries.append(write_latent_shard(out / "train" / f"{Path(shard.name).stem}.arrow", rows))
    split = LatentSplit(num_samples=number, shards=tuple(entries))
    manifest = LatentManifest(
        dataset_sha256="d" * 64,
        vae="drawn",
        vae_sha256="e" * 64,
        resolution=64,
        has_flips=has_flips,
        splits={"train": split},
    )
    write_latent_manifest(out, manifest)
    return out


class Host(ThreadingHTTPServer):
    """A web server over a folder, on the loopback interface; `asked` tells paths and ranges."""

    def __init__(self, folder: Path, *, ranges: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.folder = folder
        self.ranges = ranges
        self.asked: list[tuple[str, str | None]] = []
        self.num_failures = 0
        """How many requests for shards are yet to be cut off in the middle."""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


class Answer(SimpleHTTPRequestHandler):
    """Sends files, whole or in ranges."""

    server: Host

    def do_GET(self) -> None:
        path, wanted = self.server.folder / self.path.lstrip("/"), self.headers["Range"]
        self.server.asked.append((self.path, wanted))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        if wanted and self.server.ranges:
            first, last = (int(number) for number in re.findall(r"\d+", wanted))
            data = data[first : last + 1]
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.server.num_failures and self.path.endswith(".tar"):
            self.server.num_failures -= 1
            data = data[: len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # The name is the library's.
        """Keep the test's output clean."""


@contextmanager
def serve(folder: Path, *, ranges: bool = True) -> Iterator[Host]:
    """Run a host."""
    with Host(folder, ranges=ranges) as host:
        thread = Thread(target=host.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield host
        host.shutdown()
        thread.join()
