"""Members of one name in several archives -> uris that differ."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from curation.archives.location import problem


def make_unique(batches: list[pa.RecordBatch], names: Sequence[str], *, has_rows: bool) -> Iterator[pa.RecordBatch]:
    """Yield rows with places, with a uri of its own for each place.

    Where one uri is that of several places, it becomes `ARCHIVE/uri`, in a Parquet file `ARCHIVE/GROUP/ROW/uri`.
    Where an archive has two members of a name, neither is read. `names` are those of the archives, by number;
    `has_rows` says whether they are Parquet files. Empties the list of batches.
    """
    repeated = _find_repeated(_collect(batches))
    if not len(repeated):
        while batches:
            yield batches.pop(0)  # So that it is not in memory with the table that is made of it.
        return
    renamed = [_rename(batch, repeated, names, has_rows) for batch in batches]
    twice = _find_repeated(_collect(renamed))
    for batch in renamed:
        yield _mark(batch, twice)


def _collect(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches([batch.select(["uri", "place"]) for batch in batches])


def _find_repeated(rows: pa.Table) -> pa.Array:
    """Return the uris with more than one place."""
    counts = rows.group_by("uri").aggregate([("place", "count_distinct")])
    return counts.filter(pc.greater(counts["place_count_distinct"], 1))["uri"].combine_chunks()


def _rename(batch: pa.RecordBatch, repeated: pa.Array, names: Sequence[str], has_rows: bool) -> pa.RecordBatch:
    is_repeated = pc.is_in(batch["uri"], value_set=repeated).to_pylist()
    uris = batch["uri"].to_pylist()
    for row, (place, found) in enumerate(zip(batch["place"].to_pylist(), is_repeated, strict=True)):
        number, _, rest = place.partition(":")
        if found and number.isdecimal():
            inside = f"{rest.replace(':', '/')}/" if has_rows else ""
            uris[row] = f"{names[int(number)]}/{inside}{uris[row]}"
    return batch.set_column(batch.schema.get_field_index("uri"), "uri", pa.array(uris, pa.string()))


def _mark(batch: pa.RecordBatch, twice: pa.Array) -> pa.RecordBatch:
    places = pc.if_else(
        pc.is_in(batch["uri"], value_set=twice), problem("its archive has two members of this name"), batch["place"]
    )
    return batch.set_column(batch.schema.get_field_index("place"), "place", places)
