"""Time the frames of GIFs on one core: Pillow against the decoder, and all that a measured frame takes besides flow.

    python -m benchmarks.decode DIR [--rounds 5]

DIR holds GIFs. The ways alternate clip by clip; a figure is the processor time per frame, and a ratio is the median of
the ratios of the rounds. "Pillow" opens, composites on white and resizes with Pillow and converts to grey with OpenCV.
"Frames" is the decoder: the same frames, RGB and grey. "Measured frame" adds scene cuts and fingerprints. "Export"
decodes and composes what four random pairs of a clip need. Prints Markdown.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageSequence

from benchmarks.flow import describe_machine
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    clips = [path.read_bytes() for path in sorted(args.folder.glob("*.gif"))]
    if not clips:
        parser.error(f"no GIFs in {args.folder}")
    warm_up_decoder()
    run_round(clips[:1])
    rounds = [run_round(clips) for _ in range(args.rounds)]
    print(f"{len(clips)} GIFs, {sum(decode_count.values())} frames, one core, {len(rounds)} rounds.")
    print(f"{describe_machine()}\n")
    print("| way | us a frame | least to most | times as fast as Pillow |\n|---|---|---|---|")
    for name in WAYS:
        us = [times[name] for times in rounds]
        ratio = statistics.median(times["Pillow"] / times[name] for times in rounds)
        print(f"| {name} | {statistics.median(us):.0f} | {min(us):.0f} to {max(us):.0f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
