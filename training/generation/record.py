"""What was made -> a JSON beside it with all that it hangs on; and whether what lies there is what would be made."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from PIL import Image

from shards.atomic import write_atomically
from training.generation.config import GenerationConfig
from training.generation.errors import GenerationError
from training.generation.generate import Generator
from training.runtime.versions import software_versions

_PACKAGES = ("pix2gif", "torch", "diffusers", "transformers", "numpy", "pillow")

Recipe = dict[str, Any]


def make_recipe(generator: Generator, image: Image.Image, prompt: str, config: GenerationConfig, form: str) -> Recipe:
    """Tell all that decides the bytes: settings, seed, the source's pixels, weights, device and software."""
    pixels = hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()
    recipe = {
        "prompt": prompt,
        "source_sha256": pixels,
        "settings": {**dataclasses.asdict(config), "num_inference_steps": config.num_steps},
        "form": form,
        "model": {"sha256": generator.sha256, "variant": generator.pipeline.config["model_variant"]},
        "device": generator.device,
        "software": software_versions(*_PACKAGES, *(("av",) if form == ".mp4" else ())),
    }
    # As it comes back from a file: tuples are lists.
    plain: Recipe = json.loads(json.dumps(recipe))
    return plain


def record_path(out: Path) -> Path:
    """Place the record: `cat.json` beside `cat.gif` or the folder `cat`."""
    return out.with_suffix(".json") if out.suffix else out.with_name(f"{out.name}.json")


def write_record(out: Path, recipe: Recipe, told: dict[str, Any], files: list[Path]) -> None:
    """Write the record, last of all: whoever finds it finds what it tells of. `told` decides no bytes."""
    record = {"recipe": recipe, **told, "sha256": {file.name: _hash(file) for file in files}}
    with write_atomically(record_path(out)) as temporary:
        temporary.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def is_made(out: Path, recipe: Recipe, files: list[Path]) -> bool:
    """Tell whether all files lie there, to the bit as they were made by this very recipe.

    Raises GenerationError where something else lies in the record's place: it is not ours to write over.
    """
    path = record_path(out)
    if not path.exists():
        return False
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        found, hashes = record["recipe"], record["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GenerationError(
            f"{path} is no record of pix2gif, but one would be written there: name another --out"
        ) from error
    return bool(found == recipe) and all(file.exists() and hashes.get(file.name) == _hash(file) for file in files)


def _hash(path: Path) -> str:
    """Digest a file, or the names and bytes of a folder's files."""
    hashed = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if path.is_dir():
            hashed.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        hashed.update(file.read_bytes())
    return hashed.hexdigest()
