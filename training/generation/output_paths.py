"""Where the files of a GIF go, and whether they can come to lie there."""

from dataclasses import dataclass
from pathlib import Path

from training.generation.errors import GenerationError
from training.generation.writers import check_folder, check_output


@dataclass(frozen=True, kw_only=True)
class OutputPaths:
    """Where the files of one request go."""

    out: Path
    sheet: Path | None = None


def check_output_paths(image: Path, places: OutputPaths) -> None:
    """Raise GenerationError where something cannot be written, or the source image would be written over."""
    check_output(places.out)
    if places.sheet is not None:
        if places.sheet.suffix.lower() != ".png" or places.sheet.is_dir():
            raise GenerationError(f"the sheet {places.sheet} must be a file that ends with .png")
        check_folder(places.sheet)
    source = image.resolve()
    for place in (places.out, places.sheet):
        if place is not None and place.resolve() in (source, *source.parents):
            raise GenerationError(f"{place} is the source image, or holds it, and would be lost: name another place")
