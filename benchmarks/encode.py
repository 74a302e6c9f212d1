"""Compare JPEG, PNG and WebP encoders on the frames of GIFs: time, size, and PSNR by chroma subsampling.

    python -m benchmarks.encode DIR [--frames 300] [--rounds 5] [--quality 95]

DIR holds GIFs, whose frames are decoded and resized as in the export. The encoders alternate frame by frame. A time is
the processor time of one call, the least of all rounds, averaged over the frames. It includes the conversion of RGB to
the encoder's order. simplejpeg is measured if it is installed. PSNR compares the decoded picture with the frame: over
RGB, over luma, over both chroma planes, and over RGB averaged in blocks of 2 x 2 pixels. "Worst 5 %" is the fifth
percentile of the frames, the others are means. "Decode" is OpenCV's time, as in the training loader. "Same" counts the
pictures that have Pillow's bytes. At the end, each encoder runs in four threads and in two processes, and the bytes are
compared. Prints Markdown.
"""

import argparse
import hashlib
import importlib.util
import io
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curation.config import CurationConfig
from curation.decode.decoder import FrameDecoder

Pixels = NDArray[np.uint8]
Encode = Callable[[Pixels], bytes]

_SAMPLING = {"4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444}
_COLUMNS = (
    *("format", "encoder", "us a frame", "to Pillow", "bytes a frame"),
    *("RGB, dB", "luma, dB", "chroma, dB", "RGB, worst 5 %", "2 x 2 means, worst 5 %", "decode, us", "same"),
)
_NUM_CHECKED = 100
"""Frames whose bytes are compared between threads and processes."""


def encode_with_pillow(rgb: Pixels, kind: str, **options: object) -> bytes:
    """Encode by Pillow."""
    picture = io.BytesIO()
    Image.fromarray(rgb).save(picture, kind, **options)  # type: ignore[arg-type]
    return picture.getvalue()


def encode_with_opencv(rgb: Pixels, suffix: str, options: Sequence[int]) -> bytes:
    """Encode by OpenCV, which expects BGR."""
    return cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def encode_with_simplejpeg(rgb: Pixels, quality: int, subsampling: str) -> bytes:
    """Encode by simplejpeg."""
    import simplejpeg

    return bytes(simplejpeg.encode_jpeg(rgb, quality, "RGB", subsampling.replace(":", "")))


def list_encoders(quality: int) -> dict[tuple[str, str], Encode]:
    """Return the encoders by format and name. Encoders of one format have the same parameters."""
    encoders: dict[tuple[str, str], Encode] = {}
    for subsampling, factor in _SAMPLING.items():
        kind = f"JPEG {subsampling}"
        encoders[kind, "Pillow"] = partial(encode_with_pillow, kind="JPEG", quality=quality, subsampling=subsampling)
        options = (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)
        encoders[kind, "OpenCV"] = partial(encode_with_opencv, suffix=".jpg", options=options)
        if importlib.util.find_spec("simplejpeg"):
            encoders[kind, "simplejpeg"] = partial(encode_with_simplejpeg, quality=quality, subsampling=subsampling)
    encoders["WebP", "Pillow"] = partial(encode_with_pillow, kind="WEBP", quality=quality)
    encoders["WebP", "OpenCV"] = partial(
        encode_with_opencv, suffix=".webp", options=(cv2.IMWRITE_WEBP_QUALITY, quality)
    )
    encoders["PNG", "Pillow"] = partial(encode_with_pillow, kind="PNG")
    # Pillow's parameters; OpenCV's own are level 1 and run lengths.
    options = (cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT)
    encoders["PNG", "OpenCV"] = partial(encode_with_opencv, suffix=".png", options=options)
    return encoders


def read_frames(folder: Path, num_frames: int) -> list[Pixels]:
    """Decode frames, uint8 [256, 256, 3]: as many of each GIF, evenly spaced."""
    paths = sorted(folder.glob("*.gif"))
    frames: list[Pixels] = []
    for path in paths:
        own = [frame.rgb for frame in itertools.islice(FrameDecoder(path.read_bytes(), 256, max_pixels=2**24), 200)]
        indices = np.linspace(0, len(own) - 1, -(-num_frames // len(paths))).round().astype(int)
        frames += [rgb for index in np.unique(indices) if (rgb := own[index]) is not None]
    return frames[:num_frames]


def time_call(work: Callable[[], object]) -> float:
    """Return the processor time of one call, in microseconds."""
    start = time.process_time_ns()
    work()
    return (time.process_time_ns() - start) / 1000


def time_encoders(
    frames: Sequence[Pixels], encoders: dict[tuple[str, str], Encode], num_rounds: int
) -> NDArray[np.float64]:
    """Return the least time of each encoder for each frame, in microseconds: float64 [encoders, frames]."""
    times = np.full((len(encoders), len(frames)), np.inf)
    for number in range(num_rounds):
        for i, rgb in enumerate(frames):
            order = list(enumerate(encoders.values()))
            for k, encode in order[:: 1 if number % 2 else -1]:
                times[k, i] = min(times[k, i], time_call(partial(encode, rgb)))
    return times


def decode(picture: bytes) -> Pixels:
    """Decode a picture as the training loader decodes JPEG: uint8 [H, W, 3]."""
    return np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR_RGB), np.uint8)


def psnr(first: NDArray[np.generic], second: NDArray[np.generic]) -> float:
    """Return the PSNR of two 8-bit pictures in dB, 99 at most."""
    error = np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2)
    return min(99.0, float(10 * np.log10(255**2 / error))) if error else 99.0


