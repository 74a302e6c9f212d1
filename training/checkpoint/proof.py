"""What proves a checkpoint whole: its description, the sizes and the hashes in it."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

CHECKPOINT_FILE = "checkpoint.json"
FORMAT = 1
REPLACED = ".replaced"
_NAME = re.compile(r"step-(\d+)(?:\.replaced)?")


def describe(path: Path) -> dict[str, Any] | str:
    """Return what checkpoint.json says, or why it cannot be relied on."""
    try:
        about = json.loads((path / CHECKPOINT_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return f"it has no {CHECKPOINT_FILE}"
    except OSError as error:
        return f"{CHECKPOINT_FILE} cannot be read ({error.strerror})"
    except ValueError:
        return f"{CHECKPOINT_FILE} is not as it was written"
    if not isinstance(about, dict) or about.pop("sha256", None) != digest_of(about):
        return f"{CHECKPOINT_FILE} is not as it was written"
    if about["format"] != FORMAT:
        return f"it has format {about['format']}, and this version reads {FORMAT}"
    return about


def find_damage(path: Path, *, every_byte: bool = True) -> str | None:
    """Return why a checkpoint is not whole, or None."""
    about = describe(path)
    if isinstance(about, str):
        return about
    for name, file in about["files"].items():
        try:
            if (num_bytes := (path / name).stat().st_size) != file["num_bytes"]:
                return f"{name} has {num_bytes:,} bytes and not {file['num_bytes']:,}"
            if every_byte and digest(path / name) != file["sha256"]:
                return f"{name} is not as it was written"
        except FileNotFoundError:
            return f"it has no {name}"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return None


def list_checkpoints(folder: Path) -> list[Path]:
    """List what has a checkpoint's name, whole or not, in no order."""
    return [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []


def order_of(path: Path) -> int | None:
    """Return which in the order of writing this checkpoint is, from 1; None where it does not tell."""
    about = describe(path)
    return None if isinstance(about, str) else int(about["order"])


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(about: dict[str, Any]) -> str:
    """Return the SHA-256 of a description, whatever the order of its names."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
