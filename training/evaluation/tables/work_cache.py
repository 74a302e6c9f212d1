"""OUT/work: a cache of generated frames and computed values, so that an interrupted run can continue.

Each item is a file or a folder that is written atomically, together with the digest of its recipe: everything that
determines the item. An item with another recipe is computed again.
"""

import contextlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shards.json_fields import load_json
from shards.manifest import digest
from shards.storage.atomic import write_atomically, write_folder_atomically
from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.frames import Frames, read_frames

Recipe = dict[str, Any]
"""A JSON object with everything that can change an item."""

_RECIPE = "recipe.json"


class WorkCache:
    """The cached items of one run, below one folder. Item names may contain folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get_array(self, name: str, recipe: Recipe, compute: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the array in NAME.npz; compute and write it if it is missing, damaged or of another recipe."""
        path, recipe_digest = self.folder / f"{name}.npz", digest(recipe)
        damage = (FileNotFoundError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
        with contextlib.suppress(*damage), np.load(path, allow_pickle=False) as cached:
            if str(cached["recipe"]) == recipe_digest:
                return np.asarray(cached["numbers"], dtype=np.float64)
        numbers = compute()
        with write_atomically(path) as temporary, temporary.open("wb") as file:
            np.savez(file, numbers=numbers, recipe=np.array(recipe_digest))
        return numbers

    def get_frames(self, name: str, recipe: Recipe, generate: Callable[[], Frames]) -> Frames:
        """Return the frames in the folder NAME, uint8 [T, H, W, 3]; generate and write them as PNG if needed.

        Frames are needed again if an image is missing or damaged, or if the recipe differs.
        """
        folder, recipe_digest = self.folder / name, digest(recipe)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError, EvaluationError):
            cached = load_json((folder / _RECIPE).read_text(encoding="utf-8"))
            if cached.get("digest") == recipe_digest:
                frames = read_frames(folder)
                if len(frames) == cached.get("num_frames"):
                    return frames
        if folder.exists() and not (folder / _RECIPE).is_file():
            raise EvaluationError(f"{folder} holds no frames of pix2gif and would be replaced; name another --out")
        frames = generate()
        with write_folder_atomically(folder) as temporary:
            for index, frame in enumerate(frames):
                Image.fromarray(frame).save(temporary / f"{index:03d}.png")
            description = {"digest": recipe_digest, "num_frames": len(frames), **recipe}
            (temporary / _RECIPE).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        return frames
