import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from shards.verify import verify_dataset


@pytest.fixture(scope="module")
def without_numba(listing, tmp_path_factory):
    """A data set made by a process in which Numba cannot be imported."""
    out = tmp_path_factory.mktemp("plain") / "out"
    code = (
        "import sys\n"
        "sys.modules['numba'] = sys.modules['llvmlite'] = None\n"
        "import cli\n"
        f"sys.argv = ['pix2gif-curate', {str(listing)!r}, '--out', {str(out)!r}, '--workers', '0', '--quiet']\n"
        "cli.curate_main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return out


def flow_rows(out):
    order = [(name, "ascending") for name in ("clip_key", "source_index", "target_index")]
    rows = ds.dataset(out / "flow", format="parquet").to_table()
    return rows.set_column(0, "clip_key", rows["clip_key"].cast(pa.string())).sort_by(order)


def test_without_numba_the_definition_measures_the_same(dataset, without_numba):
    verify_dataset(without_numba)
    ours, plain = flow_rows(dataset), flow_rows(without_numba)
    for name in ("clip_key", "source_index", "target_index", "gap_ms"):
        assert ours[name].to_pylist() == plain[name].to_pylist()
    apart = np.abs(ours["motion_px"].to_numpy() - plain["motion_px"].to_numpy())
    assert np.median(apart) <= 0.002
    assert np.quantile(apart, 0.99) <= 0.2


def test_a_table_of_one_kernel_is_not_taken_for_the_others(dataset, without_numba):
    def method(out):
        return pq.read_metadata(next((out / "flow").iterdir())).metadata[b"pix2gif.method"]

    assert method(dataset) != method(without_numba)
