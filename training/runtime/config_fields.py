"""Types and checks that configurations share, and the TOML file that values may come from."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from training.errors import TrainingError

EVALUATION_MOTIONS_PX = (2.0, 4.0, 6.0, 8.0, 11.0, 14.0, 17.0, 19.0)
"""Motions of the paper's ablations, in pixels at 256 x 256 (Pix2Gif, section 4.3); also the default elsewhere."""

Precision = Literal["no", "bf16", "fp16"]
"""Precision of matrix products; `no` is float32."""

RandomSize = Literal["tiny", "sd15"]


def check_field(config: object, name: str, holds: bool, allowed: str) -> None:
    """Raise TrainingError, with the field's name and value and what is allowed, unless `holds`."""
    if not holds:
        raise TrainingError(f"{name} is {getattr(config, name)!r}; it must be {allowed}")


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a TOML file's fields; raises TrainingError where it is none, or cannot be read."""
    try:
        with path.open("rb") as file:
            return {key.replace("-", "_"): value for key, value in tomllib.load(file).items()}
    except OSError as error:
        raise TrainingError(f"cannot read the config file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} is not TOML: {error}") from error
