"""Results of all stages -> one verdict for each clip, and one row of clips.parquet for each row of the listing."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.decode.probe_results import ProbeResults
from curation.flow.measure_results import MeasureResults
from curation.listing.catalog import Catalog
from curation.listing.clips import ROWS_SCHEMA
from curation.selection.duplicates import Duplicate
from curation.selection.pairs import Selection
from shards.interface.credentials import redact
from shards.schema import CLIPS_SCHEMA, Verdict

_VERDICTS = tuple(Verdict)
_ROWS_PER_BATCH = 16_384


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipVerdicts:
    """The verdict and counts of every clip, in columns indexed by clip number: each array is [clips]."""

    catalog: Catalog
    probed: ProbeResults
    duplicates: Mapping[str, Duplicate]
    """By clip key."""
    verdicts: NDArray[np.int8]
    """Positions in the enumeration Verdict."""
    details: Mapping[int, str]
    """Reasons given by the stages, by clip number; most clips have none."""
    num_frames: NDArray[np.int32]
    """-1 where unknown."""
    num_pairs: NDArray[np.int64]
    num_in_range: NDArray[np.int64]
    num_kept: NDArray[np.int64]
    config: CurationConfig

    def describe(self, number: int) -> str | None:
        """Return the reason for a clip's verdict in words, or None if there is none to give."""
        verdict, detail = _VERDICTS[int(self.verdicts[number])], self.details.get(number)
        if verdict is Verdict.DUPLICATE:
            clips = self.catalog.clips
            duplicate = self.duplicates[clips.keys_in_order[number]]
            original = clips.number(duplicate.original)
            return duplicate.describe(clips.split(number), clips.split(original), int(clips.first_rows[original]))
        if verdict is not Verdict.NO_PAIR_IN_RANGE:
            return detail
        motion = f"[{self.config.min_motion:g}, {self.config.max_motion:g}]"
        reason = f"{self.num_in_range[number]} of {self.num_pairs[number]} pairs have motion in {motion}"
        reason += f", fewer than {self.config.min_pairs}" if self.num_in_range[number] else ""
        return f"{reason}; {detail}" if detail else reason


def assign_verdicts(
    catalog: Catalog,
    probed: ProbeResults,
    measured: MeasureResults,
    selections: Mapping[str, Selection],
    duplicates: Mapping[str, Duplicate],
    config: CurationConfig,
) -> ClipVerdicts:
    """Assign a verdict to every clip. Raises RuntimeError if a clip was not probed."""
    clips = catalog.clips
    if not probed.verdicts.is_known.all():
        raise RuntimeError(f"{clips.keys_in_order[np.argmin(probed.verdicts.is_known)]} was not probed")
    num_in_range, num_kept = (np.zeros(len(clips), dtype=np.int64) for _ in range(2))
    for selection in selections.values():
        numbers = clips.find_numbers(selection.clip_keys)
        num_in_range[numbers], num_kept[numbers] = selection.num_in_range, selection.num_kept
    is_measured = measured.verdicts.is_known
    verdicts = np.where(num_kept > 0, _VERDICTS.index(Verdict.KEPT), _VERDICTS.index(Verdict.NO_PAIR_IN_RANGE))
    for position, verdict in enumerate(_VERDICTS):
        by_probe = probed.verdicts.find(verdict)
        verdicts[by_probe[~is_measured[by_probe]]] = position
        verdicts[measured.verdicts.find(verdict)] = position
    verdicts[clips.find_numbers(list(duplicates))] = _VERDICTS.index(Verdict.DUPLICATE)
    return ClipVerdicts(
        catalog=catalog,
        probed=probed,
        duplicates=duplicates,
        verdicts=verdicts.astype(np.int8),
        details={
            **{number: detail for number, detail in probed.verdicts.details.items() if not is_measured[number]},
            **measured.verdicts.details,
        },
        num_frames=np.where(is_measured, measured.num_frames, probed.num_frames),
        num_pairs=np.where(is_measured, measured.num_pairs, 0).astype(np.int64),
        num_in_range=num_in_range,
        num_kept=num_kept,
        config=config,
    )


