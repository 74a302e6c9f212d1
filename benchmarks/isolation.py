"""Time measuring and encoding in the sandbox against the same calls without it.

    python -m benchmarks.isolation [--gifs DIR] [--rounds 5]

Without a folder, GIFs are drawn. Both sides are warm: the kernel is compiled and the sandbox process has started. They
alternate clip by clip. Times are processor times of parent and child together, because a worker has one core for both.
For each clip the minimum over all rounds is used; the ratio is that of the sums.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from curation.config import CurationConfig
from curation.decode.probe import ProbeTask, probe_clips
from curation.export.encode import SourceClip, encode_frames
from curation.flow.measure import measure_clip
from curation.listing.clips import Clip
from curation.run.sandbox import Failure, Limits, isolate
from examples.draw_gifs import draw_folder

CONFIG = CurationConfig()


def time_call(call: Callable[[], object]) -> float:
    """Return the processor time of a call in seconds, of this process and its sandbox process."""
    start = read_cpu_s()
    call()
    return read_cpu_s() - start


def read_cpu_s() -> float:
    """Return the processor time so far of this process and its sandbox process, in seconds."""
    in_child = isolate(Limits.from_config(CONFIG), time.process_time)
    if isinstance(in_child, Failure):
        raise RuntimeError(in_child.detail)
    return in_child + time.process_time()


def main() -> None:
    """Time both sides and print the table."""
    parser = argparse.ArgumentParser(description="Time the sandbox against direct calls.")
    parser.add_argument("--gifs", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.gifs is None:
            draw_folder(Path(folder), num_gifs=20, seed=0)
        paths = sorted((args.gifs or Path(folder) / "gifs").glob("*.gif"))
        clips = [
            Clip(key=path.stem, uri=path.name, location=str(path), captions=("",), split="", row=1) for path in paths
        ]
        probed = [one for one in probe_clips(ProbeTask(clips=tuple(clips), config=CONFIG)) if one.verdict is None]
        calls: list[tuple[str, Callable[..., object], tuple[object, ...]]] = []
        for one in probed:
            clip = next(clip for clip in clips if clip.key == one.clip_key)
            source = SourceClip(clip=clip, path=one.path, sha256=one.sha256 or "")
            calls.append(("measure", measure_clip, (one, CONFIG)))
            frames = tuple(range(0, one.num_frames or 0, max(1, (one.num_frames or 0) // 12)))
            calls.append(("export", encode_frames, (frames, source, CONFIG)))
        best: dict[tuple[str, bool], float] = {}
        for name, function, arguments in calls:
            ways = {
                False: lambda f=function, a=arguments: f(*a),
                True: lambda f=function, a=arguments: isolate(Limits.from_config(CONFIG), f, *a),
            }
            times = dict.fromkeys(ways, float("inf"))
            for round_number in range(args.rounds + 1):  # The first round warms up.
                for way, call in ways.items():
                    seconds = time_call(call)
                    if round_number:
                        times[way] = min(times[way], seconds)
            for way, seconds in times.items():
                best[name, way] = best.get((name, way), 0.0) + seconds
    print(f"{len(probed)} GIFs, minimum of {args.rounds} rounds each\n")
    print("| | direct, s | in the sandbox, s | ratio |\n|---|---|---|---|")
    for name in ("measure", "export"):
        direct, isolated = best[name, False], best[name, True]
        print(f"| {name} | {direct:.2f} | {isolated:.2f} | {isolated / direct:.3f} |")


if __name__ == "__main__":
    main()
