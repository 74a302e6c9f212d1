"""Render `report.html`, what a person looks at first: in comes a `Report`, out goes one HTML page.

The page is whole in itself: style, charts and pictures stand in it, it asks the network for nothing and runs
no script. Whatever comes from the data set is escaped by the template. The same report gives the same bytes.
"""

import base64
import functools
import json
import math
from dataclasses import dataclass

import jinja2

VERDICTS_IN_WORDS = {
    "kept": "pairs of this clip are in the shards",
    "merged": "a further row of a clip that an earlier row stands for: its caption was added there",
    "duplicate": "another URI with the same pictures stands for it",
    "fetch_failed": "the bytes could not be had",
    "not_a_gif": "an HTML page, an XML error, a JPEG: anything but a GIF",
    "still": "one frame, or all frames alike",
    "undecodable": "a GIF by its first bytes, but not two sound frames in it",
    "too_large": "beyond a limit on bytes, pixels or frames",
    "no_pair_in_range": "measured, but no pair of frames moves as much, or as little, as was asked for",
    "crashed": "the decoder died of it",
    "timed_out": "not done by the deadline",
}


@dataclass(frozen=True, kw_only=True)
class ShownPair:
    """A kept pair with its pictures, as the page shows it."""

    key: str
    """The sample's key."""
    caption: str
    """The sample's caption, as listed."""
    split: str
    """The split that the sample is in."""
    motion_px: float
    """The pair's motion, in pixels."""
    gap_ms: int
    """Time from the source to the target, in milliseconds."""
    source: bytes
    """The source as an encoded picture."""
    target: bytes
    """The target as an encoded picture, of the source's size."""
    mime: str = "image/jpeg"
    """Media type of both pictures."""


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """What one split holds, and its motion before and after the selection."""

    name: str
    """train, val or test."""
    num_clips: int
    """Clips with at least one sample."""
    num_samples: int
    """Samples in all shards of the split."""
    num_shards: int
    """Shards of the split."""
    num_bytes: int
    """Bytes of all its shards together."""
    in_range_histogram: tuple[int, ...]
    """Pairs in the motion range before the selection; unit-wide bins from `Report.first_bin` on."""
    kept_histogram: tuple[int, ...]
    """Pairs that were kept, in the same bins."""

    def __post_init__(self) -> None:
        """Raise ValueError where the two histograms do not have the same bins."""
        if len(self.in_range_histogram) != len(self.kept_histogram):
            bins = f"{len(self.in_range_histogram)} and {len(self.kept_histogram)} bins"
            raise ValueError(f"split {self.name!r}: histograms of {bins}; they must have the same")


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the page says; it measures and counts nothing itself."""

    title: str
    """Name of the data set, the heading of the page."""
    listing: str
    """Where the listing was read."""
    num_rows: int
    """Rows of the listing."""
    num_clips: int
    """Clips of the listing: its rows less the merged ones."""
    verdicts: dict[str, int]
    """Rows by verdict, in the contract's order."""
    details: tuple[tuple[str, str, str], ...]
    """Verdict, URI and reason in words of the first failures."""
    num_pairs_measured: int
    """Rows of the flow table."""
    num_pairs_in_range: int
    """Measured pairs whose motion is in the range."""
    num_pairs_kept: int
    """Pairs written to shards."""
    motion_range_px: tuple[float, float]
    """Least and largest motion that may be kept, both ends included."""
    motion_histogram: tuple[int, ...]
    """All measured pairs in unit-wide bins from 0 on; the last bin N holds `N and more`."""
    first_bin: int
    """Where the first bin of the splits' histograms begins; bin b holds [b, b + 1)."""
    flatness: float | None
    """Entropy of the kept motion histogram over that of a uniform one; None where nothing was kept."""
    splits: tuple[SplitSummary, ...]
    """The splits, in the order in which they are shown."""
    pairs: tuple[ShownPair, ...]
    """The pairs to look at, in the order in which they are shown."""
    stages: tuple[tuple[str, float], ...]
    """Name and wall-clock seconds of each stage, in the order in which they ran."""
    config: dict[str, object]
    """Every parameter of the run, by name."""
    software: dict[str, str]
    """Versions, by name."""

    def __post_init__(self) -> None:
        """Raise ValueError where a verdict is none of the contract's."""
        found = {*self.verdicts, *(verdict for verdict, _, _ in self.details)}
        if unknown := sorted(found - VERDICTS_IN_WORDS.keys()):
            raise ValueError(f"verdicts: {', '.join(unknown)}; allowed are {', '.join(VERDICTS_IN_WORDS)}")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A vertical axis from 0 to `top`, with round numbers on it."""

    top: float
    """The largest value that is drawn to scale; positive."""
    ticks: tuple[float, ...]
    """Where the lines are, 0 and at most five more."""

    def share(self, value: float) -> float:
        """Give the height of a bar as a share of the axis, in [0, 1]."""
        return min(value / self.top, 1.0)


def axis_for(values: tuple[float, ...], least_step: float = 0.0) -> Axis:
    """Make an axis on which every value fits, but for a first or last one that would flatten all the others.

    The motion histogram's ends gather what did not move and what moved too far. Where one is more than three
    times as high as all between them, the axis ends above the rest; the chart cuts that bar, and says so.
    """
    highest, inner = max(values, default=0), max(values[1:-1], default=0)
    highest = (1.15 * inner if highest > 3 * inner > 0 else highest) or 1
    magnitude = 10.0 ** math.floor(math.log10(highest / 5))
    step = next(step for factor in (1, 2, 5, 10) if (step := magnitude * factor) * 5 >= highest * (1 - 1e-9))
    step = max(step, least_step)
    return Axis(top=1.05 * highest, ticks=tuple(step * i for i in range(6) if step * i <= 1.01 * highest))


def shares(counts: tuple[int, ...]) -> tuple[float, ...]:
    """Divide every count by their sum; all zero where there is nothing to divide."""
    total = sum(counts) or 1
    return tuple(count / total for count in counts)


def in_percent(part: float, whole: float = 1) -> str:
    """Write a share in percent: one digit after the point below ten, `0 %` of nothing."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.1f} %" if 0 < percent < 9.95 else f"{percent:.0f} %"


def in_units(num_bytes: int) -> str:
    """Write a number of bytes in the largest decimal unit that leaves a digit before the point."""
    if num_bytes < 1000:
        return f"{num_bytes} B"
    power = min((len(str(num_bytes)) - 1) // 3, 4)
    return f"{num_bytes / 1000**power:.1f} {'kMGT'[power - 1]}B"


def in_time(seconds: float) -> str:
    """Write a duration: `0.42 s`, `12.3 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02d} min"


@functools.cache
def load_template() -> jinja2.Template:
    """Compile the page's template, which lies beside this module; an unknown name in it raises."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("curation", ""), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {
        "thousands": lambda number: f"{number:,}",
        "counted": lambda number, noun: f"{number:,} {noun}{'' if number == 1 else 's'}",
        "in_units": in_units,
        "in_time": in_time,
        "shares": shares,
        "as_json": lambda value: json.dumps(value, ensure_ascii=False, default=str),
        "data_uri": lambda data, mime: f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}",
    }
    environment.globals |= {"in_percent": in_percent, "axis_for": axis_for}
    return environment.get_template("report.html.jinja")


def render_report(report: Report) -> str:
    """Render the page, UTF-8 when written: no timestamp, no reference outside itself."""
    return load_template().render(report=report, in_words=VERDICTS_IN_WORDS)
