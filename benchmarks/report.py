"""Measure time, memory and size of the report of a synthetic data set of 800,000 samples.

    python -m benchmarks.report FOLDER [--pairs 100000000] [--clips 80000] [--seed 0]

Creates in FOLDER, unless present: a random flow table, and shards that are hard links to a few random ones.
Prints the time of each step of the report, the size of the page, peak memory, and the load times in Chromium.
The report's pass over the flow table is compared with selection, which reads the same table.
"""

import collections
import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from playwright.sync_api import sync_playwright

from benchmarks.helpers import describe_machine, make_parser, read_peak_mb, summarize
from curation.config import CurationConfig
from curation.flow.measure import method_digest
from curation.flow.table import write_part
from curation.inspection.report.clip_stats import (
    count_funnel,
    summarize_duplicates,
    summarize_failures,
    summarize_sizes,
)
from curation.inspection.report.gather import Sources, gather_report
from curation.inspection.report.motion_stats import count_measured_pairs
from curation.inspection.report.page import render_report
from curation.inspection.report.sample_pairs import read_sample_pairs
from curation.listing.names import clip_key
from curation.run.progress import StageTime
from curation.selection.pair_counts import compute_bin_edges
from curation.selection.pairs import Selection, select_pairs
from shards.manifest import ListingEntry, Manifest, MotionHistogram, ShardEntry, SplitEntry
from shards.schema import CLIPS_SCHEMA, FLOW_SCHEMA, Sample, SampleRecord, Verdict
from shards.writer import shard_name, write_shard

Result = TypeVar("Result")
_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_PAIRS_PER_PART = 200_000
_NUM_UNIQUE_SHARDS = 4
_SAMPLES_PER_SHARD = 1000
_NUM_LOADS = 7
_WORDS = (
    "a", "man", "cat", "dog", "ball", "car", "runs", "falls", "turns", "waves", "smiles", "slowly", "left", "right",
)  # fmt: skip


def write_flow(folder: Path, keys: list[str], num_pairs: int, rng: np.random.Generator) -> None:
    """Write a flow table: equally many pairs per clip, heavy-tailed motion that grows with the gap."""
    per_clip = num_pairs // len(keys)
    clips_per_part = max(1, _PAIRS_PER_PART // per_clip)
    side = int((2 * per_clip) ** 0.5) + 2
    sources, targets = (index[:per_clip].astype(np.int32) for index in np.triu_indices(side, k=1))
    for first in range(0, len(keys), clips_per_part):
        part = keys[first : first + clips_per_part]
        source, target = np.tile(sources, len(part)), np.tile(targets, len(part))
        speed = np.repeat(rng.lognormal(0.6, 1.0, len(part)), per_clip)
        motion = speed * (target - source) ** 0.45 * rng.lognormal(0.0, 0.3, len(source))
        columns = {
            "clip_key": pa.DictionaryArray.from_arrays(np.repeat(np.arange(len(part), dtype=np.int32), per_clip), part),
            "source_index": source, "target_index": target, "gap_ms": (target - source) * 100,
            "motion_px": np.where(motion < 1, 0, np.minimum(motion, 300)).astype(np.float32),
            "tracked_fraction": np.ones(len(source), np.float32), "across_cut": rng.random(len(source)) < 0.05,
        }  # fmt: skip
        write_part(folder, method_digest(CurationConfig()), [], [pa.table(columns, schema=FLOW_SCHEMA)])


def make_clips(keys: list[str], num_pairs: int, rng: np.random.Generator) -> pa.Table:
    """Make clips.parquet: the measured clips, and half as many failed rows and duplicates."""
    num_rows = len(keys) * 3 // 2
    failures = (Verdict.FETCH_FAILED, Verdict.NOT_A_GIF, Verdict.STILL, Verdict.UNDECODABLE, Verdict.DUPLICATE)
    rows = []
    for number in range(num_rows):
        row = {"row": number + 1, "uri": f"https://example.invalid/{number:06d}.gif", "split": "train"}
        row |= {"caption": " ".join(rng.choice(_WORDS, 8)), "num_pairs": 0, "num_in_range": 0, "num_kept": 0}
        if number < len(keys):
            sizes = {"width": int(rng.integers(100, 600)), "height": int(rng.integers(80, 400)), "num_frames": 40}
            row |= {"clip_key": keys[number], "verdict": Verdict.KEPT, "num_pairs": num_pairs // len(keys), **sizes}
            row |= {"num_in_range": 10, "num_kept": 10, "split": split_of(keys[number])}
        else:
            verdict = failures[number % len(failures)]
            detail = f"HTTP {rng.choice([403, 404, 410, 500])} after {number} ms"
            row |= {"clip_key": f"c{number}", "verdict": verdict, "detail": detail}
            if verdict is Verdict.DUPLICATE:
                row |= {"duplicate_of": keys[number % min(997, len(keys))], "duplicate_kind": "exact"}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=CLIPS_SCHEMA)


def split_of(key: str) -> str:
    """Assign one clip in ten to val."""
    return "val" if key.endswith(("0", "1")) and key[-2] in "02468" else "train"


def write_shards(folder: Path, rng: np.random.Generator) -> list[Path]:
    """Write a few shards of random pictures that compress about as well as photographs."""
    pictures = []
    for _ in range(40):
        noise = rng.normal(size=(256, 256, 3)).astype(np.float32)
        layers = [cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1.0, 4.0, 16.0)]
        image = np.clip(128 + 60 * sum(layers), 0, 255).astype(np.uint8)
        pictures.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    paths = []
    for number in range(_NUM_UNIQUE_SHARDS):
        samples = (make_sample(rng, pictures, number, place) for place in range(_SAMPLES_PER_SHARD))
        paths.append(folder / f"unique-{number}.tar")
        write_shard(paths[-1], samples)
    return paths


