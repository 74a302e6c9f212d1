"""Draw GIFs of known motion and a TGIF-style listing of them, for the demo, the tests and the benchmarks.

    python examples/draw_gifs.py DIR [--gifs 12] [--seed 0]

Each GIF is a window that moves over an infinite texture, a sum of sine waves in random directions. So its motion is
known to subpixel precision: (dx, dy) pixels per frame at the GIF's own size.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_NUM_WAVES = 12
_WAVELENGTHS_PX = (9.0, 70.0)
_DIRECTIONS = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1), "down to the right": (0.8, 0.6)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawnGif:
    """Parameters of one GIF."""

    name: str
    caption: str
    width: int = 160
    height: int = 120
    num_frames: int = 14
    dx: float = 1.0
    """Motion of the texture to the right, in pixels per frame."""
    dy: float = 0.0
    """Motion downwards, in pixels per frame."""
    duration_ms: int = 100
    seed: int = 0


def texture(x: NDArray[np.float64], y: NDArray[np.float64], seed: int) -> NDArray[np.uint8]:
    """Return the colours of the texture at positions in pixels, float [...]: RGB, uint8 [..., 3]."""
    rng = np.random.default_rng(seed)
    wavelength = np.geomspace(*_WAVELENGTHS_PX, _NUM_WAVES)
    angle = rng.uniform(0, 2 * np.pi, _NUM_WAVES)
    phase = rng.uniform(0, 2 * np.pi, _NUM_WAVES)
    colour = rng.uniform(0.3, 1.0, (_NUM_WAVES, 3))
    per_px = (2 * np.pi / wavelength)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    waves = [np.sin((x * fx + y * fy + p).astype(np.float32)) for (fx, fy), p in zip(per_px, phase, strict=True)]
    total = np.stack(waves, axis=-1) @ colour.astype(np.float32)
    return np.clip(128 + 36 * total / np.sqrt(_NUM_WAVES / 4), 0, 255).astype(np.uint8)


def draw_frames(gif: DrawnGif) -> list[Image.Image]:
    """Draw the frames of a GIF, mode RGB."""
    y, x = np.mgrid[0 : gif.height, 0 : gif.width].astype(np.float64)
    return [Image.fromarray(texture(x - gif.dx * t, y - gif.dy * t, gif.seed)) for t in range(gif.num_frames)]


def save_gif(path: Path, frames: list[Image.Image], duration_ms: int = 100) -> None:
    """Write frames as a looping GIF, each frame with its own palette."""
    pages = [frame.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE) for frame in frames]
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=duration_ms, loop=0, optimize=False)


def plan_gifs(num_gifs: int, seed: int) -> list[DrawnGif]:
    """Draw the sizes, lengths, speeds and directions of GIFs."""
    rng = np.random.default_rng(seed)
    gifs = []
    for number in range(num_gifs):
        direction = list(_DIRECTIONS)[number % len(_DIRECTIONS)]
        speed = float(rng.uniform(0.3, 2.5))
        dx, dy = (speed * part for part in _DIRECTIONS[direction])
        width, height = (int(side) for side in rng.choice([(160, 120), (200, 200), (250, 140)]))
        gifs.append(
            DrawnGif(
                name=f"texture_{number:03d}.gif",
                caption=f"a texture glides {direction} at {speed:.1f} pixels a frame.",
                width=width,
                height=height,
                num_frames=int(rng.integers(14, 25)),
                dx=dx,
                dy=dy,
                seed=seed * 1000 + number,
            )
        )
    return gifs


def draw_folder(folder: Path, num_gifs: int, seed: int) -> Path:
    """Draw GIFs, a still one and an HTML page named .gif into a folder; return the path of the listing."""
    (folder / "gifs").mkdir(parents=True, exist_ok=True)
    rows = []
    for gif in plan_gifs(num_gifs, seed):
        save_gif(folder / "gifs" / gif.name, draw_frames(gif), gif.duration_ms)
        rows.append(f"gifs/{gif.name}\t{gif.caption}\n")
    rows.append(f"gifs/{gif.name}\ta pattern in motion.\n")  # A second caption of the last GIF.
    still = draw_frames(DrawnGif(name="", caption="", num_frames=1))
    save_gif(folder / "gifs" / "still.gif", still)
    rows.append("gifs/still.gif\ta texture that does not move.\n")
    (folder / "gifs" / "gone.gif").write_text("<html><body>404 Not Found</body></html>")
    rows.append("gifs/gone.gif\ta picture that its host has lost.\n")
    listing = folder / "listing.tsv"
    listing.write_text("".join(rows), encoding="utf-8")
    return listing


def main() -> None:
    """Draw the folder and print the path of the listing."""
    parser = argparse.ArgumentParser(description="Draw GIFs of known motion and a listing of them.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gifs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    listing = draw_folder(args.folder, args.gifs, args.seed)
    print(f"{args.gifs} GIFs drawn; the listing is {listing}")


if __name__ == "__main__":
    main()
