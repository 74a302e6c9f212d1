"""Encode drawn frames as any animation that pix2gif reads: GIF, WebP, APNG, AVIF, MP4, WebM, MOV.

    python examples/draw_formats.py DIR

draws the same moving texture in every format, and a listing of the files.
"""

import argparse
import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from examples.draw_gifs import DrawnGif, draw_frames

PICTURES = {"gif": "GIF", "webp": "WEBP", "apng": "PNG", "avif": "AVIF"}
VIDEOS = {"mp4": ("mp4", "libx264"), "webm": ("webm", "libvpx-vp9"), "mov": ("mov", "libx264")}
FORMATS = (*PICTURES, *VIDEOS)
_LOSSLESS: dict[str, dict[str, Any]] = {"gif": {"optimize": False}, "webp": {"lossless": True}}


def draw_palette_frames(drawn: DrawnGif) -> list[Image.Image]:
    """Draw frames of 256 colours each, mode P, which a GIF holds without loss."""
    return [frame.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE) for frame in draw_frames(drawn)]


def encode(
    frames: Sequence[Image.Image],
    file_format: str,
    *,
    durations_ms: int | list[int] = 100,
    codec: str | None = None,
    pixels: str = "yuv420p",
    **options: str,
) -> bytes:
    """Encode frames: without loss as GIF, WebP or APNG, with little as AVIF, MP4, WebM or MOV (crf 18).

    codec, pixels, options: of the video encoder.
    """
    if file_format in PICTURES:
        return _encode_picture(frames, file_format, durations_ms)
    container, default_codec = VIDEOS[file_format]
    durations = [durations_ms] * len(frames) if isinstance(durations_ms, int) else durations_ms
    return _encode_video(frames, container, codec or default_codec, pixels, durations, {"crf": "18", **options})


def _encode_picture(frames: Sequence[Image.Image], file_format: str, durations_ms: int | list[int]) -> bytes:
    if file_format != "gif":
        frames = [frame if frame.mode == "RGBA" else frame.convert("RGB") for frame in frames]
    file = io.BytesIO()
    frames[0].save(
        file,
        PICTURES[file_format],
        save_all=True,
        append_images=frames[1:],
        duration=durations_ms,
        loop=0,
        **_LOSSLESS.get(file_format, {}),
    )
    return file.getvalue()


def _encode_video(
    frames: Sequence[Image.Image],
    container: str,
    codec: str,
    pixels: str,
    durations_ms: list[int],
    options: dict[str, str],
) -> bytes:
    av.logging.set_level(av.logging.PANIC)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=10, options=options)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        start_ms = 0
        for frame, duration_ms in zip(frames, durations_ms, strict=True):
            mode, layout = ("RGBA", "rgba") if frame.mode == "RGBA" else ("RGB", "rgb24")
            picture = av.VideoFrame.from_ndarray(np.asarray(frame.convert(mode)), format=layout)
            picture.pts, picture.time_base, picture.duration = start_ms, Fraction(1, 1000), duration_ms
            start_ms += duration_ms
            output.mux(stream.encode(picture))
        output.mux(stream.encode())
    return file.getvalue()


def draw_folder(folder: Path) -> Path:
    """Draw one moving texture in every format; return the path of the listing."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = draw_palette_frames(DrawnGif(name="", caption="", width=160, height=120, num_frames=14, dx=1.5, seed=7))
    for file_format in FORMATS:
        (folder / f"texture.{file_format}").write_bytes(encode(frames, file_format))
    listing = folder / "listing.tsv"
    listing.write_text("".join(f"texture.{name}\ta texture glides right, as {name}.\n" for name in FORMATS))
    return listing


def main() -> None:
    """Draw the folder and print the path of the listing."""
    parser = argparse.ArgumentParser(description="Draw one animation in every format, and a listing of them.")
    parser.add_argument("folder", type=Path)
    print(f"The listing is {draw_folder(parser.parse_args().folder)}")


if __name__ == "__main__":
    main()
