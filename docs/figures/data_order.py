"""Which sample stands where in the training, for several numbers of processes and across a stop."""

import itertools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from docs.figures.style import INK
from training.data.order import SampleOrder, draw_flips, micro_batches

SHARD_SIZES, SEED, GLOBAL_BATCH = (6, 10, 4), 0, 8
RUNS = (
    ("1 process", [(0, 1, 4)]),
    ("2 processes", [(0, 2, 4)]),
    ("4 processes", [(0, 4, 4)]),
    ("1 process, stopped,\nthen 4 processes", [(0, 1, 2), (16, 4, 2)]),
)
"""(what, [(start position, processes, steps)])."""


def draw() -> Figure:
    """Draw a row a run: a cell is a position, its number the sample, a frame what one process reads of a step."""
    order = SampleOrder(SHARD_SIZES, seed=SEED)
    figure = Figure(figsize=(9.6, 2.5))
    axes = figure.subplots()
    for row, (_, legs) in enumerate(RUNS):
        for start, world_size, num_steps in legs:
            for rank, step in itertools.product(range(world_size), range(num_steps)):
                _draw_share(axes, order, row, start + step * GLOBAL_BATCH, rank, world_size)
    axes.set(xlim=(-0.1, 32.1), ylim=(len(RUNS) - 0.4, -0.9))
    axes.set_yticks(np.arange(len(RUNS)) + 0.25, [name for name, _ in RUNS])
    axes.set_xticks([0, 8, 16, 24, 32], ["position 0", "8", "16", "24", "32"])
    axes.axvline(order.num_samples, color="#b91c1c", linewidth=1.5)
    axes.text(order.num_samples + 0.2, -0.45, "second epoch", color="#b91c1c")
    axes.text(0, -0.45, f"{order.num_samples} samples, 8 a step; cells with a corner are mirrored")
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    figure.tight_layout()
    return figure


def _draw_share(axes: Axes, order: SampleOrder, row: int, first: int, rank: int, world_size: int) -> None:
    """Draw what one rank reads of one step, as `micro_batches` hands it out."""
    share = GLOBAL_BATCH // world_size
    chosen = {"rank": rank, "world_size": world_size, "global_batch": GLOBAL_BATCH, "micro_batch": share}
    positions = next(micro_batches(first, **chosen, num_steps=1))
    flips = draw_flips(SEED, positions)
    for position, sample, flipped in zip(positions, order.samples_at(positions), flips, strict=True):
        hue = sample / order.num_samples
        axes.add_patch(Rectangle((position, row), 1, 0.55, color=_pale(hue), linewidth=0))
        axes.text(position + 0.5, row + 0.3, str(sample), ha="center", va="center", fontsize=8)
        if flipped:
            axes.fill([position, position + 0.35, position], [row, row, row + 0.2], color=INK, linewidth=0)
    axes.add_patch(Rectangle((positions[0], row), share, 0.55, fill=False, edgecolor=INK, linewidth=1.2))


def _pale(hue: float) -> tuple[float, float, float]:
    return tuple(0.78 + 0.2 * np.cos(2 * np.pi * (hue + np.array([0, 1 / 3, 2 / 3]))))
