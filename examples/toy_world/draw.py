"""Draw the toy world: GIFs of a textured sprite that moves over a textured ground, a listing, and two split lists.

A clip is determined by the seed and its number. The kinds of sprites (shape, pattern and colour) of the val split are
not in the train split. Every clip has its own ground and trajectory.
"""

import dataclasses
import functools
import itertools
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DIRECTIONS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
"""{word in the caption: (x, y)}; y points downwards."""
SHAPES = ("disc", "square", "diamond")
PATTERNS = ("checkered", "striped", "spotted")
COLOURS = {
    "red": ((214, 40, 40), (70, 8, 12)),
    "blue": ((66, 92, 230), (8, 12, 76)),
    "yellow": ((250, 216, 50), (110, 66, 0)),
    "white": ((248, 248, 248), (40, 40, 44)),
    "purple": ((190, 80, 214), (52, 8, 66)),
}
"""The two colours of a sprite's pattern."""
GROUNDS = {
    "green grass": (104, 158, 84),
    "brown earth": (150, 116, 88),
    "grey stone": (146, 148, 150),
    "blue water": (98, 154, 182),
}
GAP_TO_EDGE_PX = 1.5
"""Least distance between a sprite and the edge of the image at the end of its trajectory."""
FRAME_MS = 100
_GROUND_WAVES = 6
_GROUND_CONTRAST = 4.0
"""In grey levels of 255. Low, so that corners are found on the sprite."""
_EDGE_PX = 1.0
"""Width over which an outline fades. A small autoencoder does not reproduce sharp edges."""
_HELD_OUT_EVERY = 5
_SPEEDS = {"train": (0.6, 1.0), "val": (0.2, 0.75)}
"""Range of the speed, as a share of the fastest one that stays in the image."""


