"""OUT/work: what was made once and is used again, and the split of the work over processes.

Each item is a file or folder that appears under its name only when it is whole, and tells the hash of all that it was
made from; one that was made from anything else is made anew.
"""

import contextlib
import dataclasses
import datetime
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch.distributed
from numpy.typing import NDArray
from PIL import Image

from shards.atomic import write_atomically, write_folder_atomically
from shards.manifest import digest
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.clips import Frames, read_frames

Item = TypeVar("Item")
Recipe = dict[str, Any]
"""A JSON value: all that can change an item."""

_RECIPE = "recipe.json"
_LONGEST_WAIT = datetime.timedelta(days=7)
"""For the slowest process; one that fails ends the others by torchrun."""


class Work:
    """The items of one run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def numbers(self, name: str, recipe: Recipe, make: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Read NAME.npz, or make and keep it; `name` may hold folders."""
        path, wanted = self.folder / f"{name}.npz", digest(recipe)
        damage = (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
        with contextlib.suppress(*damage), np.load(path, allow_pickle=False) as found:
            if str(found["recipe"]) == wanted:
                return np.asarray(found["numbers"], dtype=np.float64)
        numbers = make()
        with write_atomically(path) as temporary, temporary.open("wb") as file:
            np.savez(file, numbers=numbers, recipe=np.array(wanted))
        return numbers

    def frames(self, name: str, recipe: Recipe, make: Callable[[], Frames]) -> Frames:
        """Read the folder NAME of pictures, uint8 [T, H, W, 3], or make and keep it, without loss."""
        folder, wanted = self.folder / name, digest(recipe)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError, EvaluationError):
            told = json.loads((folder / _RECIPE).read_text(encoding="utf-8"))
            found = read_frames(folder) if told.get("digest") == wanted else None
            if found is not None and len(found) == told.get("num_frames"):
                return found
        frames = make()
        with write_folder_atomically(folder) as temporary:
            for index, frame in enumerate(frames):
                Image.fromarray(frame).save(temporary / f"{index:03d}.png")
            described = {"digest": wanted, "num_frames": len(frames), **recipe}
            (temporary / _RECIPE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
        return frames


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a picture, RGB, uint8 [H, W, 3], as PNG."""
    with write_atomically(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those that torchrun started, or the only one."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process gathers the results and speaks."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Take this process's items; the shares of all are disjoint and complete."""
        return items[self.rank :: self.world_size]

    def wait(self) -> None:
        """Wait until every process has come to this point: their files then lie on the disk."""
        if self.world_size > 1:
            torch.distributed.barrier()


@contextlib.contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Join the processes of torchrun, by its RANK and WORLD_SIZE."""
    ranks = Ranks(rank=int(os.environ.get("RANK", "0")), world_size=int(os.environ.get("WORLD_SIZE", "1")))
    if ranks.world_size == 1:
        yield ranks
        return
    torch.distributed.init_process_group("gloo", timeout=_LONGEST_WAIT)
    try:
        yield ranks
    finally:
        torch.distributed.destroy_process_group()
