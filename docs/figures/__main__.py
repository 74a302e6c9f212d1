"""Draw the figures of docs/ from the program's own code on drawn data: `python -m docs.figures [FOLDER]`."""

import sys
from pathlib import Path

from docs.figures import data_order, kernel, pairs, selection, warping
from docs.figures.style import save

FIGURES = {
    "pairs.png": pairs.draw,
    "kernel.png": kernel.draw,
    "selection.png": selection.draw,
    "warping.png": warping.draw,
    "data-order.png": data_order.draw,
}


def main() -> None:
    """Draw every figure into the folder, docs/images unless told."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        save(draw(), folder / name)


if __name__ == "__main__":
    main()
