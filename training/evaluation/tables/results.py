"""What every result says of itself: config, seed, software, weights; as JSON."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from shards.atomic import write_atomically
from training.runtime.versions import software_versions

_PACKAGES = (
    "pix2gif",
    "torch",
    "diffusers",
    "transformers",
    "dreamsim",
    "numpy",
    "scipy",
    "pillow",
    "opencv-python-headless",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One measurement, with all that it hangs on."""

    measure: str
    """The command: fvd, clipsim, pic, motion, similarity, table1, table2 or figure7."""
    values: dict[str, Any]
    config: dict[str, Any]
    """Everything that was chosen, the seed among it."""
    weights: dict[str, Any]
    """By network: where it was loaded from, and the sha256 of its weights."""
    device: str


def write_result(result: Result, path: Path) -> None:
    """Write a result as JSON, with the versions of what made it."""
    with write_atomically(path) as temporary:
        temporary.write_text(to_json(result), encoding="utf-8")


def to_json(result: Result) -> str:
    """Put a result into JSON, a figure that is not defined as null."""
    fields = {**dataclasses.asdict(result), "software": software_versions(*_PACKAGES)}
    return json.dumps(fields, indent=2, ensure_ascii=False, default=str, allow_nan=False) + "\n"
