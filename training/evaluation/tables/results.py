"""The JSON file of a result: values, configuration, weights, device and software versions."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from shards.storage.atomic import write_atomically
from training.runtime.versions import software_versions

_PACKAGES = ("pix2gif", "torch", "diffusers", "transformers", "dreamsim", "numpy", "scipy", "pillow",
             "opencv-python-headless")  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One measurement and everything that determines it."""

    measure: str
    """The command: fvd, clipsim, pic, motion, similarity, table1, table2 or figure7."""
    values: dict[str, Any]
    config: dict[str, Any]
    """All options, including the seed."""
    weights: dict[str, Any]
    """The location and the SHA-256 of the weights of each network."""
    device: str


def write_result(result: Result, path: Path) -> None:
    """Write a result as JSON. Undefined values are null."""
    fields = {**dataclasses.asdict(result), "software": software_versions(*_PACKAGES)}
    with write_atomically(path) as temporary:
        text = json.dumps(fields, indent=2, ensure_ascii=False, default=str, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
