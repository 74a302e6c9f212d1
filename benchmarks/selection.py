"""Time `pix2gif plan` and selection on a drawn flow table, and compare the histogram with a solver's optimum.

    python -m benchmarks.selection FOLDER [--pairs 100000000] [--clips 100000] [--seed 0]

Writes a finished data set without shards into FOLDER, unless it exists: clips.parquet, dataset.json and a flow table,
with heavy-tailed clip lengths and motions. Prints wall time, processor time and peak memory of each command, and
compares the kept histogram of a subsample with the optimum that scipy's linear program finds.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.helpers import PIX2GIF, describe_machine, make_parser, print_header, print_row
from curation.config import CurationConfig
from curation.flow.measure import method_digest
from curation.flow.table import Measurement, write_part
from curation.listing.names import clip_key
from curation.run.versions import software_versions
from curation.selection.pairs import select_pairs
from shards.files import describe_files
from shards.manifest import ListingEntry, Manifest, MotionHistogram, ShardEntry, SplitEntry, write_manifest
from shards.schema import CLIPS, CLIPS_SCHEMA, FLOW, FLOW_SCHEMA, MANIFEST, REPORT, Verdict
from tests.curation.selection.helpers import best_entropy, entropy

_PAIRS_PER_PART = 200_000
_FRAMES = (14, 572)
"""The shortest and the longest GIF of TGIF."""
_CLIPS_SOLVED = 300


def draw_lengths(rng: np.random.Generator, num_clips: int, num_pairs: int) -> NDArray[np.int64]:
    """Draw the number of frames of each clip, int64 [clips]: log-normal, scaled to `num_pairs` pairs in total."""
    shape = rng.lognormal(0.0, 0.65, num_clips)
    frames = np.full(num_clips, _FRAMES[0], np.int64)
    low, high = 1.0, 1000.0
    while high - low > 1e-3:
        scale = (low + high) / 2
        frames = np.clip(np.rint(shape * scale), *_FRAMES).astype(np.int64)
        low, high = (scale, high) if (frames * (frames - 1) // 2).sum() < num_pairs else (low, scale)
    return frames


def draw_motion(
    rng: np.random.Generator, sources: NDArray[np.int32], targets: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Draw the motion of a clip's pairs, float32 [pairs]: a random speed, growing with the gap."""
    speed, growth = rng.lognormal(0.6, 1.0), rng.uniform(0.0, 0.9)
    motion = speed * (targets - sources) ** growth * rng.lognormal(0.0, 0.3, len(sources))
    motion[(motion < 1) | (rng.random(len(motion)) < 0.03)] = 0  # Only displacements above 1 px count as motion.
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
    """Draw a data set and write it into `out`."""
    rng = np.random.default_rng(seed)
    config = CurationConfig()
    frames = draw_lengths(rng, num_clips, num_pairs)
    uris = [f"https://example.invalid/{number:06d}.gif" for number in range(num_clips)]
    keys = [clip_key(uri) for uri in uris]
    measurements: list[Measurement] = []
    tables: list[pa.Table] = []
    room = _PAIRS_PER_PART
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


def _write_clips(
    out: Path, uris: list[str], keys: list[str], frames: NDArray[np.int64], rng: np.random.Generator
) -> None:
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
    (out / REPORT).write_text("", encoding="utf-8")
    entry = SplitEntry(num_samples=kept, num_clips=num_clips, motion_histogram=histogram, shards=(shard,))
    write_manifest(
        out,
        Manifest(
            listing=ListingEntry(uri="drawn.tsv", sha256="0" * 64, num_rows=num_clips),
            config={**vars(config), "split_lists": {}},
            software=software_versions(),
            verdicts={Verdict.KEPT.value: num_clips},
            splits={"train": entry},
            files=describe_files(out, REPORT),
        ),
    )


