"""Time the motion of the same pairs by the kernel and by what other curation tools use, on one core.

    python -m benchmarks.farneback                            drawn GIFs
    python -m benchmarks.farneback --gifs DIR --frames 20     the first 20 frames of the GIFs of a folder

video2dataset and data-juicer score motion by OpenCV's dense flow after Farneback, with the parameters below. They score
neighbouring frames of a video; here every way measures all pairs of a clip, at 256 x 256. Algorithm 1 is the paper's,
pair by pair. The ways alternate clip by clip; figures are medians of the repeats. Prints Markdown.

Farneback's flow is dense, Lucas-Kanade's is of up to 100 corners: the table compares the cost of a motion score, not
of the same work. The kernel prepares a source frame once for all its targets, so it gains with the length of a clip.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.flow import decode_frames, measure_as_written
from benchmarks.helpers import describe_machine, make_parser, open_gifs, print_header, print_row, summarize
from curation.flow.lucas_kanade.all_pairs import measure_all_pairs


def measure_farneback(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the mean length of the dense flow of every pair of a clip's grey frames, uint8 [T, H, W]."""
    pairs = [(i, j) for i in range(len(grey)) for j in range(i + 1, len(grey))]
    flow = np.zeros((*grey.shape[1:], 2), np.float32)
    lengths = []
    for i, j in pairs:
        cv2.calcOpticalFlowFarneback(
            grey[i], grey[j], flow,
            pyr_scale=0.5, levels=3, winsize=15, iterations=3, poly_n=5, poly_sigma=1.2, flags=0,
        )  # fmt: skip
        lengths.append(np.linalg.norm(flow, axis=2).mean())
    return np.array(lengths, np.float32)


WAYS: dict[str, Callable[[NDArray[np.uint8]], object]] = {
    "pix2gif's kernel": measure_all_pairs,
    "Farneback, as in video2dataset and data-juicer": measure_farneback,
    "Algorithm 1 as written": measure_as_written,
}


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--gifs", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frames", type=int, default=16, help="the first frames of each clip")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with open_gifs(args.gifs) as paths:
        clips = [grey for grey in (decode_frames(path)[: args.frames] for path in paths) if len(grey) > 1]
    num_pairs = sum(len(grey) * (len(grey) - 1) // 2 for grey in clips)
    measure_all_pairs(clips[0][:2])  # Loads the compiled code.
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(args.repeats):
        once: defaultdict[str, float] = defaultdict(float)
        for grey in clips:
            for name, measure in WAYS.items():
                start_s = time.perf_counter()
                measure(grey)
                once[name] += time.perf_counter() - start_s
        for name, spent in once.items():
            seconds[name].append(spent)
    print(f"{describe_machine()}\n{len(clips)} clips, {num_pairs:,} pairs, one thread, {args.repeats} repeats.\n")
    print_header("way", "pairs/s", "ms per pair", "of the kernel's time")
    ours = statistics.median(seconds["pix2gif's kernel"])
    for name, each in seconds.items():
        ms = [spent / num_pairs * 1e3 for spent in each]
        rate = f"{1e3 / statistics.median(ms):,.0f}"
        print_row(name, rate, summarize(ms, ".3g"), f"{statistics.median(each) / ours:.1f}")


if __name__ == "__main__":
    main()
