"""Write frames as a GIF, MP4 or WebP file, or as a folder of PNGs. The same frames give the same bytes."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import GifImagePlugin, Image

from shards.storage.atomic import write_atomically, write_folder_atomically
from training.generation.config import Dither
from training.generation.output_paths import FRAMES_MARKER

_PALETTE_PIXELS = 1_000_000
"""Pixels that a palette is computed from."""
_BAYER = np.array([[0, 2], [3, 1]])
_LUMA = np.array([0.299, 0.587, 0.114])


def write_frames(frames: Sequence[Image.Image], path: Path, fps: float, dither: Dither) -> None:
    """Write RGB frames of one size, atomically, in the format of the suffix of `path`."""
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
    """Return frame durations in ms, multiples of a GIF's 10 ms, whose sum does not drift from `num_frames / fps`."""
    ends = [round(100 * (index + 1) / fps) * 10 for index in range(num_frames)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def write_gif(
    frames: Sequence[Image.Image], path: Path, durations_ms: Sequence[int], dither: Dither = "floyd-steinberg"
) -> None:
    """Write RGB frames of one size, atomically, as a GIF that loops forever, with one palette for all frames.

    Every frame is complete and opaque, so no earlier frame shows through. A frame that equals the previous one stays a
    frame of its own, where Pillow's writer would merge them. Durations are truncated to the format's 10 ms.
    """
    indexed = index_frames(frames, dither)
    header, _ = GifImagePlugin.getheader(indexed[0].copy(), info={"loop": 0, "duration": 0})
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        file.writelines(header)
        for frame, duration_ms in zip(indexed, durations_ms, strict=True):
            # Disposal 1 keeps the frame until the next one covers it, so viewers do not flicker.
            file.writelines(GifImagePlugin.getdata(frame, duration=duration_ms, disposal=1))
        file.write(b";")


def index_frames(frames: Sequence[Image.Image], dither: Dither) -> list[Image.Image]:
    """Reduce RGB frames to one palette of 256 colours; return mode P.

    Without dithering, and with `ordered`, a pixel that does not change between frames keeps its colour.
    """
    palette = _compute_palette(frames)
    if dither == "ordered":
        return [_dither_by_pattern(frame, palette) for frame in frames]
    method = Image.Dither.FLOYDSTEINBERG if dither == "floyd-steinberg" else Image.Dither.NONE
    return [frame.quantize(palette=palette, dither=method) for frame in frames]


def _compute_palette(frames: Sequence[Image.Image]) -> Image.Image:
    """Compute 256 colours by median cut and k-means over the pixels of all frames, subsampled if there are many."""
    pixels = np.stack([np.asarray(frame) for frame in frames])  # [F, H, W, 3]
    every = int(np.ceil(np.sqrt(pixels[..., 0].size / _PALETTE_PIXELS)))
    pixels = pixels[:, ::every, ::every]
    stacked = Image.fromarray(np.ascontiguousarray(pixels.reshape(-1, *pixels.shape[2:])))
    return stacked.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=1)


def _dither_by_pattern(frame: Image.Image, palette: Image.Image) -> Image.Image:
    """Dither with Knoll's pattern (1999): find four palette colours whose mean is near, pick one by pixel position.

    The pattern does not move from frame to frame.
    """
    target = np.asarray(frame, dtype=np.float64)  # [H, W, 3]
    colours = np.array(palette.getpalette(), dtype=np.float64).reshape(-1, 3)
    error = np.zeros_like(target)
    candidates = np.empty((_BAYER.size, frame.height, frame.width), dtype=np.uint8)
    for candidate in candidates:
        goal = Image.fromarray(np.clip(target + error, 0, 255).round().astype(np.uint8))
        candidate[:] = np.asarray(goal.quantize(palette=palette, dither=Image.Dither.NONE))
        error += target - colours[candidate]
    by_luma = np.argsort((colours @ _LUMA)[candidates], axis=0, kind="stable")
    candidates = np.take_along_axis(candidates, by_luma, axis=0)
    positions = np.tile(_BAYER, (-(-frame.height // 2), -(-frame.width // 2)))[: frame.height, : frame.width]
    indexed = Image.fromarray(np.take_along_axis(candidates, positions[None], axis=0)[0])
    indexed.putpalette(colours.astype(np.uint8).tobytes())
    return indexed


def _write_mp4(frames: Sequence[Image.Image], path: Path, fps: float) -> None:
    """Write H.264 that browsers play: 4:2:0, with the index at the front."""
    import av

    with (
        write_atomically(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        # One thread: the bytes depend on how the encoder splits work among threads.
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
        (folder / FRAMES_MARKER).touch()
