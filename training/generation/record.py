"""The record: a JSON file beside every output, with all that determines its bytes.

A later run compares records to skip outputs that exist already.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from PIL import Image

from shards.json_fields import load_json
from shards.storage.atomic import write_atomically
from training.generation.config import GenerationConfig
from training.generation.errors import GenerationError
from training.generation.generate import Generator
from training.generation.output_paths import OutputPaths
from training.runtime.versions import software_versions

_PACKAGES = ("pix2gif", "torch", "diffusers", "transformers", "numpy", "pillow")

Recipe = dict[str, Any]


def make_recipe(generator: Generator, image: Image.Image, prompt: str, config: GenerationConfig, suffix: str) -> Recipe:
    """Return all that determines the bytes: settings, seed, source pixels, weights, device and software versions."""
    recipe = {
        "prompt": prompt,
        "source_sha256": hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest(),
        "settings": {**dataclasses.asdict(config), "num_inference_steps": config.num_steps},
        "form": suffix,
        "model": {
            "sha256": generator.sha256,
            "variant": generator.pipeline.config["model_variant"],
            "trained_on": dataclasses.asdict(generator.pipeline.trained_on),
        },
        "device": generator.device,
        "software": software_versions(*_PACKAGES, *(("av",) if suffix == ".mp4" else ())),
    }
    # Round trip through JSON, so that it equals what a later run reads: tuples become lists.
    plain: Recipe = json.loads(json.dumps(recipe))
    return plain


def write_record(paths: OutputPaths, recipe: Recipe, details: dict[str, Any]) -> None:
    """Write the record after all other files, so that a record implies complete files. `details` determine no bytes."""
    record = {"recipe": recipe, **details, "sha256": {path.name: _hash(path) for path in paths.files}}
    with write_atomically(paths.record) as temporary:
        temporary.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def is_generated(paths: OutputPaths, recipe: Recipe) -> bool:
    """Return whether all files exist with the bytes that this recipe gave.

    Raises GenerationError if another program's file is at the record's path.
    """
    if not paths.record.exists():
        return False
    try:
        record = load_json(paths.record.read_text(encoding="utf-8"))
        old_recipe, hashes = record["recipe"], record["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GenerationError(
            f"{paths.record} is not a record of pix2gif and would be overwritten; name another --out"
        ) from error
    return bool(old_recipe == recipe) and all(
        path.exists() and hashes.get(path.name) == _hash(path) for path in paths.files
    )


def _hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and bytes of a folder's files."""
    hashed = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if path.is_dir():
            hashed.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        hashed.update(file.read_bytes())
    return hashed.hexdigest()
