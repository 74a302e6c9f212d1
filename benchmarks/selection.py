"""Time `pix2gif plan` and selection on a drawn flow table, and hold the histogram against a solver's optimum.

    python benchmarks/selection.py FOLDER [--pairs 100000000] [--clips 100000] [--seed 0]

Writes a finished data set without shards into FOLDER, unless one lies there: clips.parquet, dataset.json, a flow table
in parts, with clip lengths and motions of a heavy tail. Prints wall time, processor time and the most memory of each
command, and how near the kept histogram of a subsample comes to the best that scipy's linear program finds.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from curation.config import CurationConfig
from curation.flow.measure import method_digest
from curation.flow.table import Measurement, write_part
from curation.listing.catalog import clip_key
from curation.run.versions import software_versions
from shards.manifest import ListingEntry, Manifest, MotionHistogram, ShardEntry, SplitEntry, write_manifest
from shards.schema import CLIPS, CLIPS_SCHEMA, FLOW, FLOW_SCHEMA, MANIFEST, Verdict

_PAIRS_PER_PART = 200_000
_FRAMES = (14, 572)
"""The shortest and the longest GIF of TGIF."""
_CLIPS_SOLVED = 300
_SELECT = """
import sys, time
from pathlib import Path
from curation.config import CurationConfig
from curation.selection import select_pairs
import pyarrow.parquet as pq
out = Path(sys.argv[1])
clips = pq.read_table(out / "clips.parquet", columns=["clip_key", "split"]).to_pylist()
parts = sorted((out / "flow").glob("part-*.parquet"))
start = time.perf_counter()
found = select_pairs(parts, {clip["clip_key"]: clip["split"] for clip in clips}, CurationConfig())
print(f"{time.perf_counter() - start:.1f} s, {sum(one.pairs.num_rows for one in found.values()):,} pairs")
print({split: one.kept_histogram for split, one in found.items()})
"""


def draw_lengths(rng: np.random.Generator, num_clips: int, num_pairs: int) -> np.ndarray:
    """Draw frames a clip, int64 [clips]: a log-normal between TGIF's ends, scaled to `num_pairs` in all."""
    shape = rng.lognormal(0.0, 0.65, num_clips)
    low, high = 1.0, 1000.0
    while high - low > 1e-3:
        scale = (low + high) / 2
        frames = np.clip(np.rint(shape * scale), *_FRAMES).astype(np.int64)
        low, high = (scale, high) if (frames * (frames - 1) // 2).sum() < num_pairs else (low, scale)
    return frames


def draw_motion(rng: np.random.Generator, sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Draw the motion of a clip's pairs, float32 [pairs]: faster clips and slower ones, growing with the gap."""
    speed, growth = rng.lognormal(0.6, 1.0), rng.uniform(0.0, 0.9)
    motion = speed * (targets - sources) ** growth * rng.lognormal(0.0, 0.3, len(sources))
    motion[(motion < 1) | (rng.random(len(motion)) < 0.03)] = 0  # Motion is that of points that moved a pixel.
    return np.minimum(motion, 200).astype(np.float32)


def draw_clip(rng: np.random.Generator, key: str, num_frames: int) -> pa.Table:
    """Draw one clip's rows of the flow table."""
    sources, targets = (index.astype(np.int32) for index in np.triu_indices(num_frames, k=1))
    columns = {
        "clip_key": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(sources), np.int32)), [key]),
        "source_index": sources,
        "target_index": targets,
        "gap_ms": (targets - sources) * 100,
        "motion_px": draw_motion(rng, sources, targets),
        "tracked_fraction": rng.integers(1, 101, len(sources)) / 100,
    }
    filled = {name: columns.get(name, np.zeros(len(sources), bool)) for name in FLOW_SCHEMA.names}
    return pa.table({name: pa.array(one).cast(FLOW_SCHEMA.field(name).type) if isinstance(one, np.ndarray) else one
                     for name, one in filled.items()}, schema=FLOW_SCHEMA)  # fmt: skip


