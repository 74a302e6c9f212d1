"""Source images: read a file as upright RGB and fit it to the size of the frames."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from curation.decode import read_frames
from curation.errors import CurationError
from shards.pictures import DECODE_ERRORS, IMAGE_FORMATS, composite_on_white, has_transparency
from training.generation.config import SIDE_MULTIPLE, Fit
from training.generation.errors import GenerationError

MAX_PIXELS = 100_000_000
MIN_SIDE_PX = 32
MAX_ASPECT = 8
_ORIENTATION = 0x0112
"""EXIF tag."""


@dataclass(frozen=True, kw_only=True)
class SourceImage:
    """A source image in RGB, and notes for the user on how it was converted."""

    image: Image.Image
    notes: tuple[str, ...] = ()


def read_source(path: Path) -> SourceImage:
    """Read an image file as upright RGB. Raises GenerationError for a missing, damaged or unusable file."""
    try:
        with warnings.catch_warnings():
            # Pillow only warns at its own size limit; _check_size raises at ours.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=IMAGE_FORMATS) as image:
                _check_size(image, path)
                return _read_gif(path) if image.format == "GIF" else _to_rgb(image, str(path))
    except CurationError as error:
        raise GenerationError(str(error)) from error
    except FileNotFoundError as error:
        raise GenerationError(f"there is no image {path}") from error
    except IsADirectoryError as error:
        raise GenerationError(f"{path} is a folder; name an image") from error
    except UnidentifiedImageError as error:
        raise GenerationError(f"{path} is not an image; use a PNG, JPEG, WebP, GIF, BMP, TIFF or PPM") from error
    except Image.DecompressionBombError as error:
        raise GenerationError(f"{path} is too large; resize it to {MAX_PIXELS // 1_000_000} megapixels") from error
    except PermissionError:
        raise
    except DECODE_ERRORS as error:
        raise GenerationError(f"{path} is damaged and cannot be decoded; save it again") from error


def _read_gif(path: Path) -> SourceImage:
    """Read the first frame of a GIF as a browser shows it."""
    frames = read_frames(path, 0, max_frames=2)
    notes = (f"{path} has several frames; only the first is used",) if len(frames.rgb) > 1 else ()
    return SourceImage(image=Image.fromarray(frames.rgb[0]), notes=notes)


def _to_rgb(image: Image.Image, name: str) -> SourceImage:
    """Convert an image of any mode to upright RGB: its first frame, on white where transparent, with notes."""
    notes = []
    num_frames = getattr(image, "n_frames", 1)
    if num_frames > 1:
        notes.append(f"{name} has {num_frames} frames; only the first is used")
        image.seek(0)
    has_16_bits = ";16" in str(getattr(image, "tile", ""))
    image.load()
    if image.getexif().get(_ORIENTATION, 1) != 1:
        notes.append(f"{name} is rotated according to its EXIF orientation")
        image = ImageOps.exif_transpose(image)
    if has_16_bits or image.mode.startswith("I"):
        notes.append(f"{name} has 16 bits per channel and is reduced to 8")
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        image = _to_eight_bits(image, name)
    if has_transparency(image):
        if image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            notes.append(f"{name} is composited on white where it is transparent")
    elif image.mode not in ("RGB", "L", "P", "1"):
        notes.append(f"{name} is converted from {image.mode} to RGB")
    return SourceImage(image=composite_on_white(image), notes=tuple(notes))


def plan_size(width: int, height: int, size: tuple[int, ...], multiple: int = SIDE_MULTIPLE) -> tuple[int, int]:
    """Return width and height of the frames, multiples of `multiple`.

    Two numbers in `size` are width and height. One number is the shorter side; the longer one keeps the image's
    proportions, to the nearest multiple.
    """
    if len(size) == 2:
        return size[0], size[1]
    longer = round(max(width, height) * size[0] / min(width, height) / multiple) * multiple
    return (longer, size[0]) if width >= height else (size[0], longer)


def fit_image(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    """Resize an image (Lanczos): `crop` scales it to cover `size` and cuts the centre out, others stretch it."""
    if fit == "crop":
        return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    return image.resize(size, Image.Resampling.LANCZOS)


def _check_size(image: Image.Image, path: Path) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise GenerationError(
            f"{path} is too large, {width} x {height}; resize it to {MAX_PIXELS // 1_000_000} megapixels or fewer"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise GenerationError(f"{path} is too small, {width} x {height}; each side needs {MIN_SIDE_PX} pixels or more")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise GenerationError(
            f"{path} is too narrow, {width} x {height}; crop it until no side is more than {MAX_ASPECT} times the other"
        )


def _to_eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Scale 16-bit grey, 0 to 65535, to 0 to 255. Raises GenerationError for floats, which have no standard range."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise GenerationError(f"{name} does not have 8 or 16 bits per channel; save it as a PNG or JPEG")
    return Image.fromarray((values.astype(np.float64) / 257).round().astype(np.uint8))
