"""Source images: a file -> an RGB picture, and what had to be said of it -> the picture at the size of generation."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from shards.pictures import DECODE_ERRORS, composite_on_white, has_transparency
from training.generation.config import MULTIPLE, Fit
from training.generation.errors import GenerationError

MAX_PIXELS = 100_000_000
MIN_SIDE = 32
MAX_ASPECT = 8
_ORIENTATION = 0x0112


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source image, and notes for the user on what was done to make it plain RGB."""

    image: Image.Image
    notes: tuple[str, ...] = ()


def read_source(path: Path) -> Source:
    """Read an image file as RGB, upright. Raises GenerationError, one sentence, where there is none to be had."""
    try:
        with warnings.catch_warnings():
            # Of its own limit Pillow only warns; ours is told in a sentence.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                _refuse_size(image, path)
                return to_rgb(image, str(path))
    except FileNotFoundError as error:
        raise GenerationError(f"there is no image {path}") from error
    except IsADirectoryError as error:
        raise GenerationError(f"{path} is a folder; an image was expected") from error
    except UnidentifiedImageError as error:
        raise GenerationError(f"{path} is no image: give a PNG, JPEG, WebP or another that Pillow reads") from error
    except Image.DecompressionBombError as error:
        raise GenerationError(f"{path} is too large: resize it to {MAX_PIXELS // 1_000_000} megapixels") from error
    except PermissionError:
        raise
    except DECODE_ERRORS as error:
        raise GenerationError(f"{path} is damaged, its pixels cannot be read: save it anew") from error


def to_rgb(image: Image.Image, name: str) -> Source:
    """Turn an image of any mode into RGB, upright, its first picture, alpha over white; and say what was done."""
    notes = []
    num_pictures = getattr(image, "n_frames", 1)
    if num_pictures > 1:
        notes.append(f"{name} holds {num_pictures} pictures; the first is taken")
        image.seek(0)
    deep = ";16" in str(getattr(image, "tile", ""))
    image.load()
    if image.getexif().get(_ORIENTATION, 1) != 1:
        notes.append(f"{name} is turned upright, as its EXIF data bids")
        image = ImageOps.exif_transpose(image)
    if deep or image.mode.startswith("I"):
        notes.append(f"{name} has 16 bits a channel and is cut to 8")
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        image = _to_eight_bits(image, name)
    if has_transparency(image):
        if image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            notes.append(f"{name} is composited on white where it is transparent")
    elif image.mode not in ("RGB", "L", "P", "1"):
        notes.append(f"{name} is converted from {image.mode} to RGB")
    return Source(image=composite_on_white(image), notes=tuple(notes))


def plan_size(width: int, height: int, size: tuple[int, ...], multiple: int = MULTIPLE) -> tuple[int, int]:
    """Choose width and height of the generated pictures, multiples of `multiple`.

    Of two numbers in `size`, those; of one, the shorter side, and the longer in proportion, to the nearest multiple.
    """
    if len(size) == 2:
        return size[0], size[1]
    longer = round(max(width, height) * size[0] / min(width, height) / multiple) * multiple
    return (longer, size[0]) if width >= height else (size[0], longer)


def fit_image(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    """Bring an image to a size: scaled to cover it and cut at the middle, or stretched."""
    if fit == "crop":
        return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    return image.resize(size, Image.Resampling.LANCZOS)


def _refuse_size(image: Image.Image, path: Path) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise GenerationError(
            f"{path} is too large, {width} x {height}: resize it to {MAX_PIXELS // 1_000_000} megapixels or fewer"
        )
    if min(width, height) < MIN_SIDE:
        raise GenerationError(f"{path} is too small, {width} x {height}: each side needs {MIN_SIDE} pixels or more")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise GenerationError(
            f"{path} is {width} x {height}, a strip: crop it until no side is {MAX_ASPECT} times the other"
        )


def _to_eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Scale grey of 16 bits, 0 to 65535, to 0 to 255. Floats have no agreed range, so they are refused."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise GenerationError(f"{name} has values that are no 8 or 16 bits: save it as a common PNG or JPEG")
    return Image.fromarray((values.astype(np.float64) / 257).round().astype(np.uint8))
