"""Render tables as Markdown, CSV and LaTeX."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

from shards.storage.atomic import write_atomically

Cell = float | int | str | None
_MISSING = "-"
_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table with one header row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    """None is a missing value: not published, not measured, or not defined."""
    notes: tuple[str, ...] = ()
    """Remarks for the reader. CSV omits them."""


def to_markdown(table: Table) -> str:
    """Render a table as Markdown, with its notes below."""
    alignment = ["---", *["---:"] * (len(table.columns) - 1)]
    lines = [f"# {table.title}", "", _format_row(table.columns), _format_row(alignment)]
    lines += [_format_row([_format_cell(cell).replace("|", "\\|") for cell in row]) for row in table.rows]
    lines += [line for note in table.notes for line in ("", note)]
    return "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """Render a table as CSV with all digits; missing values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(["" if cell is None else cell for cell in row] for row in table.rows)
    return text.getvalue()


def to_latex(table: Table) -> str:
    """Render a table as a LaTeX `tabular`, with its notes as comments. It needs the package booktabs."""
    rows = [[_escape(_format_cell(cell)) for cell in row] for row in table.rows]
    lines = [
        *(f"% {note}" for note in (table.title, *table.notes)),
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        " & ".join(map(_escape, table.columns)) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def write_table(table: Table, out: Path, stem: str) -> None:
    """Write OUT/STEM.md, .csv and .tex."""
    for suffix, text in ((".md", to_markdown(table)), (".csv", to_csv(table)), (".tex", to_latex(table))):
        with write_atomically(out / f"{stem}{suffix}") as temporary:
            temporary.write_text(text, encoding="utf-8")


def _format_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _format_cell(cell: Cell) -> str:
    if cell is None:
        return _MISSING
    if isinstance(cell, float):
        return f"{cell:.2f}" if abs(cell) >= 100 else f"{cell:.4f}"
    return str(cell)


def _escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