def run_command(words: list[str]) -> tuple[str, list[str]]:
    """Run a command; return its output, and its wall time, processor time and peak memory as cells of a table."""
    start = time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)  # noqa: S603
    printed = child.stdout.read() if child.stdout else ""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{words} ended with {child.returncode}")
    wall = time.perf_counter() - start
    return printed, [f"{wall:.1f}", f"{usage.ru_utime + usage.ru_stime:.1f}", f"{usage.ru_maxrss / 2**20:.2f}"]


def select(out: Path) -> None:
    """Select from the whole flow table and print the time and the kept histograms."""
    clips = pq.read_table(out / CLIPS, columns=["clip_key", "split"]).to_pylist()
    parts = sorted((out / FLOW).glob("part-*.parquet"))
    start = time.perf_counter()
    selections = select_pairs(parts, {clip["clip_key"]: clip["split"] for clip in clips}, CurationConfig())
    num_pairs = sum(selection.pairs.num_rows for selection in selections.values())
    print(f"{time.perf_counter() - start:.1f} s, {num_pairs:,} pairs")
    print({split: selection.kept_histogram for split, selection in selections.items()})


def compare_with_optimum(out: Path, rng: np.random.Generator) -> str:
    """Select from a subsample of the table; describe its entropy and the optimum."""
    parts = sorted((out / FLOW).glob("part-*.parquet"))
    chosen = [parts[place] for place in rng.permutation(len(parts))[:12]]
    table = pa.concat_tables([pq.read_table(path, columns=["clip_key", "motion_px"]) for path in chosen])
    keys, codes = np.unique(table["clip_key"].cast(pa.string()).to_numpy(), return_inverse=True)
    sampled = rng.permutation(len(keys))[:_CLIPS_SOLVED]
    motion = table["motion_px"].to_numpy().astype(np.float64)
    fits = (motion >= 2) & (motion <= 20) & np.isin(codes, sampled)
    bins = np.minimum(motion[fits].astype(int), 19) - 2
    available = np.zeros((len(keys), 18), np.int64)
    np.add.at(available, (codes[fits], bins), 1)
    selection = select_pairs(chosen, dict.fromkeys(keys[sampled].tolist(), "train"), CurationConfig())["train"]
    reached, best = (
        entropy(np.array(selection.kept_histogram)),
        best_entropy(available[sampled], 10, max_total=30 * len(sampled) // 18),
    )
    return (
        f"{len(sampled)} clips, {selection.pairs.num_rows:,} pairs: entropy {reached:.6f}, the solver's {best:.6f}, "
        f"ratio {reached / best:.6f}; log 18 is {np.log(18):.6f}"
    )


def main() -> None:
    """Draw the data set if it is missing, run the commands and print the results."""
    parser = make_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=100_000_000)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--select", action="store_true", help="Only select, in this process.")
    args = parser.parse_args()
    if args.select:
        select(args.folder)
        return
    if not (args.folder / MANIFEST).exists():
        args.folder.mkdir(parents=True, exist_ok=True)
        draw_dataset(args.folder, args.pairs, args.clips, args.seed)
    num_bytes = sum(path.stat().st_size for path in (args.folder / FLOW).iterdir())
    print(describe_machine("numpy", "pyarrow"))
    print(f"{args.pairs:,} pairs requested, {args.clips:,} clips, {num_bytes / 1e9:.2f} GB of Parquet.\n")
    plan = [PIX2GIF, "plan", str(args.folder)]
    selection = [sys.executable, "-m", "benchmarks.selection", str(args.folder), "--select"]
    outputs = []
    print_header("", "wall time, s", "processor time, s", "peak memory, GiB")
    for name, words in (
        ("plan, options of the data set", plan),
        ("plan, 3 to 15 px, 20 a GIF", [*plan, "--min-motion", "3", "--max-motion", "15", "--pairs-per-gif", "20"]),
        ("selection", selection),
    ):
        output, figures = run_command(words)
        print_row(name, *figures)
        outputs.append(output)
    print("\n" + compare_with_optimum(args.folder, np.random.default_rng(args.seed)))
    print(json.dumps(outputs[-1]))


if __name__ == "__main__":
    main()
