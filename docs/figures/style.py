"""How the figures look, so that they read as one hand: on white, legible on light and dark pages."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

INK, ACCENT, PALE = "#1f2937", "#0f766e", "#cbd5e1"

mpl.rcParams.update(
    {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": INK,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "savefig.dpi": 160,
    }
)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, the same bytes for the same content: no date, no version."""
    figure.savefig(path, metadata={"Software": None}, facecolor="white", bbox_inches="tight", pad_inches=0.12)