def make_clip_rows(verdicts: ClipVerdicts) -> Iterator[pa.RecordBatch]:
    """Yield one row (CLIPS_SCHEMA) for every row of the listing, in batches.

    The first row of a clip has its verdict and counts; every further one is `merged`.
    """
    first = 1
    for batch in verdicts.catalog.rows.to_batches(max_chunksize=_ROWS_PER_BATCH):
        yield _make_batch(verdicts, batch, np.arange(first, first + batch.num_rows))
        first += batch.num_rows


def _make_batch(verdicts: ClipVerdicts, listed: pa.RecordBatch, rows: NDArray[np.int64]) -> pa.RecordBatch:
    """Make the rows for a batch of the listing (ROWS_SCHEMA) with these row numbers, from 1."""
    clips, probed = verdicts.catalog.clips, verdicts.probed
    numbers = listed["clip"].to_numpy()
    is_merged = clips.first_rows[numbers] != rows
    positions = np.where(is_merged, _VERDICTS.index(Verdict.MERGED), verdicts.verdicts[numbers])
    clip_keys = [clips.keys_in_order[number] for number in numbers.tolist()]
    merged_numbers = list(zip(numbers.tolist(), is_merged.tolist(), strict=True))
    duplicates = [
        None if merged else verdicts.duplicates.get(key)
        for key, merged in zip(clip_keys, is_merged.tolist(), strict=True)
    ]
    sizes = {"width": probed.width, "height": probed.height, "num_frames": verdicts.num_frames}
    counts = {name: getattr(verdicts, name) for name in ("num_pairs", "num_in_range", "num_kept")}
    columns = {
        "row": rows,
        "uri": listed["uri"] if verdicts.config.keep_credentials else _redact(listed["uri"]),
        "caption": listed["caption"],
        "clip_key": clip_keys,
        "split": [clips.split(number) for number in numbers.tolist()],
        "verdict": [_VERDICTS[position].value for position in positions.tolist()],
        "detail": [
            f"the same clip as row {clips.first_rows[number]}" if merged else verdicts.describe(number)
            for number, merged in merged_numbers
        ],
        "sha256": [None if merged else probed.digest(number) for number, merged in merged_numbers],
        **{name: pa.array(size[numbers], mask=is_merged | (size[numbers] < 0)) for name, size in sizes.items()},
        **{name: np.where(is_merged, 0, count[numbers]) for name, count in counts.items()},
        "duplicate_of": [duplicate.original if duplicate else None for duplicate in duplicates],
        "duplicate_kind": [duplicate.kind if duplicate else None for duplicate in duplicates],
        "format": [None if merged else probed.format(number) for number, merged in merged_numbers],
    }
    arrays = [
        column if isinstance(column := columns[field.name], pa.Array) else pa.array(column, field.type)
        for field in CLIPS_SCHEMA
    ]
    schema = clips_schema(verdicts.catalog)
    for field in list(schema)[len(CLIPS_SCHEMA) :]:
        is_url = pa.types.is_string(field.type) and not verdicts.config.keep_credentials
        arrays.append(_redact(listed[field.name]) if is_url else listed[field.name])
    return pa.record_batch(arrays, schema=schema)


def clips_schema(catalog: Catalog) -> pa.Schema:
    """Return the schema of clips.parquet: the contract's columns, then those of the listing that are kept."""
    kept = [field for field in catalog.rows.schema if field.name not in ROWS_SCHEMA.names]
    return pa.schema([*CLIPS_SCHEMA, *(pa.field(field.name, field.type) for field in kept)])


def _redact(uris: pa.Array) -> pa.Array:
    if not pc.any(pc.match_substring(uris, "://")).as_py():
        return uris
    return pa.array((uri if uri is None else redact(uri) for uri in uris.to_pylist()), pa.string())
