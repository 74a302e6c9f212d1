"""Rows of figures -> Markdown, CSV and LaTeX."""

import csv
import dataclasses
import io
from pathlib import Path

from shards.atomic import write_atomically

Cell = float | int | str | None
_NOTHING = "-"
_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table with one line of headings."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    """None is a figure that is not: not published, not measured, or not defined."""
    notes: tuple[str, ...] = ()
    """What a reader must know; in CSV they are left out."""


def to_markdown(table: Table) -> str:
    """Write a table as Markdown, notes below."""
    lines = [f"# {table.title}", "", _bar(table.columns), _bar(["---", *["---:"] * (len(table.columns) - 1)])]
    lines += [_bar([_show(cell).replace("|", "\\|") for cell in row]) for row in table.rows]
    lines += [line for note in table.notes for line in ("", note)]
    return "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """Write a table as CSV, figures in full, nothing where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(["" if cell is None else cell for cell in row] for row in table.rows)
    return text.getvalue()


def to_latex(table: Table) -> str:
    """Write a table as a LaTeX `tabular` that needs the package booktabs, notes as comments."""
    rows = [[_escape(_show(cell)) for cell in row] for row in table.rows]
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
    for ending, text in ((".md", to_markdown(table)), (".csv", to_csv(table)), (".tex", to_latex(table))):
        with write_atomically(out / f"{stem}{ending}") as temporary:
            temporary.write_text(text, encoding="utf-8")


def _bar(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _show(cell: Cell) -> str:
    if cell is None:
        return _NOTHING
    if isinstance(cell, float):
        return f"{cell:.2f}" if abs(cell) >= 100 else f"{cell:.4f}"
    return str(cell)


def _escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