def draw_dataset(out: Path, num_pairs: int, num_clips: int, seed: int) -> None:
    """Write the drawn data set into `out`."""
    rng = np.random.default_rng(seed)
    config = CurationConfig()
    frames = draw_lengths(rng, num_clips, num_pairs)
    uris = [f"https://example.invalid/{number:06d}.gif" for number in range(num_clips)]
    keys = [clip_key(uri) for uri in uris]
    measurements, tables, room = [], [], _PAIRS_PER_PART
    for number in np.argsort(-frames, kind="stable").tolist():
        rows = draw_clip(rng, keys[number], int(frames[number]))
        if measurements and room < rows.num_rows:
            write_part(out / FLOW, method_digest(config), measurements, tables)
            measurements, tables, room = [], [], _PAIRS_PER_PART
        tables.append(rows)
        measurements.append(
            Measurement(
                clip_key=keys[number], sha256=f"{number:064x}", verdict=None, detail=None, width=250, height=180,
                num_frames=int(frames[number]), num_pairs=rows.num_rows,
            )
        )  # fmt: skip
        room -= rows.num_rows
    write_part(out / FLOW, method_digest(config), measurements, tables)
    _write_clips(out, uris, keys, frames, rng)
    _write_manifest(out, num_clips, config)


def _write_clips(out: Path, uris: list[str], keys: list[str], frames: np.ndarray, rng: np.random.Generator) -> None:
    rows = [
        {
            "row": number + 1, "uri": uris[number], "caption": "a drawn clip", "clip_key": keys[number],
            "split": "val" if rng.random() < 0.1 else "train", "verdict": Verdict.KEPT, "sha256": f"{number:064x}",
            "width": 250, "height": 180, "num_frames": int(frames[number]),
            "num_pairs": int(frames[number] * (frames[number] - 1) // 2), "num_in_range": 10, "num_kept": 10,
        }
        for number in range(len(keys))
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, schema=CLIPS_SCHEMA), out / CLIPS, compression="zstd")


