"""Damage animations at random, and scan and decode them in the sandbox: none may crash it, hang or take all memory.

    python -m tests.curation.decode.formats.fuzz --mutations 1000 --seed 0

Prints how the mutations of each format ended. A file that breaks the sandbox is written to the current folder.
"""

import argparse
import collections
import random
from pathlib import Path

from curation.run.sandbox import Failure, Limits, isolate
from examples.draw_formats import FORMATS, encode
from examples.draw_gifs import DrawnGif, draw_frames
from tests.curation.decode.formats.helpers import FUZZ_CONFIG, decode_whole

_EDGE_BYTES = 1200
"""Headers and tables are at the start or at the end of a file."""


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change some bytes of a file, and cut off some files."""
    changed, edge = bytearray(data), min(_EDGE_BYTES, len(data))
    place = rng.choice((range(len(data)), range(edge), range(len(data) - edge, len(data))))
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.choice(place)
        changed[at] = rng.choice((0, 255, rng.randrange(256), changed[at] ^ 1 << rng.randrange(8)))
    return bytes(changed[: rng.randrange(len(data))] if rng.random() < 0.2 else changed)


def run(file_format: str, num_mutations: int, seed: int) -> tuple[collections.Counter[str], list[bytes]]:
    """Damage a drawn animation many times; return how often each end occurred, and the files that broke the sandbox."""
    drawn = DrawnGif(name="", caption="", width=96, height=64, num_frames=8, dx=2.0, seed=1)
    data, rng = encode(draw_frames(drawn), file_format), random.Random(seed)  # noqa: S311
    ends: collections.Counter[str] = collections.Counter()
    broken = []
    for _ in range(num_mutations):
        mutated = mutate(data, rng)
        outcome = isolate(Limits.from_config(FUZZ_CONFIG), decode_whole, mutated)
        if isinstance(outcome, Failure):
            broken.append(mutated)
        ends[outcome.detail if isinstance(outcome, Failure) else outcome] += 1
    return ends, broken


def main() -> None:
    """Damage animations of every format and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for file_format in FORMATS[1:]:
        ends, broken = run(file_format, args.mutations, args.seed)
        print(file_format, dict(ends.most_common()), flush=True)
        for number, data in enumerate(broken):
            Path(f"broken-{number}.{file_format}").write_bytes(data)


if __name__ == "__main__":
    main()
