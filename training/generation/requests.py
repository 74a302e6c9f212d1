"""Requests: an image, a prompt and optional motion, read from the rows of a TSV or JSONL file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.json_fields import load_json
from training.generation.errors import GenerationError
from training.generation.motions import parse_motion


@dataclass(frozen=True, kw_only=True)
class Request:
    """One GIF to generate."""

    image: Path
    prompt: str
    motion_px: tuple[float, ...] | None = None
    """None uses the motion of the command."""
    name: str
    """Stem of the output files: row number and image, such as `0001-cat`."""


def read_requests(path: Path) -> list[Request]:
    """Read rows of IMAGE, PROMPT and optional MOTION from a TSV or .jsonl file. Image paths are relative to the file.

    Raises GenerationError that names the first invalid row.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise GenerationError(f"there is no file {path}") from error
    except UnicodeDecodeError as error:
        raise GenerationError(f"{path} is not UTF-8; save it as UTF-8") from error
    parse = _parse_json if path.suffix.lower() in (".jsonl", ".ndjson") else _parse_tabs
    requests = []
    for row, line in enumerate(lines, start=1):
        if line.strip():
            image, prompt, motion_px = parse(line, f"{path}, row {row}")
            image_path = path.parent / image
            # A dot in the name of a folder of frames would read as a suffix.
            name = f"{row:04d}-{image_path.stem.replace('.', '_')}"
            requests.append(Request(image=image_path, prompt=prompt, motion_px=motion_px, name=name))
    if not requests:
        raise GenerationError(f"{path} has no rows; write IMAGE, a tab and a prompt on each line")
    return requests


def _parse_tabs(line: str, row: str) -> tuple[str, str, tuple[float, ...] | None]:
    fields = [field.strip() for field in line.split("\t")]
    if not 2 <= len(fields) <= 3 or not fields[0]:
        raise GenerationError(
            f"{row}: {len(fields)} fields; write IMAGE, a tab, a prompt and, optionally, a tab and motion such as 2,4,6"
        )
    return fields[0], fields[1], parse_motion(fields[2]) if len(fields) == 3 and fields[2] else None


def _parse_json(line: str, row: str) -> tuple[str, str, tuple[float, ...] | None]:
    try:
        values: Any = load_json(line)
        image, prompt, motion = values["image"], values["prompt"], values.get("motion")
        if not (isinstance(image, str) and image and isinstance(prompt, str)):
            raise TypeError(image)
        return image, prompt, None if motion is None else tuple(float(value) for value in motion)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GenerationError(
            f'{row}: write {{"image": "cat.png", "prompt": "a cat dancing", "motion": [2, 4]}}'
        ) from error
