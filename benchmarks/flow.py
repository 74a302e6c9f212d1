"""Time the motion of all pairs on one core: three implementations, and the stages of the kernel.

    python -m benchmarks.flow                 drawn GIFs
    python -m benchmarks.flow --gifs DIR      the GIFs of a folder

Algorithm 1 as written finds corners and builds pyramids for every pair. "Corners once" finds them once for each source
frame (`curation.flow.reference`). The kernel is `curation.flow.lucas_kanade.all_pairs`. The three alternate clip by
clip, and every figure is the median of the repeats. Prints Markdown.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.helpers import describe_machine, make_parser, open_gifs
from curation.decode.decoder import FrameDecoder
from curation.flow import reference as flow
from curation.flow.lucas_kanade import all_pairs as lucas_kanade
from curation.flow.lucas_kanade.templates import allocate_buffers, build_template
from curation.flow.lucas_kanade.tracking import HALF, track_sources
from curation.jit import compile_part

RESOLUTION = 256
WAYS = ("Algorithm 1 as written", "corners once, OpenCV", "kernel")
STAGES = ("decode", "corners", "pyramids", "templates", "tracking")
Measured = tuple[NDArray[np.float32], NDArray[np.float32]]
Measure = Callable[[NDArray[np.uint8]], Measured]


@dataclass
class Repeat:
    """Times and results of one repeat over all clips."""

    seconds: dict[str, float] = field(default_factory=dict)
    """By implementation and by stage."""
    motion_px: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)
    tracked_fraction: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)
    num_iterations: int = 0
    num_cells: int = 0

    def time(self, name: str, work: Callable[..., Any], *args: Any) -> Any:
        """Call `work` and add its time to that of `name`."""
        start = time.perf_counter()
        result = work(*args)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        return result

    def keep(self, way: str, measured: Measured) -> None:
        """Keep the results of one implementation for one clip."""
        self.motion_px.setdefault(way, []).append(measured[0])
        self.tracked_fraction.setdefault(way, []).append(measured[1])


def decode_frames(path: Path) -> NDArray[np.uint8]:
    """Decode a GIF into grey frames, uint8 [T, 256, 256], as the pipeline does."""
    decoder = FrameDecoder(path.read_bytes(), RESOLUTION, max_pixels=2**24)
    return np.stack([frame.grey for frame in decoder])


def measure_as_written(grey: NDArray[np.uint8]) -> Measured:
    """Measure every pair on its own: Algorithm 1."""
    num_frames = len(grey)
    pairs = [(i, j) for i in range(num_frames) for j in range(i + 1, num_frames)]
    table = np.array([flow.measure_motion(grey[i], grey[j]) for i, j in pairs], np.float32).reshape(-1, 2)
    return table[:, 0], table[:, 1]


@compile_part
def _build_templates(pyramid: Any, num_levels: int, corners: Any, num_corners: Any, work: Any) -> None:
    for source in range(len(num_corners)):
        for c in range(num_corners[source]):
            for level in range(num_levels):
                shrink = 0.5**level
                x, y = corners[source, c, 0] * shrink - HALF, corners[source, c, 1] * shrink - HALF
                build_template(pyramid[level][source], y, x, work)


def measure_by_stages(grey: NDArray[np.uint8], repeat: Repeat) -> None:
    """Run the stages of the kernel and time each. Templates are timed by building them a second time."""
    sources, work = np.arange(len(grey) - 1), allocate_buffers()
    num_pairs = len(grey) * (len(grey) - 1) // 2
    pyramid, num_levels = repeat.time("pyramids", lucas_kanade.build_pyramids, grey)
    corners, num = repeat.time("corners", lucas_kanade.find_all_corners, grey, pyramid[0], sources)
    out = np.zeros(num_pairs, np.float32), np.zeros(num_pairs, np.float32), np.zeros(2, np.int64)
    repeat.time("tracking", track_sources, pyramid, num_levels, sources, corners, num, work, *out)
    repeat.time("templates", _build_templates, pyramid, num_levels, corners, num, work)
    repeat.num_iterations += int(out[2][0])
    repeat.num_cells += int(out[2][1])


def run_once(paths: list[Path], ways: Mapping[str, Measure]) -> Repeat:
    """Measure every clip once with each implementation."""
    repeat = Repeat()
    for path in paths:
        grey = repeat.time("decode", decode_frames, path)
        for way, measure in ways.items():
            repeat.keep(way, repeat.time(way, measure, grey))
        measure_by_stages(grey, repeat)
    repeat.seconds["tracking"] -= repeat.seconds["templates"]
    return repeat


def report(repeats: list[Repeat], num_gifs: int) -> Iterator[str]:
    """Yield the lines of the results."""
    motion = {way: np.concatenate(repeats[0].motion_px[way]) for way in WAYS}
    fraction = {way: np.concatenate(repeats[0].tracked_fraction[way]) for way in WAYS}
    num_pairs = len(motion[WAYS[0]])

    def cost_us(name: str) -> NDArray[np.float64]:
        return np.array([repeat.seconds[name] for repeat in repeats]) / num_pairs * 1e6

    yield f"{num_gifs} GIFs, {num_pairs} pairs, {RESOLUTION} x {RESOLUTION}, one core, {len(repeats)} repeats."
    yield f"{describe_machine()}\n"
    yield "| way | us per pair | min to max | times as fast as Algorithm 1 | as corners once |"
    yield "|---|---|---|---|---|"
    for way in WAYS:
        us = cost_us(way)
        ratios = " | ".join(f"{np.median(cost_us(other) / us):.1f}" for other in WAYS[:2])
        yield f"| {way} | {np.median(us):.1f} | {us.min():.1f} to {us.max():.1f} | {ratios} |"
    yield "\n| stage | us per pair |\n|---|---|"
    for stage in STAGES:
        yield f"| {stage} | {np.median(cost_us(stage)):.1f} |"
    iterations, cells = repeats[0].num_iterations / num_pairs, repeats[0].num_cells / num_pairs
    tracking_us = np.median(cost_us("tracking"))
    yield f"\n{iterations:.0f} iterations per pair, {tracking_us / iterations * 1e3:.1f} ns each; they visit"
    yield f"{cells:.0f} cells, {tracking_us / cells * 1e3:.1f} ns each, iterations included.\n"
    yield "| against Algorithm 1 | difference in px: median | 95 % | 99 % | max | same in [2, 20] | tracked fraction |"
    yield "|---|---|---|---|---|---|---|"
    kept = {way: (motion[way] >= 2) & (motion[way] <= 20) for way in WAYS}
    for way in WAYS[1:]:
        q = np.quantile(np.abs(motion[way] - motion[WAYS[0]]), [0.5, 0.95, 0.99, 1.0])
        same, tracked = (kept[way] == kept[WAYS[0]]).mean(), np.abs(fraction[way] - fraction[WAYS[0]]).mean()
        yield f"| {way} | {q[0]:.1e} | {q[1]:.1e} | {q[2]:.1e} | {q[3]:.1f} | {same:.4%} | {tracked:.1e} |"


def main() -> None:
    """Measure all clips and print the results."""
    parser = make_parser(__doc__)
    parser.add_argument("--gifs", type=Path, help="Folder of GIFs.  [default: drawn GIFs]")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit", type=int, help="Measure only the first n GIFs.")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    ways = dict(zip(WAYS, (measure_as_written, flow.measure_all_pairs, lucas_kanade.measure_all_pairs), strict=True))
    with open_gifs(options.gifs) as paths:
        limited = paths[: options.limit]
        run_once(limited[:1], ways)  # Compile and warm up.
        repeats = [run_once(limited, ways) for _ in range(options.repeat)]
    print("\n".join(report(repeats, len(limited))))


if __name__ == "__main__":
    main()