def make_sample(rng: np.random.Generator, pictures: list[bytes], number: int, place: int) -> Sample:
    """Make one sample."""
    caption = " ".join(rng.choice(_WORDS, 8))
    record = SampleRecord(
        caption=caption, captions=(caption,), motion_px=float(rng.uniform(2, 20)), source_index=place % 30,
        target_index=40, gap_ms=1000, clip_key=clip_key(f"{number}-{place}.gif"), split="train", uri=f"{place}.gif",
    )  # fmt: skip
    source, target = (pictures[k] for k in rng.choice(len(pictures), 2, replace=False))
    return Sample(record=record, source=source, target=target, image_format="jpg")


def link_shards(out: Path, unique: list[Path], selections: dict[str, Selection]) -> dict[str, SplitEntry]:
    """Create every shard of the selections as a hard link to one of the unique ones."""
    splits = {}
    for split, selection in selections.items():
        (out / split).mkdir(exist_ok=True)
        entries = []
        for number in range(selection.pairs.num_rows // _SAMPLES_PER_SHARD):
            path, source = out / split / shard_name(number), unique[number % len(unique)]
            if not path.exists():
                os.link(source, path)
            entries.append(
                ShardEntry(name=path.name, num_samples=_SAMPLES_PER_SHARD, num_bytes=source.stat().st_size, sha256="")
            )
        splits[split] = SplitEntry(
            num_samples=_SAMPLES_PER_SHARD * len(entries), num_clips=len(selection.num_in_range), shards=tuple(entries),
            motion_histogram=MotionHistogram(
                bin_edges=compute_bin_edges(CurationConfig()), counts=selection.kept_histogram
            ),
        )  # fmt: skip
    return splits


def count_motion_sequentially(parts: list[Path]) -> None:
    """Baseline: read whole parts one after the other, and count motion only."""
    counts = np.zeros(301, dtype=np.int64)
    for path in parts:
        counts += np.bincount(pq.read_table(path)["motion_px"].to_numpy().astype(np.int64), minlength=301)


def measure_time(name: str, work: Callable[[], Result], times: dict[str, float]) -> Result:
    """Call `work`, record and print its time in seconds, and return its result."""
    start = time.perf_counter()
    result = work()
    times[name] = time.perf_counter() - start
    print(f"{name:36}{times[name]:9.2f} s", flush=True)
    return result


def open_page(path: Path) -> Iterator[dict[str, float]]:
    """Open the page in several new browsers. Yields milliseconds to first paint, to usable, and to filter."""
    with sync_playwright() as driver:
        for _ in range(_NUM_LOADS):
            browser = driver.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.add_init_script(
                "new MutationObserver(() => { if (document.documentElement?.classList.contains('with-script'))"
                " window.usable ??= performance.now(); }).observe(document, {subtree: true, attributes: true});"
            )
            page.goto(path.as_uri())
            page.wait_for_function("() => window.usable")
            paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
            page.wait_for_function(f"() => {paint}")
            status = page.locator("#status").inner_text()
            start = time.perf_counter()
            page.locator("[name=text]").fill("cat")
            page.wait_for_function("before => document.querySelector('#status').innerText !== before", arg=status)
            filtered = (time.perf_counter() - start) * 1000
            yield {"first paint": page.evaluate(paint), "usable": page.evaluate("usable"), "filtered": filtered}
            browser.close()


def main() -> None:
    """Create the data set, make the report, open it, print all measurements."""
    parser = make_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=100_000_000)
    parser.add_argument("--clips", type=int, default=80_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(describe_machine("numpy", "pyarrow"))
    rng, flow = np.random.default_rng(args.seed), args.folder / "flow"
    keys = [clip_key(f"https://example.invalid/{number:06d}.gif") for number in range(args.clips)]
    if not flow.exists():
        write_flow(flow, keys, args.pairs, rng)
    unique = sorted(args.folder.glob("unique-*.tar")) or write_shards(args.folder, rng)
    clips, parts = make_clips(keys, args.pairs, rng), sorted(flow.glob("*.parquet"))
    times: dict[str, float] = {}
    config, split_of_clip = CurationConfig(), {key: split_of(key) for key in keys}
    selections = measure_time("selection", lambda: select_pairs(parts, split_of_clip, config), times)
    memory_before_mb = read_peak_mb()
    splits = link_shards(args.folder, unique, selections)
    measure_time("report: flow table", lambda: count_measured_pairs(parts), times)
    summaries = (count_funnel, lambda table: summarize_failures(table, []), summarize_duplicates, summarize_sizes)
    measure_time("baseline: sequential motion count", lambda: count_motion_sequentially(parts), times)
    measure_time("report: clips.parquet", lambda: [summarize(clips) for summarize in summaries], times)
    measure_time("report: sample pairs", lambda: read_sample_pairs(args.folder, splits), times)
    manifest = Manifest(
        listing=ListingEntry(uri="listing.tsv", sha256="", num_rows=clips.num_rows), config=dataclasses.asdict(config),
        software={}, verdicts=dict(collections.Counter(clips["verdict"].to_pylist())), splits=splits,
    )  # fmt: skip
    sources = Sources(
        out=args.folder, config=config, clips=clips, parts=parts, flatness=1.0, quarantined=[],
        kept={split: selection.pairs for split, selection in selections.items()},
        in_range_histograms={split: selection.in_range_histogram for split, selection in selections.items()},
        stages=(StageTime(name="measure", seconds=1.0, num_done=args.pairs, unit="pairs"),),
    )  # fmt: skip
    report = measure_time("report: all contents", lambda: gather_report(sources, manifest), times)
    html = measure_time("report: rendering", lambda: render_report(report), times)
    (args.folder / "report.html").write_text(html, encoding="utf-8")
    print(f"{sum(entry.num_samples for entry in splits.values()):,} samples, {len(html.encode()):,} bytes of HTML")
    print(f"peak memory: {memory_before_mb:,.0f} MB after selection, {read_peak_mb():,.0f} MB after the report")
    for other in ("selection", "baseline: sequential motion count"):
        print(f"flow table of the report: {times['report: flow table'] / times[other]:.2f} times {other}")
    loads = list(open_page(args.folder / "report.html"))
    for name in loads[0]:
        print(f"{name:12} {summarize([load[name] for load in loads], '.0f')} ms")


if __name__ == "__main__":
    main()
