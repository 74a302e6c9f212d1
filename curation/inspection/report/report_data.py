"""All that the page says, as values: made by the modules beside this one, written down by `page.py`."""

from dataclasses import dataclass

from curation.run.progress import StageTime

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
    split: str
    shard: str
    """File name of the shard that it is in."""
    source_index: int
    target_index: int
    motion_px: float
    gap_ms: int
    """Time from the source to the target, in milliseconds."""
    source: bytes
    """The source as a small JPEG."""
    target: bytes
    """The target as a small JPEG."""


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Something counted before the selection and after it, in the same bins."""

    edges: tuple[int, ...]
    """One more than there are bins; bin k holds [edges[k], edges[k + 1])."""
    before: tuple[int, ...]
    after: tuple[int, ...]
    open_end: bool = False
    """Whether the last bin holds all from its lower edge on."""

    def __post_init__(self) -> None:
        """Raise ValueError where the two do not have the bins of the edges."""
        if not len(self.edges) - 1 == len(self.before) == len(self.after):
            bins = f"{len(self.before)} and {len(self.after)} bins between {len(self.edges)} edges"
            raise ValueError(f"a histogram of {bins}; each must have one bin less than there are edges")


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Counts by two values at once; the last column and the last row hold all from their lower edges on."""

    column_edges: tuple[int, ...]
    row_edges: tuple[int, ...]
    counts: tuple[tuple[int, ...], ...]
    """[columns][rows]."""


@dataclass(frozen=True, kw_only=True)
class GapMotion:
    """How motion depends on the time between the frames."""

    grid: Grid
    """Pairs by gap in milliseconds (columns) and motion in pixels (rows)."""
    spread: tuple[tuple[float, float, float] | None, ...]
    """By column the motion that 10 %, 50 % and 90 % of its pairs do not pass; None where it has no pair."""

    @property
    def middle(self) -> tuple[tuple[int, float], ...]:
        """The columns that have pairs, and the middle motion of each."""
        return tuple((column, one[1]) for column, one in enumerate(self.spread) if one)


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """What one split holds, and its motion before and after the selection."""

    name: str
    num_clips: int
    """Clips with at least one sample."""
    num_samples: int
    num_shards: int
    num_bytes: int
    """Of all its shards together."""
    motion: Histogram
    """Pairs in range and kept pairs, by motion in pixels."""


@dataclass(frozen=True, kw_only=True)
class FailedClip:
    """A clip that came to nothing."""

    row: int
    uri: str
    reason: str
    clip_key: str
    has_incident: bool
    """Whether its bytes lie in OUT/quarantine/, so that it can be replayed."""


@dataclass(frozen=True, kw_only=True)
class Failures:
    """The clips of one verdict."""

    verdict: str
    num_clips: int
    reasons: tuple[tuple[str, int], ...]
    """The most frequent reasons, and how many clips have each; `#` stands for numbers that were taken together."""
    num_reasons: int
    """Of which those are the first."""
    clips: tuple[FailedClip, ...]
    """The first of them, those that can be replayed before the others."""


@dataclass(frozen=True, kw_only=True)
class ClipCopy:
    """A clip that another one stands for."""

    row: int
    uri: str
    split: str
    how: str
    """Why it is a copy, in words."""


@dataclass(frozen=True, kw_only=True)
class CopiedClip:
    """A clip that stands for others."""

    row: int
    uri: str
    split: str
    num_copies: int
    copies: tuple[ClipCopy, ...]
    """The first of them."""


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """What in the listing stands there twice."""

    num_exact: int
    """Clips with the very pictures of another."""
    num_exact_across: int
    """Those of them whose original is in another split."""
    num_near: int
    """Clips with nearly the pictures of one in another split."""
    num_originals: int
    """Clips that stand for others."""
    originals: tuple[CopiedClip, ...]
    """Those with the most copies."""


@dataclass(frozen=True, kw_only=True)
class ClipShapes:
    """Frames and sizes of the clips that were measured."""

    frames: Histogram
    """Clips by number of frames: measured, and with kept pairs."""
    sizes: Grid
    """Measured clips by width (columns) and height (rows)."""
    spread: tuple[tuple[str, tuple[float, float, float, float, float]], ...]
    """Name of a number that each clip has: its least, 5 %, middle, 95 % and greatest among measured clips."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the page says; it measures and counts nothing itself."""

    title: str
    """Name of the data set, the heading of the page."""
    listing: str
    """Where the listing was read."""
    place: str
    """What commands call the data set: `.` where it lies on disk, so that both can be moved, else its URL."""
    clip_steps: tuple[tuple[str, int], ...]
    """From the rows of the listing to the clips with a kept pair: what is left after each step."""
    verdicts: dict[str, int]
    """Rows by verdict, in the contract's order."""
    failures: tuple[Failures, ...]
    duplicates: Duplicates
    shapes: ClipShapes | None
    """None where no clip was measured."""
    num_pairs_measured: int
    """Rows of the flow table."""
    num_pairs_in_range: int
    """Measured pairs whose motion is in the range."""
    num_pairs_kept: int
    """Pairs written to shards."""
    num_measured_across_cut: int
    """Measured pairs with a scene cut between them."""
    num_kept_across_cut: int
    motion_range_px: tuple[float, float]
    """Least and largest motion that may be kept, both ends included."""
    motion_histogram: tuple[int, ...]
    """All measured pairs in unit-wide bins from 0 on; the last bin N holds `N and more`."""
    measured_by_gap: GapMotion
    kept_by_gap: GapMotion
    flatness: float | None
    """Entropy of the kept motion histogram over that of a uniform one; None where nothing was kept."""
    splits: tuple[SplitSummary, ...]
    """The splits, in the order in which they are shown."""
    pairs: tuple[ShownPair, ...]
    """The pairs to look at, in the order in which they are shown."""
    stages: tuple[StageTime, ...]
    """In the order in which they ran."""
    config: dict[str, object]
    """Every parameter of the run, by name."""
    software: dict[str, str]
    """Versions, by name."""

    def __post_init__(self) -> None:
        """Raise ValueError where a verdict is none of the contract's."""
        found = {*self.verdicts, *(one.verdict for one in self.failures)}
        if unknown := sorted(found - VERDICTS_IN_WORDS.keys()):
            raise ValueError(f"verdicts: {', '.join(unknown)}; allowed are {', '.join(VERDICTS_IN_WORDS)}")
