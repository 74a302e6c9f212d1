"""Output paths of one request, checked before the model runs."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from shards.storage.atomic import REPLACED_SUFFIX
from training.generation.errors import GenerationError

SUFFIXES = (".gif", ".mp4", ".webp", "")
"""Output formats by suffix; no suffix is a folder of PNG frames."""

FRAMES_MARKER = ".pix2gif-frames"
"""File that marks a folder of PNG frames as ours, which may be replaced."""

_FRAME_NAME = re.compile(rf"\d{{4,}}\.png|{re.escape(FRAMES_MARKER)}")


@dataclass(frozen=True, kw_only=True)
class OutputPaths:
    """Where the files of one request are written."""

    out: Path
    """A .gif, .mp4 or .webp file, or a folder for PNG frames."""

    sheet: Path | None = None
    """The contact sheet, a .png file; None draws none."""

    @property
    def record(self) -> Path:
        """The record: `cat.json` beside `cat.gif` or the folder `cat`."""
        return self.out.with_suffix(".json") if self.out.suffix else self.out.with_name(f"{self.out.name}.json")

    @property
    def files(self) -> list[Path]:
        """All paths whose content the record describes."""
        return [self.out] if self.sheet is None else [self.out, self.sheet]

    def check(self, image: Path) -> None:
        """Raise GenerationError if a path has the wrong type, is not writable, or would overwrite the source image."""
        _check_output(self.out)
        if self.sheet is not None:
            if self.sheet.suffix.lower() != ".png" or self.sheet.is_dir():
                raise GenerationError(f"the sheet {self.sheet} must be a file that ends in .png")
            _check_writable(self.sheet)
        source = image.resolve()
        for path in self.files:
            if path.resolve() in (source, *source.parents):
                raise GenerationError(f"{path} is or contains the source image and would overwrite it; name another")


def _check_output(path: Path) -> None:
    if path.suffix.lower() not in SUFFIXES:
        raise GenerationError(
            f"the format of {path} is not supported; end it in .gif, .mp4 or .webp, or name a folder for PNG frames"
        )
    if path.suffix and path.is_dir():
        raise GenerationError(f"{path} is a folder; name a file")
    if not path.suffix:
        _check_frames_folder(path)
        # An earlier folder has this name while it is replaced.
        _check_frames_folder(path.with_name(path.name + REPLACED_SUFFIX))
    if path.suffix.lower() == ".mp4":
        _check_av()
    _check_writable(path)


def _check_frames_folder(path: Path) -> None:
    """Raise GenerationError if a folder, which is replaced as a whole, holds other files than frames of ours."""
    if not path.exists() and not path.is_symlink():
        return
    if path.is_symlink() or not (path / FRAMES_MARKER).is_file():
        raise GenerationError(f"{path} exists and holds no frames of pix2gif; name another folder for PNG frames")
    if others := sorted(entry.name for entry in path.iterdir() if not _FRAME_NAME.fullmatch(entry.name)):
        raise GenerationError(f"{path} holds {others[0]} beside the frames of pix2gif; move it away, or name another")


def _check_writable(path: Path) -> None:
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    if not parent.is_dir():
        raise GenerationError(f"cannot write {path}: {parent} is a file; name another path")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise GenerationError(f"cannot write {path}: no permission to write to {parent}; name another path")


def _check_av() -> None:
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise GenerationError("MP4 needs the package av; pip install av, or use .gif or .webp") from error
