"""What each stage found -> one verdict for every row of the listing; the books must close."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.decode.probe_results import ProbeResults
from curation.flow.measure_results import MeasureResults
from curation.listing.catalog import Catalog
from curation.selection.duplicates import describe_copy
from curation.selection.near_copies import Copy
from curation.selection.pairs import Selection
from shards.schema import CLIPS_SCHEMA, Verdict

_VERDICTS = tuple(Verdict)
_ROWS_AT_A_TIME = 16_384


@dataclasses.dataclass(frozen=True, kw_only=True)
class Accounts:
    """What became of every clip, in columns, by the clips' numbers: each array is [clips]."""

    catalog: Catalog
    probed: ProbeResults
    copies: Mapping[str, Copy]
    verdicts: NDArray[np.int8]
    """Places in the contract's list of verdicts."""
    details: Mapping[int, str]
    """The reason in words that a stage gave; most clips have none."""
    num_frames: NDArray[np.int32]
    """-1 where it is not known."""
    num_pairs: NDArray[np.int64]
    num_in_range: NDArray[np.int64]
    num_kept: NDArray[np.int64]
    config: CurationConfig

    def verdict(self, number: int) -> Verdict:
        """Tell what became of a clip."""
        return _VERDICTS[int(self.verdicts[number])]

    def detail(self, number: int) -> str | None:
        """Tell why, in words."""
        verdict, detail = self.verdict(number), self.details.get(number)
        if verdict is Verdict.DUPLICATE:
            copy, clips = self.copies[self.catalog.clips.keys_in_order[number]], self.catalog.clips
            original = clips.number(copy.original)
            row = int(clips.first_rows[original])
            return describe_copy(copy, clips.split(number), clips.split(original), row)
        if verdict is not Verdict.NO_PAIR_IN_RANGE:
            return detail
        motion = f"[{self.config.min_motion:g}, {self.config.max_motion:g}]"
        reason = f"{self.num_in_range[number]} of {self.num_pairs[number]} pairs have motion in {motion}"
        reason += f", fewer than {self.config.min_pairs}" if self.num_in_range[number] else ""
        return f"{reason}; {detail}" if detail else reason

    def failed(self, most: int) -> list[int]:
        """Give the numbers of the first clips that were not kept, by verdict."""
        failed = np.flatnonzero(self.verdicts != _VERDICTS.index(Verdict.KEPT))
        first: list[int] = failed[np.argsort(self.verdicts[failed], kind="stable")][:most].tolist()
        return first


def judge(
    catalog: Catalog,
    probed: ProbeResults,
    measured: MeasureResults,
    selections: Mapping[str, Selection],
    copies: Mapping[str, Copy],
    config: CurationConfig,
) -> Accounts:
    """Give every clip its verdict. Raises RuntimeError where a clip was not even looked at."""
    clips = catalog.clips
    if not probed.verdicts.is_known.all():
        raise RuntimeError(f"{clips.keys_in_order[np.argmin(probed.verdicts.is_known)]} was not looked at")
    num_in_range, num_kept = (np.zeros(len(clips), dtype=np.int64) for _ in range(2))
    for selection in selections.values():
        num_in_range[clips.find_numbers(selection.clip_keys)] = selection.num_in_range
        num_kept[clips.find_numbers(selection.clip_keys)] = selection.num_kept
    is_measured = measured.verdicts.is_known
    verdicts = np.where(num_kept > 0, _VERDICTS.index(Verdict.KEPT), _VERDICTS.index(Verdict.NO_PAIR_IN_RANGE))
    for place, verdict in enumerate(_VERDICTS):
        in_probe = probed.verdicts.find(verdict)
        verdicts[in_probe[~is_measured[in_probe]]] = place
        verdicts[measured.verdicts.find(verdict)] = place
    verdicts[clips.find_numbers(list(copies))] = _VERDICTS.index(Verdict.DUPLICATE)
    return Accounts(
        catalog=catalog,
        probed=probed,
        copies=copies,
        verdicts=verdicts.astype(np.int8),
        details={
            **{number: words for number, words in probed.verdicts.details.items() if not is_measured[number]},
            **measured.verdicts.details,
        },
        num_frames=np.where(is_measured, measured.num_frames, probed.num_frames),
        num_pairs=np.where(is_measured, measured.num_pairs, 0).astype(np.int64),
        num_in_range=num_in_range,
        num_kept=num_kept,
        config=config,
    )


def list_rows(accounts: Accounts) -> Iterator[pa.RecordBatch]:
    """Yield one row for every row of the listing, CLIPS_SCHEMA; further rows of a clip are merged into its first."""
    first = 1
    for batch in accounts.catalog.rows.to_batches(max_chunksize=_ROWS_AT_A_TIME):
        yield _describe_rows(accounts, batch, np.arange(first, first + batch.num_rows))
        first += batch.num_rows


def _describe_rows(accounts: Accounts, listed: pa.RecordBatch, rows: NDArray[np.int64]) -> pa.RecordBatch:
    """Describe some rows of the listing (ROWS_SCHEMA), given their numbers from 1."""
    clips, probed = accounts.catalog.clips, accounts.probed
    numbers = listed["clip"].to_numpy()
    is_merged = clips.first_rows[numbers] != rows
    verdicts = np.where(is_merged, _VERDICTS.index(Verdict.MERGED), accounts.verdicts[numbers])
    each = list(zip(numbers.tolist(), is_merged.tolist(), strict=True))
    keys = [clips.keys_in_order[number] for number, _ in each]
    details = [
        f"the same clip as row {clips.first_rows[number]}" if merged else accounts.detail(number)
        for number, merged in each
    ]
    originals = [
        None if merged or key not in accounts.copies else accounts.copies[key].original
        for key, (_, merged) in zip(keys, each, strict=True)
    ]
    sizes = (probed.width, probed.height, accounts.num_frames)
    counts = (accounts.num_pairs, accounts.num_in_range, accounts.num_kept)
    columns = [
        rows,
        listed["uri"],
        listed["caption"],
        keys,
        [clips.split(number) for number, _ in each],
        [_VERDICTS[place].value for place in verdicts.tolist()],
        details,
        [None if merged else probed.digest(number) for number, merged in each],
        *(pa.array(size[numbers], mask=is_merged | (size[numbers] < 0)) for size in sizes),
        *(np.where(is_merged, 0, count[numbers]) for count in counts),
        originals,
    ]
    return pa.record_batch(
        [
            pa.array(column, field.type) if not isinstance(column, pa.Array) else column
            for column, field in zip(columns, CLIPS_SCHEMA, strict=True)
        ],
        schema=CLIPS_SCHEMA,
    )
