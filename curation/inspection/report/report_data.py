"""Contents of the report as frozen dataclasses: computed by the other modules here, rendered by `page.py`."""

from dataclasses import dataclass

from curation.run.progress import StageTime

VERDICT_DESCRIPTIONS = {
    "kept": "pairs of this clip are in the shards",
    "merged": "another row of the same clip; its caption was added to the first row",
    "duplicate": "the same or nearly the same frames as another clip",
    "fetch_failed": "the file could not be read or downloaded",
    "not_a_gif": "no animation, for example an HTML page or a JPEG",
    "still": "one frame, or all frames identical",
    "undecodable": "an animation with fewer than two decodable frames",
    "too_large": "exceeds a limit on bytes, pixels or frames",
    "no_pair_in_range": "measured, but no pair has motion in range",
    "crashed": "the decoder crashed",
    "timed_out": "exceeded the time limit",
    "opted_out": "its owner asks not to be trained on",
}


@dataclass(frozen=True, kw_only=True)
class SamplePair:
    """A kept pair with thumbnails."""

    key: str
    """Key of the sample in its shard."""
    caption: str
    split: str
    shard: str
    """File name of the shard."""
    source_index: int
    target_index: int
    motion_px: float
    gap_ms: int
    """Time from source to target."""
    source: bytes
    """Thumbnail of the source, a JPEG."""
    target: bytes
    """Thumbnail of the target, a JPEG."""


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Two histograms over the same bins: before and after selection."""

    edges: tuple[int, ...]
    """Bin k is [edges[k], edges[k + 1])."""
    before: tuple[int, ...]
    after: tuple[int, ...]
    open_end: bool = False
    """Whether the last bin has no upper limit."""

    def __post_init__(self) -> None:
        """Raise ValueError if the number of bins does not match the edges."""
        if not len(self.edges) - 1 == len(self.before) == len(self.after):
            raise ValueError(
                f"histograms of {len(self.before)} and {len(self.after)} bins; {len(self.edges)} edges make "
                f"{len(self.edges) - 1} bins"
            )


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A two-dimensional histogram. The last column and the last row have no upper limit."""

    column_edges: tuple[int, ...]
    row_edges: tuple[int, ...]
    counts: tuple[tuple[int, ...], ...]
    """[columns][rows]."""


@dataclass(frozen=True, kw_only=True)
class MotionByGap:
    """Motion of pairs, by the time between their frames."""

    grid: Grid
    """Pairs by time gap in milliseconds (columns) and motion in pixels (rows)."""
    quantiles: tuple[tuple[float, float, float] | None, ...]
    """10 %, 50 % and 90 % quantile of motion in pixels, by column. None for a column without pairs."""

    @property
    def medians(self) -> tuple[tuple[int, float], ...]:
        """Column number and median motion of each column that has pairs."""
        return tuple((column, values[1]) for column, values in enumerate(self.quantiles) if values)


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """Counts of one split, and its motion before and after selection."""

    name: str
    num_clips: int
    """Clips with at least one sample."""
    num_samples: int
    num_shards: int
    num_bytes: int
    """Size of all shards of the split."""
    motion: Histogram
    """Pairs in range and kept pairs, by motion in pixels."""


@dataclass(frozen=True, kw_only=True)
class FailedClip:
    """A clip that gave no samples because of an error or a limit."""

    row: int
    uri: str
    reason: str
    clip_key: str
    is_quarantined: bool
    """Whether its bytes are in OUT/quarantine/ and it can be replayed."""


@dataclass(frozen=True, kw_only=True)
class Failures:
    """All clips of one verdict."""

    verdict: str
    num_clips: int
    reasons: tuple[tuple[str, int], ...]
    """The most frequent reasons with their number of clips; `#` replaces numbers where reasons were merged."""
    num_reasons: int
    """Number of all reasons."""
    clips: tuple[FailedClip, ...]
    """The first clips, quarantined ones before the others."""


@dataclass(frozen=True, kw_only=True)
class DuplicateClip:
    """A clip that was excluded as a duplicate."""

    row: int
    uri: str
    split: str
    reason: str
    """`detail` of clips.parquet."""


@dataclass(frozen=True, kw_only=True)
class OriginalClip:
    """A clip that has duplicates and was not excluded itself."""

    row: int
    uri: str
    split: str
    num_duplicates: int
    duplicates: tuple[DuplicateClip, ...]
    """The first duplicates."""


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Duplicates in the listing."""

    num_exact: int
    """Clips with the same frames as another clip."""
    num_exact_across: int
    """Exact duplicates whose original is in another split."""
    num_near: int
    """Near-duplicates of a clip in another split."""
    num_originals: int
    """Clips that have duplicates."""
    originals: tuple[OriginalClip, ...]
    """The clips with the most duplicates."""


@dataclass(frozen=True, kw_only=True)
class ClipSizes:
    """Numbers of frames and dimensions of the measured clips."""

    frames: Histogram
    """Clips by number of frames: measured clips, and clips with kept pairs."""
    dimensions: Grid
    """Measured clips by width (columns) and height (rows) in pixels."""
    quantiles: tuple[tuple[str, tuple[float, float, float, float, float]], ...]
    """Label of a quantity; its minimum, 5 % quantile, median, 95 % quantile and maximum."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """All contents of the report."""

    title: str
    """Name of the data set."""
    listing: str
    """Path or URL of the listing."""
    dataset_argument: str
    """The data set in shown commands: `.` for a local folder, which may be moved, else its URL."""
    funnel: tuple[tuple[str, int], ...]
    """Label and count of each step, from listing rows to clips with a kept pair."""
    verdicts: dict[str, int]
    """Rows by verdict, in the order of `shards.schema.Verdict`."""
    failures: tuple[Failures, ...]
    duplicates: Duplicates
    clip_sizes: ClipSizes | None
    """None if no clip was measured."""
    num_pairs_measured: int
    num_pairs_in_range: int
    num_pairs_kept: int
    num_measured_across_cut: int
    """Measured pairs with a scene cut between source and target."""
    num_kept_across_cut: int
    motion_range_px: tuple[float, float]
    """Smallest and largest motion of a kept pair, inclusive."""
    motion_histogram: tuple[int, ...]
    """Measured pairs in 1 px bins from 0. The last bin has no upper limit."""
    measured_by_gap: MotionByGap
    kept_by_gap: MotionByGap
    flatness: float | None
    """Entropy of the kept motion histogram divided by that of a uniform one. None if no pair was kept."""
    splits: tuple[SplitSummary, ...]
    pairs: tuple[SamplePair, ...]
    stages: tuple[StageTime, ...]
    """Stages in the order in which they ran."""
    config: dict[str, object]
    """All parameters of the run."""
    software: dict[str, str]
    """Versions by package name."""

    def __post_init__(self) -> None:
        """Raise ValueError for an unknown verdict."""
        verdicts = {*self.verdicts, *(failures.verdict for failures in self.failures)}
        if unknown := sorted(verdicts - VERDICT_DESCRIPTIONS.keys()):
            raise ValueError(f"unknown verdicts: {', '.join(unknown)}; allowed are {', '.join(VERDICT_DESCRIPTIONS)}")
