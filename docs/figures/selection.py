"""A plain draw and the flat one, of the same drawn flow table, by the selection that curation runs."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from curation.config import CurationConfig
from curation.flow.table import FlowPart, write_part
from curation.selection.pairs import compute_quotas
from docs.figures.style import ACCENT, INK, PALE
from shards.schema import FLOW_SCHEMA

NUM_CLIPS, NUM_FRAMES = 600, 24


def draw() -> Figure:
    """Draw the histograms of what is in range, of a plain draw and of the flat one, with the same caps."""
    splits = {f"clip-{number:04d}": "train" for number in range(NUM_CLIPS)}
    config = CurationConfig()
    with tempfile.TemporaryDirectory() as folder:
        path = _draw_table(Path(folder), list(splits)).path
        plain = compute_quotas([path], splits, dataclasses.replace(config, balance="none"))["train"]
        flat = compute_quotas([path], splits, config)["train"]
    figure = Figure(figsize=(9.6, 2.8))
    shown = (
        ("in range", plain.in_range_histogram, PALE),
        ("plain draw, 10 a GIF at most", plain.kept_histogram, INK),
        ("as flat as that allows", flat.kept_histogram, ACCENT),
    )
    bins = np.arange(config.min_motion, config.max_motion) + 0.5
    panels = figure.subplots(1, 3)
    panels[1].sharey(panels[2])
    for axes, (title, counts, colour) in zip(panels, shown, strict=True):
        axes.bar(bins, counts, width=0.9, color=colour)
        axes.set(title=f"{title}: {sum(counts):,} pairs", xlabel="motion (px)", xticks=(2, 5, 10, 15, 20))
    figure.tight_layout()
    return figure


def _draw_table(folder: Path, keys: list[str]) -> FlowPart:
    """Draw clips that glide at their own speed, most of them slowly, as GIFs of the web do."""
    rng = np.random.default_rng(0)
    sources, targets = np.triu_indices(NUM_FRAMES, 1)
    tables = []
    for key in keys:
        motion = rng.lognormal(-1.2, 1.0) * (targets - sources) * rng.uniform(0.8, 1.2, len(sources))
        columns = {
            "clip_key": pa.array([key] * len(sources)).dictionary_encode(),
            "source_index": sources.astype(np.int32),
            "target_index": targets.astype(np.int32),
            "gap_ms": (100 * (targets - sources)).astype(np.int32),
            "motion_px": motion.astype(np.float32),
            "tracked_fraction": np.ones(len(sources), np.float32),
            "across_cut": np.zeros(len(sources), bool),
        }
        tables.append(pa.table(columns, schema=FLOW_SCHEMA))
    return write_part(folder, "drawn", [], tables)
