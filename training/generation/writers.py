"""Frames -> a file of the form that its name tells: GIF, MP4, WebP, or a folder of PNGs."""

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import GifImagePlugin, Image

from shards.atomic import write_atomically, write_folder_atomically
from training.generation.config import Dither
from training.generation.errors import GenerationError

SUFFIXES = (".gif", ".mp4", ".webp", "")
_MARK = ".pix2gif-frames"
_PALETTE_PIXELS = 1_000_000
_BAYER = np.array([[0, 2], [3, 1]])
_LUMA = np.array([0.299, 0.587, 0.114])


def check_output(path: Path) -> None:
    """Raise GenerationError where the form is not known, or where writing would hit something of another kind."""
    if path.suffix.lower() not in SUFFIXES:
        raise GenerationError(
            f"the form of {path} is not known: end it with .gif, .mp4 or .webp, or name a folder for PNG frames"
        )
    if path.suffix and path.is_dir():
        raise GenerationError(f"{path} is a folder: name a file")
    if not path.suffix and path.exists() and not (path / _MARK).is_file():
        raise GenerationError(f"{path} exists and holds no frames of pix2gif: name another folder for PNG frames")
    if path.suffix.lower() == ".mp4":
        _import_av()
    check_folder(path)


def check_folder(path: Path) -> None:
    """Raise GenerationError where `path` cannot come to lie, before the work that it is to hold is begun."""
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    if not parent.is_dir():
        raise GenerationError(f"{path} cannot be written, {parent} is a file: name another place")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise GenerationError(f"{path} cannot be written, {parent} is closed to you: name another place")


def write_frames(frames: Sequence[Image.Image], path: Path, fps: float, dither: Dither) -> None:
    """Write RGB frames of one size in the order given; whole or not at all. Same frames, same bytes."""
    suffix = path.suffix.lower()
    if suffix == ".gif":
        write_gif(frames, path, spread_durations(len(frames), fps), dither)
    elif suffix == ".webp":
        with write_atomically(path) as temporary:
            frames[0].save(
                temporary, format="WEBP", save_all=True, append_images=frames[1:], duration=round(1000 / fps),
                loop=0, quality=90, method=4,
            )  # fmt: skip
    elif suffix == ".mp4":
        _write_mp4(frames, path, fps)
    else:
        _write_folder(frames, path)


def spread_durations(num_frames: int, fps: float) -> list[int]:
    """Give each frame a duration in ms, a multiple of a GIF's 10 ms; the sum does not drift."""
    ends = [round(100 * (index + 1) / fps) * 10 for index in range(num_frames)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _import_av() -> None:
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise GenerationError("MP4 needs the package av: pip install av, or choose .gif or .webp") from error


def write_gif(
    frames: Sequence[Image.Image], path: Path, durations_ms: Sequence[int], dither: Dither = "floyd-steinberg"
) -> None:
    """Write RGB frames of one size as a GIF that loops for ever; whole or not at all.

    Every frame covers the picture and holds no transparent pixel, so nothing of an earlier one shines through. Frames
    that equal the one before stay frames of their own: Pillow's own writer would join them. Durations are cut to
    hundredths of a second, as the format has them.
    """
    indexed = index_frames(frames, dither)
    header, _ = GifImagePlugin.getheader(indexed[0].copy(), info={"loop": 0, "duration": 0})
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        file.writelines(header)
        for frame, duration_ms in zip(indexed, durations_ms, strict=True):
            # Disposal 1 leaves the frame until the next covers it: no viewer flickers.
            file.writelines(GifImagePlugin.getdata(frame, duration=duration_ms, disposal=1))
        file.write(b";")


def index_frames(frames: Sequence[Image.Image], dither: Dither) -> list[Image.Image]:
    """Reduce RGB frames to the 256 colours that serve all of them best; a pixel that stays keeps its colour."""
    palette = _find_palette(frames)
    if dither == "ordered":
        return [_mix_colours(frame, palette) for frame in frames]
    method = Image.Dither.FLOYDSTEINBERG if dither == "floyd-steinberg" else Image.Dither.NONE
    return [frame.quantize(palette=palette, dither=method) for frame in frames]


def _find_palette(frames: Sequence[Image.Image]) -> Image.Image:
    """Find 256 colours by median cut and k-means over the pixels of all frames, or over every n-th row and column."""
    pixels = np.stack([np.asarray(frame) for frame in frames])  # [F, H, W, 3]
    every = int(np.ceil(np.sqrt(pixels[..., 0].size / _PALETTE_PIXELS)))
    pixels = pixels[:, ::every, ::every]
    stacked = Image.fromarray(np.ascontiguousarray(pixels.reshape(-1, *pixels.shape[2:])))
    return stacked.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=1)


def _mix_colours(frame: Image.Image, palette: Image.Image) -> Image.Image:
    """Dither by pattern (Knoll, 1999): each colour by a mix of four of the palette, which a pixel's place chooses from.

    So it stands still from frame to frame, and is as fine as the palette is just there.
    """
    wanted = np.asarray(frame, dtype=np.float64)  # [H, W, 3]
    colours = np.array(palette.getpalette(), dtype=np.float64).reshape(-1, 3)
    rest = np.zeros_like(wanted)
    mixed = np.empty((_BAYER.size, frame.height, frame.width), dtype=np.uint8)
    for part in mixed:
        aim = Image.fromarray(np.clip(wanted + rest, 0, 255).round().astype(np.uint8))
        part[:] = np.asarray(aim.quantize(palette=palette, dither=Image.Dither.NONE))
        rest += wanted - colours[part]
    mixed = np.take_along_axis(mixed, np.argsort((colours @ _LUMA)[mixed], axis=0, kind="stable"), axis=0)
    places = np.tile(_BAYER, (-(-frame.height // 2), -(-frame.width // 2)))[: frame.height, : frame.width]
    indexed = Image.fromarray(np.take_along_axis(mixed, places[None], axis=0)[0])
    indexed.putpalette(colours.astype(np.uint8).tobytes())
    return indexed


def _write_mp4(frames: Sequence[Image.Image], path: Path, fps: float) -> None:
    """Write H.264 as browsers play it: 4:2:0, with the index at the front."""
    import av

    with (
        write_atomically(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        # One thread: the division of labour among several would change bytes.
        options = {"crf": "16", "threads": "1"}
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options=options)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())


def _write_folder(frames: Sequence[Image.Image], path: Path) -> None:
    """Write the frames as 0001.png, 0002.png and so on into a folder."""
    with write_folder_atomically(path) as folder:
        for number, frame in enumerate(frames, start=1):
            frame.save(folder / f"{number:04d}.png")
        (folder / _MARK).touch()
