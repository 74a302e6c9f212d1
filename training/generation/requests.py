"""A file of rows, TSV or JSONL -> what is to be made: image, prompt and, where a row has it, motion."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.generation.errors import GenerationError
from training.generation.motions import parse_motion


@dataclass(frozen=True, kw_only=True)
class Request:
    """One GIF that is asked for."""

    image: Path
    prompt: str
    motion_px: tuple[float, ...] | None = None
    """None takes the motion of the command."""
    name: str
    """The stem of its files: row and image, `0001-cat`."""


def read_requests(path: Path) -> list[Request]:
    """Read rows of IMAGE, PROMPT and perhaps MOTION, of a .jsonl or with tabs. Images lie relative to the file.

    Raises GenerationError, naming the row, before anything is made.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise GenerationError(f"there is no file {path}") from error
    except UnicodeDecodeError as error:
        raise GenerationError(f"{path} is no UTF-8 text; save it as UTF-8") from error
    parse = _parse_json if path.suffix.lower() in (".jsonl", ".ndjson") else _parse_tabs
    requests = []
    for row, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path}, row {row}"
            image, prompt, motion_px = parse(line, where)
            place = path.parent / image
            # Without dots: a folder of frames whose name has an ending would pass for a file.
            name = f"{row:04d}-{place.stem.replace('.', '_')}"
            requests.append(Request(image=place, prompt=prompt, motion_px=motion_px, name=name))
    if not requests:
        raise GenerationError(f"{path} has no rows: write IMAGE, a tab and a prompt on each")
    return requests


def _parse_tabs(line: str, where: str) -> tuple[str, str, tuple[float, ...] | None]:
    fields = [field.strip() for field in line.split("\t")]
    if not 2 <= len(fields) <= 3 or not fields[0]:
        raise GenerationError(
            f"{where}: {len(fields)} fields; write IMAGE, a tab, a prompt and perhaps a tab and 2,4,6"
        )
    return fields[0], fields[1], parse_motion(fields[2]) if len(fields) == 3 and fields[2] else None


def _parse_json(line: str, where: str) -> tuple[str, str, tuple[float, ...] | None]:
    try:
        row: Any = json.loads(line)
        image, prompt, motion = row["image"], row["prompt"], row.get("motion")
        if not (isinstance(image, str) and image and isinstance(prompt, str)):
            raise TypeError(image)
        return image, prompt, None if motion is None else tuple(float(value) for value in motion)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GenerationError(
            f'{where}: write {{"image": "cat.png", "prompt": "a cat dancing", "motion": [2, 4]}}'
        ) from error