def to_ycc(rgb: Pixels) -> NDArray[np.float32]:
    """Convert to luma and chroma without rounding: float32 [H, W, 3], 0 to 255."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2YCrCb) * 255, np.float32)


def average_2x2(rgb: Pixels) -> NDArray[np.float32]:
    """Average blocks of 2 x 2 pixels: float32 [H / 2, W / 2, 3]."""
    height, width = rgb.shape[:2]
    return np.asarray(rgb.reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3)), np.float32)


def summarize_psnr(frames: Sequence[Pixels], pictures: Sequence[Pixels]) -> str:
    """Return the PSNR cells of a row, in dB, see `_COLUMNS`."""
    pairs = list(zip(frames, pictures, strict=True))
    over_rgb = [psnr(rgb, other) for rgb, other in pairs]
    over_blocks = [psnr(average_2x2(rgb), average_2x2(other)) for rgb, other in pairs]
    in_ycc = [(to_ycc(rgb), to_ycc(other)) for rgb, other in pairs]
    over_luma = [psnr(ycc[..., 0], other[..., 0]) for ycc, other in in_ycc]
    over_chroma = [psnr(ycc[..., 1:], other[..., 1:]) for ycc, other in in_ycc]
    worst = (np.percentile(over_rgb, 5), np.percentile(over_blocks, 5))
    return " | ".join(f"{figure:.1f}" for figure in (*map(np.mean, (over_rgb, over_luma, over_chroma)), *worst))


def digest(encode: Encode, frames: Iterable[Pixels]) -> str:
    """Return the SHA-256 of the encoded frames."""
    sha256 = hashlib.sha256()
    for rgb in frames:
        sha256.update(encode(rgb))
    return sha256.hexdigest()


def is_deterministic(encode: Encode, frames: Sequence[Pixels], pools: Sequence[Executor]) -> bool:
    """Return whether every worker of the pools encodes the frames to the bytes that this thread makes."""
    calls = [pool.submit(digest, encode, frames) for pool in pools for _ in range(4)]
    return {call.result() for call in calls} == {digest(encode, frames)}


def main() -> None:
    """Print the figures of each encoder."""
    parser = argparse.ArgumentParser(description="Compare image encoders on the frames of GIFs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quality", type=int, default=CurationConfig().quality)
    args = parser.parse_args()
    frames = read_frames(args.folder, args.frames)
    encoders = list_encoders(args.quality)
    print(f"{len(frames)} frames, quality {args.quality}, {args.rounds} rounds\n")
    print(f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|")
    times = dict(zip(encoders, time_encoders(frames, encoders, args.rounds), strict=True))
    baseline: list[bytes] = []
    for (kind, name), encode in encoders.items():
        pictures = [encode(rgb) for rgb in frames]
        baseline = pictures if name == "Pillow" else baseline
        num_same = sum(one == other for one, other in zip(pictures, baseline, strict=True))
        size = np.mean([len(picture) for picture in pictures])
        decoding = np.mean([min(time_call(partial(decode, one)) for _ in range(args.rounds)) for one in pictures])
        ratio = np.median(times[kind, name] / times[kind, "Pillow"])
        print(
            f"| {kind} | {name} | {times[kind, name].mean():.0f} | {ratio:.2f} | {size:.0f} | "
            f"{summarize_psnr(frames, [decode(picture) for picture in pictures])} | {decoding:.0f} | {num_same} |"
        )
    with ThreadPoolExecutor(4) as threads, ProcessPoolExecutor(2, get_context("spawn")) as processes:
        checked = {
            name: is_deterministic(encode, frames[:_NUM_CHECKED], [threads, processes])
            for name, encode in encoders.items()
        }
    print(f"\nThe same bytes in four threads and two processes: {sum(checked.values())} of {len(checked)} encoders")


if __name__ == "__main__":
    main()
