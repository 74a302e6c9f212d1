"""Time the frames of GIFs on one core: Pillow against the decoder, and all that a measured frame takes besides flow.

    python -m benchmarks.decode [--gifs DIR] [--rounds 5]

Without a folder, GIFs are drawn. The ways alternate clip by clip. A figure is the processor time per frame: the median
of the rounds, with minimum and maximum. A ratio is that of each round. Prints Markdown.

Pillow: open, composite on white and resize with Pillow, convert to grey with OpenCV.
frames: the same frames, RGB and grey, by the decoder.
measured frame: frames, plus scene cuts and fingerprints.
export: decode and composite what four random pairs of a clip need.
"""

import io
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageSequence

from benchmarks.helpers import describe_machine, make_parser, open_gifs, print_header, print_row, summarize
from curation.config import CurationConfig
from curation.decode.decoder import FrameDecoder, warm_up_decoder
from curation.decode.fingerprint import Fingerprint
from curation.decode.scene_cuts import SceneDetector
from curation.decode.thumbnail import make_thumbnail
from shards.pictures import composite_on_white

CONFIG = CurationConfig()
SIDE = CONFIG.resolution
NUM_PAIRS = 4


def decode_with_pillow(data: bytes) -> int:
    """Decode, resize and convert to grey; return the number of frames."""
    num_frames = 0
    with Image.open(io.BytesIO(data)) as gif:
        for page in ImageSequence.Iterator(gif):
            picture = composite_on_white(page).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2GRAY)
            num_frames += 1
    return num_frames


def decode(data: bytes) -> int:
    """Decode, resize and convert to grey; return the number of frames."""
    return sum(1 for _ in FrameDecoder(data, SIDE, max_pixels=CONFIG.max_pixels))


def decode_and_inspect(data: bytes) -> int:
    """Do for each frame what measuring does, except flow; return the number of frames."""
    scenes, fingerprint = SceneDetector(), Fingerprint()
    for frame in FrameDecoder(data, SIDE, max_pixels=CONFIG.max_pixels):
        thumbnail = make_thumbnail(frame.grey, frame.planes.transpose(1, 2, 0))
        scenes.add(thumbnail)
        fingerprint.add(frame.grey, thumbnail)
    _ = fingerprint.signature
    return len(scenes.scenes)


def decode_for_export(data: bytes) -> int:
    """Decode the frames of a few random pairs; return the number of frames of the clip."""
    num_frames = decode_count[data]
    wanted = np.random.default_rng(0).integers(0, num_frames, 2 * NUM_PAIRS).tolist()
    for frame in FrameDecoder(data, SIDE, max_pixels=CONFIG.max_pixels, wanted=wanted):
        _ = frame.rgb
    return num_frames


decode_count: dict[bytes, int] = {}
WAYS: dict[str, Callable[[bytes], int]] = {
    "Pillow": decode_with_pillow,
    "frames": decode,
    "measured frame": decode_and_inspect,
    "export": decode_for_export,
}


def run_round(clips: list[bytes]) -> dict[str, float]:
    """Return the processor time of each way per frame, in us."""
    seconds, num_frames = dict.fromkeys(WAYS, 0.0), 0
    for data in clips:
        for name, way in WAYS.items():
            start = time.process_time()
            decode_count[data] = way(data)
            seconds[name] += time.process_time() - start
        num_frames += decode_count[data]
    return {name: 1e6 * spent / num_frames for name, spent in seconds.items()}


def main() -> None:
    """Measure all clips and print the results."""
    parser = make_parser(__doc__)
    parser.add_argument("--gifs", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with open_gifs(args.gifs) as paths:
        clips = [path.read_bytes() for path in paths]
    warm_up_decoder()
    run_round(clips[:1])
    rounds = [run_round(clips) for _ in range(args.rounds)]
    num_frames = sum(decode_count.values())
    print(f"{describe_machine()}\n{len(clips)} GIFs, {num_frames} frames, one core, {len(rounds)} rounds.\n")
    print_header("way", "us per frame", "times as fast as Pillow")
    for name in WAYS:
        ratios = [times["Pillow"] / times[name] for times in rounds]
        print_row(name, summarize([times[name] for times in rounds], ".0f"), summarize(ratios, ".1f"))


if __name__ == "__main__":
    main()
