"""Compare formats: time to decode a frame against Pillow or PyAV alone, and motion against that of a GIF.

    python -m benchmarks.formats [--scenes 6] [--rounds 5]

The same drawn scenes, with 256 colours a frame, are encoded in every format: GIF, APNG and WebP without loss, AVIF as
Pillow does by default, video with crf 18.

Time: processor time per frame on one core; the ways alternate scene by scene, and a ratio is the median of the rounds'.
"Alone" decodes each frame to RGB with Pillow or PyAV, in one thread, and does no more. "Alone, resized" also composites
on white and resizes with Pillow, and converts to grey with OpenCV. "Frames" is what curation does: the same with its
own resize, and for a video two passes over the packets. "Far samples" decodes 3 of the 1,200 frames of a video.

Motion: all pairs of each scene, against those of the GIF. Prints Markdown.
"""

import io
import statistics
import time
from collections.abc import Callable, Iterator

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from benchmarks.helpers import CURATION_PACKAGES, describe_machine, make_parser, print_header, print_row, summarize
from curation.config import CurationConfig
from curation.decode import read_frames
from curation.decode.decoder import warm_up_decoder
from curation.decode.formats.animation import open_animation
from curation.flow.backend import measure_all_pairs, warm_up_kernel
from curation.flow.reference import to_grey
from examples.draw_formats import FORMATS, PICTURES, draw_palette_frames, encode
from examples.draw_gifs import DrawnGif
from shards.pictures import composite_on_white

CONFIG = CurationConfig()
SIDE = CONFIG.resolution
SIZES = ((160, 120), (256, 256), (320, 240), (480, 360))
TIMED_SIZE = (320, 240)


def draw_scenes(size: tuple[int, int], num_scenes: int) -> list[list[Image.Image]]:
    """Draw scenes of 14 frames that move at different speeds, in frames of 256 colours."""
    speeds = np.linspace(0.5, 3.0, num_scenes)
    return [
        draw_palette_frames(
            DrawnGif(name="", caption="", width=size[0], height=size[1], dx=speed * 0.8, dy=speed * 0.6, seed=seed)
        )
        for seed, speed in enumerate(speeds.tolist())
    ]


def open_pictures(data: bytes) -> Iterator[Image.Image]:
    """Yield the frames that Pillow decodes."""
    with Image.open(io.BytesIO(data)) as animation:
        yield from ImageSequence.Iterator(animation)


def open_video(data: bytes) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames that PyAV decodes, RGB."""
    with av.open(io.BytesIO(data), "r") as video:
        video.streams.video[0].thread_count = 1
        for frame in video.decode(video.streams.video[0]):
            yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def decode_alone(name: str, data: bytes) -> int:
    """Decode every frame to RGB; return the number of frames."""
    if name in PICTURES:
        return sum(1 for page in open_pictures(data) if np.asarray(page.convert("RGB")) is not None)
    return sum(1 for _ in open_video(data))


def decode_and_resize(name: str, data: bytes) -> int:
    """Decode, composite, resize and convert to grey every frame; return the number of frames."""
    num_frames = 0
    frames = (
        map(composite_on_white, open_pictures(data)) if name in PICTURES else map(Image.fromarray, open_video(data))
    )
    for frame in frames:
        cv2.cvtColor(np.asarray(frame.resize((SIDE, SIDE), Image.Resampling.LANCZOS)), cv2.COLOR_RGB2GRAY)
        num_frames += 1
    return num_frames


def decode_for_curation(name: str, data: bytes) -> int:
    """Decode every frame as curation does; return the number of frames."""
    return sum(1 for _ in open_animation(data, CONFIG))


WAYS: dict[str, Callable[[str, bytes], int]] = {
    "alone": decode_alone,
    "resized": decode_and_resize,
    "frames": decode_for_curation,
}


def time_format(name: str, files: list[bytes]) -> dict[str, float]:
    """Return the processor time of each way per frame, in us."""
    seconds, num_frames = dict.fromkeys(WAYS, 0.0), 0
    for data in files:
        for way, decode in WAYS.items():
            start = time.process_time()
            count = decode(name, data)
            seconds[way] += time.process_time() - start
        num_frames += count
    return {way: 1e6 * spent / num_frames for way, spent in seconds.items()}


def print_times(num_scenes: int, num_rounds: int) -> None:
    """Print the time of each format and way."""
    scenes = draw_scenes(TIMED_SIZE, num_scenes)
    print(f"{num_scenes} scenes of 14 frames, {TIMED_SIZE[0]} x {TIMED_SIZE[1]}, {num_rounds} rounds; us per frame.\n")
    print_header("format", "bytes per frame", "alone", "alone, resized", "frames", "times as fast as alone, resized")
    for name in FORMATS:
        files = [encode(scene, name) for scene in scenes]
        time_format(name, files[:1])
        rounds = [time_format(name, files) for _ in range(num_rounds)]
        ratios = [times["resized"] / times["frames"] for times in rounds]
        us = [f"{statistics.median(times[way] for times in rounds):.0f}" for way in WAYS]
        size = sum(map(len, files)) / sum(map(len, scenes))
        print_row(name, f"{size:.0f}", *us, summarize(ratios, ".1f"))


def print_far_samples() -> None:
    """Print the time for all frames of a long video, and for three."""
    frames = [Image.new("RGB", TIMED_SIZE, (k % 256,) * 3) for k in range(1200)]
    data = encode(frames, "mp4", g="12", preset="ultrafast")
    seconds = []
    for wanted in (range(1200), (0, 601, 1199)):
        start = time.process_time()
        for _ in open_animation(data, CONFIG, list(wanted)):
            pass
        seconds.append(time.process_time() - start)
    whole, few = seconds
    print(f"\nA video of 1,200 frames, a key frame every 12: all frames {whole:.2f} s, 3 of them {few:.2f} s.")


def print_motion(num_scenes: int) -> None:
    """Print how far the motion of each format is from that of the GIF."""
    print()
    print_header("size", "format", "pairs", "largest difference, px", "pairs in [2, 20]", "of them within 0.2 px")
    for size in SIZES:
        scenes = draw_scenes(size, num_scenes)
        expected = np.concatenate([measure(encode(scene, "gif")) for scene in scenes])
        in_range = (expected >= CONFIG.min_motion) & (expected <= CONFIG.max_motion)
        for name in FORMATS[1:]:
            error = np.abs(np.concatenate([measure(encode(scene, name)) for scene in scenes]) - expected)
            share = f"{(error[in_range] <= 0.2).mean():.1%}"
            print_row(f"{size[0]} x {size[1]}", name, len(error), f"{error.max():.3f}", in_range.sum(), share)


def measure(data: bytes) -> NDArray[np.float32]:
    """Measure the motion of all pairs of an animation."""
    return measure_all_pairs(np.stack([to_grey(frame) for frame in read_frames(data).rgb]))[0]


def main() -> None:
    """Measure and print the results."""
    parser = make_parser(__doc__)
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    warm_up_decoder()
    warm_up_kernel()
    print(f"{describe_machine(*CURATION_PACKAGES, 'av')}\n")
    print_times(args.scenes, args.rounds)
    print_far_samples()
    print_motion(args.scenes)


if __name__ == "__main__":
    main()
