"""Time measuring and encoding in the sandbox against the same calls without it.

    python -m benchmarks.isolation [--gifs DIR] [--rounds 5]

Without a folder, GIFs are drawn. Both sides are warm: the kernel is compiled and the sandbox process has started. They
alternate clip by clip. Times are processor times of parent and child together, because a worker has one core for both.
For each clip the minimum over all rounds is used; the ratio is that of the sums.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.helpers import describe_machine, make_parser, open_gifs, print_header, print_row
from curation.config import CurationConfig
from curation.decode.probe import ProbeTask, probe_clips
from curation.export.encode import SourceClip, encode_frames
from curation.flow.measure import measure_clip
from curation.listing.clips import Clip
from curation.run.sandbox import Failure, Limits, isolate

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


def list_calls(paths: list[Path]) -> list[tuple[str, Callable[[], object]]]:
    """Return the calls that measure and encode each GIF, with the name of what they do."""
    clips = {
        path.stem: Clip(key=path.stem, uri=path.name, location=str(path), captions=("",), split="", row=1)
        for path in paths
    }
    calls: list[tuple[str, Callable[[], object]]] = []
    for one in probe_clips(ProbeTask(clips=tuple(clips.values()), config=CONFIG)):
        if one.verdict is None:
            source = SourceClip(clip=clips[one.clip_key], path=one.path, sha256=one.sha256 or "")
            num_frames = one.num_frames or 0
            frames = tuple(range(0, num_frames, max(1, num_frames // 12)))
            calls.append(("measure", partial(measure_clip, one, CONFIG)))
            calls.append(("export", partial(encode_frames, frames, source, CONFIG)))
    return calls


def main() -> None:
    """Time both sides and print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--gifs", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    seconds: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    with open_gifs(args.gifs, num_drawn=20) as paths:
        for name, call in list_calls(paths):
            ways = call, partial(isolate, Limits.from_config(CONFIG), call)
            rounds = [[time_call(way) for way in ways] for _ in range(args.rounds + 1)]
            for place in range(len(ways)):  # The first round warms up.
                seconds[name][place] += min(times[place] for times in rounds[1:])
    print(f"{describe_machine()}\n{len(paths)} GIFs, minimum of {args.rounds} rounds each.\n")
    print_header("", "direct, s", "in the sandbox, s", "ratio")
    for name, (direct, isolated) in seconds.items():
        print_row(name, f"{direct:.2f}", f"{isolated:.2f}", f"{isolated / direct:.3f}")


if __name__ == "__main__":
    main()
