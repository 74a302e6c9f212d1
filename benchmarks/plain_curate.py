"""Curate with a short script: the baseline of `benchmarks.curate`.

    python -m benchmarks.plain_curate LISTING OUT [PROCESSES]

A pool of processes takes one GIF at a time, measures every pair by Algorithm 1 as written, draws up to 10 pairs with
motion of 2 to 20 px, and writes one tar for each GIF. There is no balancing, no verdict and no resume.
"""

import io
import multiprocessing
import os
import random
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike
from PIL import Image, ImageSequence

Job = tuple[Path, Path]


def decode(path: Path) -> list[Image.Image]:
    """Decode all frames, composited on white, at 256 x 256."""
    frames = []
    for page in ImageSequence.Iterator(Image.open(path)):
        rgba = page.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        white.alpha_composite(rgba)
        frames.append(white.convert("RGB").resize((256, 256), Image.Resampling.LANCZOS))
    return frames


def find_corners(grey: MatLike) -> MatLike | None:
    """Find up to 100 corners, [N, 1, 2]; None if there is none."""
    return cv2.goodFeaturesToTrack(grey, 100, 0.1, 7, blockSize=7)


def measure_motion(source: MatLike, target: MatLike) -> float:
    """Measure one pair; nothing is shared between pairs."""
    corners = find_corners(source)
    if corners is None:
        return 0.0
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.03)
    moved, status, _ = cv2.calcOpticalFlowPyrLK(  # type: ignore[call-overload]  # The stubs do not allow None.
        source, target, corners, None, winSize=(15, 15), maxLevel=2, criteria=stop
    )
    lengths = np.linalg.norm((moved - corners)[status == 1], axis=-1)
    lengths = lengths[lengths > 1]
    return float(lengths.mean()) if len(lengths) else 0.0


def curate(job: Job) -> int:
    """Measure one GIF and write its tar; return the number of measured pairs."""
    path, tar_path = job
    frames = decode(path)
    grey = [cv2.cvtColor(np.asarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames]
    pairs = [(i, j, measure_motion(grey[i], grey[j])) for i in range(len(grey)) for j in range(i + 1, len(grey))]
    kept = [pair for pair in pairs if 2 <= pair[2] <= 20]
    with tarfile.open(tar_path, "w") as tar:
        for i, j, _ in random.sample(kept, min(10, len(kept))):
            for role, frame in (("source", frames[i]), ("target", frames[j])):
                picture = io.BytesIO()
                frame.save(picture, "JPEG", quality=95)
                member = tarfile.TarInfo(f"{path.stem}_{i}_{j}.{role}.jpg")
                member.size = picture.tell()
                picture.seek(0)
                tar.addfile(member, picture)
    return len(pairs)


def main() -> None:
    """Curate LISTING into OUT."""
    listing, out = Path(sys.argv[1]), Path(sys.argv[2])
    processes = int(sys.argv[3]) if len(sys.argv) > 3 else os.cpu_count()
    out.mkdir(parents=True, exist_ok=True)
    uris = dict.fromkeys(line.split("\t")[0] for line in listing.read_text().splitlines())
    jobs = [(listing.parent / uri, out / f"{number:05d}.tar") for number, uri in enumerate(uris)]
    cv2.setNumThreads(1)
    with multiprocessing.Pool(processes) as pool:
        print(sum(pool.imap_unordered(curate, jobs)), "pairs")


if __name__ == "__main__":
    main()
