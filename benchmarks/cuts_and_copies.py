"""Measure precision and recall of scene cuts and near-duplicates on drawn GIFs, and print those of real GIFs.

    python -m benchmarks.cuts_and_copies [--seeds 30] [--gifs DIR]

Cuts: 7 kinds of clips, 30 of each. A frame boundary is a true cut if the scene changes there. Copies: 60 drawn clips,
each with 7 edited copies. Of all pairs of these clips, those of the same origin are true near-duplicates.
"""

import collections
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.helpers import make_parser, open_gifs, print_header, print_row
from curation.config import CurationConfig
from curation.decode.decoder import FrameDecoder
from curation.decode.scene_cuts import SceneDetector
from curation.decode.thumbnail import make_thumbnail
from curation.flow import reference as flow
from curation.selection.near_duplicates import find_near_duplicates
from curation.selection.signatures import Signatures
from examples.draw_scenes import EDITS, LEAKS, draw_edit, film, to_arrays
from tests.curation.selection.helpers import take_signature

Frames = list[NDArray[np.uint8]]


def find_scenes(frames: Frames) -> list[int]:
    """Return the detected scene of each frame."""
    detector = SceneDetector()
    for rgb in frames:
        detector.add(make_thumbnail(flow.to_grey(rgb), rgb))
    return detector.scenes


def find_boundaries(scenes: list[int]) -> set[int]:
    """Return the frames that start a scene other than that of the frame before."""
    return {t for t in range(1, len(scenes)) if scenes[t] != scenes[t - 1]}


def measure_cuts(num_seeds: int) -> None:
    """Print, by kind, the numbers of true, detected and correctly detected boundaries."""
    print_header(f"{num_seeds} clips each", "cuts", "detected", "correct", "clips without error")
    sums: collections.Counter[str] = collections.Counter()
    for kind in EDITS:
        row: collections.Counter[str] = collections.Counter()
        for seed in range(num_seeds):
            clip = draw_edit(kind, seed)
            scenes = find_scenes(to_arrays(clip.frames))
            true, found = find_boundaries(clip.scenes), find_boundaries(scenes)
            row.update(true=len(true), found=len(found), right=len(true & found), exact=int(scenes == clip.scenes))
        print_row(kind, row["true"], row["found"], row["right"], row["exact"])
        sums.update(row)
    print(f"\nprecision {sums['right'] / sums['found']:.3f}, recall {sums['right'] / sums['true']:.3f}")


def measure_copies(num_clips: int, distance: int) -> None:
    """Print recall for each kind of edit, and precision over all pairs of clips."""
    origins, names, signatures = [], [], []
    for seed in range(num_clips):
        frames = film(seed, 16, speed=1.5)
        for name, leak in {"": lambda frames: frames, **LEAKS}.items():
            origins.append(seed)
            names.append(name)
            signatures.append(take_signature(to_arrays(leak(frames))))
    near = find_near_duplicates(Signatures.join(signatures), distance)
    alike = {(i, j) for i, j in itertools.combinations(range(len(origins)), 2) if origins[i] == origins[j]}
    print()
    print_header("copy", f"detected of {num_clips}")
    for name in LEAKS:
        print_row(name, sum(1 for i, j in near if not names[i] and names[j] == name and (i, j) in alike))
    right = len(alike & near.keys())
    print(
        f"\nof {len(alike)} pairs of the same origin {right} were detected, recall {right / len(alike):.3f}; ", end=""
    )
    print(f"{right} of {len(near)} detected pairs are correct, precision {right / len(near):.3f}")


def inspect_real(paths: list[Path], distance: int) -> None:
    """Print the detected cuts and near-duplicates of real GIFs, for manual inspection."""
    config = CurationConfig()
    signatures = []
    for path in paths:
        decoder = FrameDecoder(path.read_bytes(), config.resolution, max_pixels=config.max_pixels)
        frames = [frame.rgb for frame in itertools.islice(decoder, 200)]
        if found := find_boundaries(find_scenes(frames)):
            print(f"{path.name}: cuts at frames {sorted(found)}")
        signatures.append(take_signature(frames))
    near = find_near_duplicates(Signatures.join(signatures), distance)
    print(f"\n{len(paths)} real GIFs: {len(near)} near-duplicates")
    for (i, j), bits in near.items():
        print(f"{paths[i].name} and {paths[j].name}: {bits:g} bits")


def main() -> None:
    """Measure cuts and copies, and inspect real GIFs if given."""
    parser = make_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--gifs", type=Path, help="A folder of real GIFs.")
    parser.add_argument("--distance", type=int, default=10, help="Greatest distance of near-duplicates, in bits.")
    args = parser.parse_args()
    measure_cuts(args.seeds)
    measure_copies(2 * args.seeds, args.distance)
    if args.gifs:
        with open_gifs(args.gifs) as paths:
            inspect_real(paths, args.distance)


if __name__ == "__main__":
    main()