class Kind(NamedTuple):
    """A kind of sprite."""

    shape: str
    pattern: str
    colour: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """Dimensions of the toy world, in pixels."""

    side: int = 64
    """Side of the square images."""
    radius: float = 11.0
    """Half the width of a sprite."""
    travel_px: float = 13.0
    """Motion of the fastest clips from the first frame to the last."""
    num_frames: int = 7
    """Frames of a clip of the train split."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """Content of one GIF."""

    name: str
    kind: Kind
    ground: str
    direction: str
    speed: float
    """In pixels per frame."""
    num_frames: int
    start: tuple[float, float]
    """Centre of the sprite in the first frame, (x, y)."""
    seed: int
    """Seed of the ground's waves and the pattern's phase."""

    @property
    def caption(self) -> str:
        """Return the caption: sprite, direction and ground."""
        shown = f"a {self.kind.colour} {self.kind.pattern} {self.kind.shape}"
        return f"{shown} moves {self.direction} over {self.ground}"

    def centre(self, frame: int) -> tuple[float, float]:
        """Return the centre of the sprite in a frame, (x, y)."""
        x, y = DIRECTIONS[self.direction]
        return self.start[0] + x * self.speed * frame, self.start[1] + y * self.speed * frame


def list_kinds() -> tuple[list[Kind], list[Kind]]:
    """List the kinds of sprites of train and of val. No kind is in both, but every word of a kind is."""
    kinds = [Kind(*words) for words in itertools.product(SHAPES, PATTERNS, COLOURS)]
    # Hold out a diagonal, so that no shape, pattern or colour is missing in train.
    held_out = [
        kind
        for kind in kinds
        if (SHAPES.index(kind.shape) + 2 * PATTERNS.index(kind.pattern) + list(COLOURS).index(kind.colour))
        % _HELD_OUT_EVERY
        == 0
    ]
    return [kind for kind in kinds if kind not in held_out], held_out


def plan_clips(world: World, split: str, num_clips: int, seed: int) -> list[Clip]:
    """Draw the content of the clips of a split. Directions are equally frequent, to within one clip.

    A clip of val has two frames, so a source of val is always a first frame. It does not reveal the direction, because
    from every starting point a sprite can move in all four directions.
    """
    kinds = list_kinds()[split == "val"]
    margin = world.radius + world.travel_px + GAP_TO_EDGE_PX
    clips = []
    for number in range(num_clips):
        rng = np.random.default_rng([seed, split == "val", number])
        num_frames = world.num_frames if split == "train" else 2
        fastest = world.travel_px / (num_frames - 1)
        clips.append(
            Clip(
                name=f"{split}_{number:05d}.gif",
                kind=kinds[int(rng.integers(len(kinds)))],
                ground=list(GROUNDS)[int(rng.integers(len(GROUNDS)))],
                direction=list(DIRECTIONS)[number % len(DIRECTIONS)],
                speed=float(rng.uniform(*_SPEEDS[split]) * fastest),
                num_frames=num_frames,
                start=(
                    float(rng.uniform(margin, world.side - margin)),
                    float(rng.uniform(margin, world.side - margin)),
                ),
                seed=int(rng.integers(2**31)),
            )
        )
    return clips


def draw_frames(world: World, clip: Clip) -> list[Image.Image]:
    """Draw the frames of a clip, mode RGB."""
    rng = np.random.default_rng(clip.seed)
    y, x = np.mgrid[0 : world.side, 0 : world.side].astype(np.float64)
    ground = np.array(GROUNDS[clip.ground]) + _draw_waves(x, y, world.side, rng)[..., None]
    phase = rng.uniform(0, 2 * np.pi, 2)
    frames = []
    for frame in range(clip.num_frames):
        centre = clip.centre(frame)
        colours, cover = _draw_sprite(x - centre[0], y - centre[1], clip.kind, world.radius, phase)
        pixels = ground * (1 - cover[..., None]) + colours * cover[..., None]
        frames.append(Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)))
    return frames


def draw_world(folder: Path, world: World, num_train: int, num_val: int, seed: int) -> Path:
    """Draw GIFs, listing.tsv and splits/{train,val}.txt into a folder; return the path of the listing."""
    (folder / "gifs").mkdir(parents=True, exist_ok=True)
    (folder / "splits").mkdir(exist_ok=True)
    rows = []
    for split, num_clips in (("train", num_train), ("val", num_val)):
        clips = plan_clips(world, split, num_clips, seed)
        with ProcessPoolExecutor() as pool:
            list(pool.map(functools.partial(_draw_gif, folder / "gifs", world), clips, chunksize=32))
        rows += [f"gifs/{clip.name}\t{clip.caption}\n" for clip in clips]
        names = "".join(f"gifs/{clip.name}\n" for clip in clips)
        (folder / "splits" / f"{split}.txt").write_text(names, encoding="utf-8")
    listing = folder / "listing.tsv"
    listing.write_text("".join(rows), encoding="utf-8")
    return listing


def _draw_gif(folder: Path, world: World, clip: Clip) -> None:
    save_gif(folder / clip.name, draw_frames(world, clip))


def save_gif(path: Path, frames: list[Image.Image]) -> None:
    """Write frames as a looping GIF, each frame with its own palette."""
    pages = [frame.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE) for frame in frames]
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=FRAME_MS, loop=0, optimize=False)


def _draw_waves(
    x: NDArray[np.float64], y: NDArray[np.float64], side: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw the ground's brightness, a few smooth waves around 0: float [H, W]."""
    total = np.zeros_like(x)
    for wavelength in np.geomspace(side / 5, side, _GROUND_WAVES):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        total += np.sin(2 * np.pi / wavelength * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    return _GROUND_CONTRAST * total


def _draw_sprite(
    x: NDArray[np.float64], y: NDArray[np.float64], kind: Kind, radius: float, phase: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw a sprite around the origin of x and y: its colours, float [H, W, 3], and its cover, [H, W] in 0 to 1."""
    distance = {
        "disc": np.hypot(x, y),
        "square": np.maximum(abs(x), abs(y)) / 0.9,
        "diamond": (abs(x) + abs(y)) / 1.2,
    }[kind.shape]
    cover = 1 / (1 + np.exp((distance - radius) / (_EDGE_PX / 2)))
    # One wave per sprite: tracking would confuse the periods of a repeating pattern.
    per_px = 2 * np.pi / (2.0 * radius)
    wave = {
        "checkered": np.sin(x * per_px + phase[0]) * np.sin(y * per_px + phase[1]),
        "striped": np.sin((x + 0.5 * y) * per_px + phase[0]) * 0.8,
        "spotted": (np.sin(x * per_px + phase[0]) + np.sin(y * per_px + phase[1])) / 2 - 0.35,
    }[kind.pattern]
    light = (1 / (1 + np.exp(-wave * 5)))[..., None]
    first, second = (np.array(colour, dtype=np.float64) for colour in COLOURS[kind.colour])
    return first * light + second * (1 - light), cover
