"""Draw scenes with cuts, fades, flashes and pans, and edited copies of GIFs: crops, captions, re-encodings.

Used to measure the detection of scene cuts and near-duplicates. Frames are RGB images of 160 x 120 pixels. A seed
determines a scene.
"""

import dataclasses
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIZE = (160, 120)
_STAGE = (320, 240)
"""The size of a scene: larger than a frame, so that a camera can pan over it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawnClip:
    """Frames and their true scenes."""

    kind: str
    frames: list[Image.Image]
    scenes: list[int]
    """The scene of each frame."""


def draw_stage(seed: int) -> Image.Image:
    """Draw a scene: a colour gradient with ellipses and rectangles of random sizes and colours in front of it."""
    rng = np.random.default_rng(seed)
    top, bottom = rng.integers(0, 256, (2, 3))
    share = np.linspace(0, 1, _STAGE[1])[:, None, None]
    sky = np.broadcast_to(top * (1 - share) + bottom * share, (_STAGE[1], _STAGE[0], 3))
    stage = Image.fromarray(np.clip(sky + rng.normal(0, 3, sky.shape), 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(stage)
    for _ in range(int(rng.integers(14, 26))):
        x, y = rng.integers(0, _STAGE[0]), rng.integers(0, _STAGE[1])
        width, height = rng.integers(16, 90, 2)
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x - width // 2, y - height // 2, x + width // 2, y + height // 2), tuple(rng.integers(0, 256, 3)))
    return stage.filter(ImageFilter.GaussianBlur(0.7))


def film(seed: int, num_frames: int, speed: float = 1.0) -> list[Image.Image]:
    """Draw a scene seen by a camera that pans by `speed` pixels per frame, while a ball crosses the frame."""
    rng = np.random.default_rng(seed + 1_000_000)
    stage, angle = draw_stage(seed), rng.uniform(0, 2 * np.pi)
    colour = tuple(rng.integers(0, 256, 3))
    frames = []
    for t in range(num_frames):
        away = speed * (t - num_frames / 2)
        left, top = round(80 + away * np.cos(angle)), round(60 + away * np.sin(angle))
        frame = stage.crop((left, top, left + SIZE[0], top + SIZE[1]))
        x = 10 + 8 * t
        ImageDraw.Draw(frame).ellipse((x, 50, x + 24, 74), colour)
        frames.append(frame)
    return frames


def draw_edit(kind: str, seed: int) -> DrawnClip:
    """Draw a clip of 16 frames; `kind` is a key of EDITS."""
    return DrawnClip(kind=kind, **EDITS[kind](seed))


def _plain(speed: float) -> Callable[[int], dict[str, list]]:
    return lambda seed: {"frames": film(seed, 16, speed), "scenes": [0] * 16}


def _cut(seed: int) -> dict[str, list]:
    at = 4 + seed % 9
    return {"frames": film(seed, at) + film(seed + 500, 16 - at), "scenes": [0] * at + [1] * (16 - at)}


def _there_and_back(seed: int) -> dict[str, list]:
    here, there = film(seed, 16, 0.5), film(seed + 500, 5)
    return {"frames": here[:6] + there + here[11:], "scenes": [0] * 6 + [1] * 5 + [0] * 5}


def _fade(seed: int) -> dict[str, list]:
    """Fade in from black over eight frames, or fade out to black."""
    light = np.clip(np.linspace(0, 2, 16), 0, 1)[:: 1 if seed % 2 else -1]
    frames = [_scale(frame, share) for frame, share in zip(film(seed, 16), light, strict=True)]
    return {"frames": frames, "scenes": [0] * 16}


def _flash(seed: int) -> dict[str, list]:
    frames = film(seed, 16)
    frames[8] = Image.new("RGB", SIZE, "white")
    frames[9] = Image.blend(frames[9], frames[8], 0.6)
    return {"frames": frames, "scenes": [0] * 16}


def _scale(frame: Image.Image, share: float) -> Image.Image:
    return Image.fromarray((np.asarray(frame) * share).astype(np.uint8))


EDITS: dict[str, Callable[[int], dict[str, list]]] = {
    "still camera": _plain(0.0),
    "pan": _plain(4.0),
    "whip pan": _plain(10.0),
    "fade": _fade,
    "flash": _flash,
    "cut": _cut,
    "there and back": _there_and_back,
}
"""{kind: function from a seed to a clip's frames and scenes}."""


def _crop(share: float) -> Callable[[list[Image.Image]], list[Image.Image]]:
    rim = [round(side * share) for side in SIZE]
    return lambda frames: [frame.crop((*rim, SIZE[0] - rim[0], SIZE[1] - rim[1])) for frame in frames]


def _crop_corner(frames: list[Image.Image]) -> list[Image.Image]:
    return [frame.crop((0, 0, round(SIZE[0] * 0.95), round(SIZE[1] * 0.95))) for frame in frames]


def _caption(frames: list[Image.Image]) -> list[Image.Image]:
    captioned = [frame.copy() for frame in frames]
    for frame in captioned:
        font = ImageFont.load_default(16)
        position = (20, 98)
        ImageDraw.Draw(frame).text(position, "WHEN IT WORKS", "white", font, stroke_width=1, stroke_fill="black")
    return captioned


def _reencode(frames: list[Image.Image]) -> list[Image.Image]:
    def reencode(frame: Image.Image) -> Image.Image:
        with io.BytesIO() as file:
            frame.save(file, "JPEG", quality=50)
            return Image.open(file, formats=["JPEG"]).convert("RGB")

    return [reencode(frame) for frame in frames]


LEAKS: dict[str, Callable[[list[Image.Image]], list[Image.Image]]] = {
    "re-encoded": _reencode,
    "resized": lambda frames: [frame.resize((96, 72)) for frame in frames],
    "cropped by 5 %": _crop(0.025),
    "cropped by 5 % on each side": _crop(0.05),
    "cropped by 5 % at a corner": _crop_corner,
    "captioned": _caption,
    "shifted by a frame": lambda frames: frames[1:],
}
"""{edit: function from frames to the frames of an edited copy}."""


def to_arrays(frames: list[Image.Image], side: int = 256) -> list[NDArray[np.uint8]]:
    """Resize frames as a curation run does: RGB, uint8 [side, side, 3]."""
    return [np.asarray(frame.resize((side, side), Image.Resampling.LANCZOS)) for frame in frames]
