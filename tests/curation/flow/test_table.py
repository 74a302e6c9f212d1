"""Flow parts are read back as written; damaged ones are skipped."""

import os
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.flow.table import FlowPart, Measurement, read_clips, read_part, read_parts, read_rows, write_part
from shards.schema import FLOW_SCHEMA, Verdict

METHOD = "opencv at 256"


def make_measurement(key: str, num_pairs: int = 3, verdict: Verdict | None = None) -> Measurement:
    """Return the measurement of a clip."""
    return Measurement(
        clip_key=key,
        sha256=key * 4,
        verdict=verdict,
        detail="all 3 frames are alike" if verdict else None,
        width=320,
        height=240,
        num_frames=3,
        num_pairs=num_pairs,
    )


def make_rows(key: str, num_pairs: int = 3) -> pa.Table:
    """Return rows of the flow table whose motion depends on the key."""
    n = range(num_pairs)
    keys = pa.array([key] * num_pairs).dictionary_encode()
    columns = [keys, [0] * num_pairs, [k + 1 for k in n], [100 * k for k in n], [len(key) + k / 8 for k in n]]
    return pa.table([*columns, [1.0] * num_pairs, [False] * num_pairs], schema=FLOW_SCHEMA)


@pytest.fixture
def part(tmp_path: Path) -> FlowPart:
    """A part with two measured clips and a still one."""
    measurements = [make_measurement("a"), make_measurement("bb", 2000), make_measurement("c", 0, Verdict.STILL)]
    return write_part(tmp_path / "flow", METHOD, measurements, [make_rows("a"), make_rows("bb", 2000)])


def test_part_is_read_back_as_written(part: FlowPart) -> None:
    assert read_part(part.path, METHOD) == part
    assert list(read_parts(part.path.parent, METHOD)) == [part]
    rows = read_rows(part.path)
    assert rows.schema.equals(FLOW_SCHEMA)
    assert rows.to_pylist() == make_rows("a").to_pylist() + make_rows("bb", 2000).to_pylist()


def test_part_name_depends_on_clips_and_method(tmp_path: Path) -> None:
    def name(method: str, *keys: str) -> str:
        return write_part(tmp_path, method, [make_measurement(key) for key in keys], [make_rows("a")]).path.name

    assert name(METHOD, "a", "b") == name(METHOD, "a", "b")
    assert len({name(METHOD, "a", "b"), name(METHOD, "a"), name("another", "a")}) == 3


def test_part_without_rows_has_measurements(tmp_path: Path) -> None:
    part = write_part(tmp_path, METHOD, [make_measurement("c", 0, Verdict.STILL)], [])
    assert read_part(part.path, METHOD) == part
    assert read_rows(part.path).num_rows == 0


def test_part_of_another_method_is_skipped(part: FlowPart) -> None:
    assert read_part(part.path, "opencv at 64") is None
    assert list(read_parts(part.path.parent, "opencv at 64")) == []


def test_truncated_part_is_skipped(part: FlowPart) -> None:
    data = part.path.read_bytes()
    for length in (0, 4, 100, len(data) // 2, len(data) - 1):
        part.path.write_bytes(data[:length])
        assert read_part(part.path, METHOD) is None


def test_foreign_files_are_skipped(tmp_path: Path) -> None:
    pq.write_table(make_rows("a"), tmp_path / "part-0.parquet")
    pq.write_table(make_rows("a").replace_schema_metadata({"pix2gif.method": METHOD}), tmp_path / "part-1.parquet")
    (tmp_path / "part-2.parquet").write_text("not Parquet")
    (tmp_path / "part-3.parquet").mkdir()
    assert list(read_parts(tmp_path, METHOD)) == []


@pytest.mark.parametrize("column", range(len(FLOW_SCHEMA)), ids=FLOW_SCHEMA.names)
def test_flipped_bit_in_any_column_fails_its_checksum(part: FlowPart, column: int) -> None:
    flip_in_column(part.path, column)
    with pytest.raises(OSError, match="CRC"):
        read_rows(part.path)


@pytest.mark.parametrize("column", range(len(FLOW_SCHEMA)), ids=FLOW_SCHEMA.names)
def test_part_with_a_flipped_bit_in_any_column_is_skipped(part: FlowPart, column: int) -> None:
    flip_in_column(part.path, column)
    assert read_part(part.path, METHOD) is None


def flip_in_column(path: Path, column: int) -> None:
    """Flip a bit in the last byte of a column's data."""
    chunk = pq.read_metadata(path).row_group(0).column(column)
    first = chunk.dictionary_page_offset or chunk.data_page_offset
    data = bytearray(path.read_bytes())
    data[first + chunk.total_compressed_size - 1] ^= 1
    path.write_bytes(data)


def test_rows_of_some_clips_can_be_read(part: FlowPart) -> None:
    rows = read_clips(part.path, ["bb", "c", "unknown"])
    assert rows.equals(make_rows("bb", 2000))
    assert rows["clip_key"].chunk(0).dictionary.to_pylist() == ["bb"]
    assert read_clips(part.path, []).num_rows == 0


def test_part_with_any_flipped_bit_is_skipped(part: FlowPart) -> None:
    data = part.path.read_bytes()
    for offset in range(0, len(data), 97):
        part.path.write_bytes(data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :])
        assert read_part(part.path, METHOD) is None


def test_folder_and_part_that_may_not_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = tmp_path / "part-1.parquet"
    part.touch()

    def refuse(*_: object) -> NoReturn:
        raise PermissionError(13, "Permission denied", str(part))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refuse)  # Root may read every file.
        with pytest.raises(PermissionError, match="part-1"):
            list(read_parts(tmp_path))
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="part-1"):
        list(read_parts(tmp_path))