def _write_manifest(out: Path, num_clips: int, config: CurationConfig) -> None:
    kept = 10 * num_clips
    shard = ShardEntry(name="00000.tar", num_samples=kept, num_bytes=kept * 40_000, sha256="0" * 64)
    histogram = MotionHistogram(bin_edges=tuple(range(2, 21)), counts=(kept // 18,) * 18)
    entry = SplitEntry(num_samples=kept, num_clips=num_clips, motion_histogram=histogram, shards=(shard,))
    write_manifest(
        out,
        Manifest(
            listing=ListingEntry(uri="drawn.tsv", sha256="0" * 64, num_rows=num_clips),
            config={**vars(config), "split_lists": {}},
            software=software_versions(),
            verdicts={Verdict.KEPT.value: num_clips},
            splits={"train": entry},
        ),
    )


def measured(words: list[str]) -> tuple[str, str]:
    """Run a command; returns what it printed, and its wall time, processor time and most memory in words."""
    start = time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)  # noqa: S603  # Our own commands.
    printed = child.stdout.read() if child.stdout else ""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{words} ended with {child.returncode}")
    wall = time.perf_counter() - start
    return printed, f"{wall:.1f} | {usage.ru_utime + usage.ru_stime:.1f} | {usage.ru_maxrss / 2**20:.2f}"


def entropy(totals: np.ndarray) -> float:
    """Entropy of a histogram."""
    share = totals[totals > 0] / totals.sum()
    return float(-(share * np.log(share)).sum())


def best_entropy(available: np.ndarray, cap: int) -> float:
    """Find the greatest entropy that any choice under the caps has, by a linear program of convex costs.

    The k-th unit in a bin costs k log k - (k-1) log (k-1), so that a bin of t costs t log t; marginal costs grow, so
    units are filled in order, and the constraints are a network's, so the optimum is whole.
    """
    num_clips, num_bins = available.shape
    sent = np.minimum(cap, available.sum(axis=1))
    height = int(min(sent.sum(), 3 * sent.sum() // num_bins))
    picks, steps = np.arange(num_clips * num_bins), np.arange(num_bins * height)
    k = np.arange(1, height + 1, dtype=float)
    marginal = k * np.log(k) - np.where(k > 1, (k - 1) * np.log(np.maximum(k - 1, 1)), 0)
    rows = np.concatenate([picks // num_bins, num_clips + picks % num_bins, num_clips + steps // height])
    columns = np.concatenate([picks, picks, len(picks) + steps])
    values = np.concatenate([np.ones(2 * len(picks)), -np.ones(len(steps))])
    matrix = coo_matrix((values, (rows, columns)), shape=(num_clips + num_bins, len(picks) + len(steps))).tocsr()
    bounds = [(0, n) for n in available.ravel()] + [(0, 1)] * len(steps)
    cost = np.concatenate([np.zeros(len(picks)), np.tile(marginal, num_bins)])
    solved = linprog(cost, A_eq=matrix, b_eq=np.concatenate([sent, np.zeros(num_bins)]), bounds=bounds)
    if not solved.success:
        raise SystemExit(f"the linear program was not solved: {solved.message}")
    return entropy(solved.x[len(picks) :].reshape(num_bins, height).sum(axis=1))


def hold_against_optimum(out: Path, rng: np.random.Generator) -> str:
    """Select from some clips of the table; say how its flatness stands to the best there is."""
    from curation.selection.pairs import select_pairs

    parts = sorted((out / FLOW).glob("part-*.parquet"))
    chosen = [parts[place] for place in rng.permutation(len(parts))[:12]]
    table = pa.concat_tables([pq.read_table(path, columns=["clip_key", "motion_px"]) for path in chosen])
    keys, codes = np.unique(table["clip_key"].cast(pa.string()).to_numpy(), return_inverse=True)
    some = rng.permutation(len(keys))[:_CLIPS_SOLVED]
    motion = table["motion_px"].to_numpy().astype(np.float64)
    fits = (motion >= 2) & (motion <= 20) & np.isin(codes, some)
    bins = np.minimum(motion[fits].astype(int), 19) - 2
    available = np.zeros((len(keys), 18), np.int64)
    np.add.at(available, (codes[fits], bins), 1)
    found = select_pairs(chosen, dict.fromkeys(keys[some].tolist(), "train"), CurationConfig())["train"]
    reached, best = entropy(np.array(found.kept_histogram)), best_entropy(available[some], 10)
    return (
        f"{len(some)} clips, {found.pairs.num_rows:,} pairs: entropy {reached:.6f}, the solver's {best:.6f}, "
        f"ratio {reached / best:.6f}; log 18 is {np.log(18):.6f}"
    )


def main() -> None:
    """Draw what is missing, then measure."""
    parser = argparse.ArgumentParser(description="Time plan and selection on a large flow table.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=100_000_000)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not (args.folder / MANIFEST).exists():
        args.folder.mkdir(parents=True, exist_ok=True)
        draw_dataset(args.folder, args.pairs, args.clips, args.seed)
    num_bytes = sum(path.stat().st_size for path in (args.folder / FLOW).iterdir())
    print(f"{args.pairs:,} pairs wanted, {args.clips:,} clips, {num_bytes / 1e9:.2f} GB of Parquet")
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f} at the start\n")
    plan = [str(Path(sys.executable).with_name("pix2gif")), "plan", str(args.folder)]
    select = [sys.executable, "-c", _SELECT, str(args.folder)]
    printed = []
    print("| | seconds | processor seconds | GiB at most |\n|---|---|---|---|")
    for name, words in (
        ("plan, its own options", plan),
        ("plan, 3 to 15 px, 20 a GIF", [*plan, "--min-motion", "3", "--max-motion", "15", "--pairs-per-gif", "20"]),
        ("selection", select),
    ):
        said, figures = measured(words)
        print(f"| {name} | {figures} |", flush=True)
        printed.append(said)
    print("\n" + hold_against_optimum(args.folder, np.random.default_rng(args.seed)))
    print(json.dumps(printed[-1]))


if __name__ == "__main__":
    main()
