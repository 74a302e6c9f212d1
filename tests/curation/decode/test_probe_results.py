"""The last recorded result of a clip is returned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.config import CurationConfig
from curation.decode.probe import ProbedClip
from curation.decode.probe_results import ProbeResults
from curation.flow.measure_results import MeasureResults
from curation.flow.table import Measurement
from curation.listing.catalog import Catalog, read_catalog
from curation.options import RunOptions
from shards.schema import Verdict


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Three clips."""
    folder = tmp_path_factory.mktemp("listing")
    listing = b"a.gif\tcaption\nb.gif\tcaption\nc.gif\tcaption\n"
    return read_catalog(listing, RunOptions(listing=folder / "listing.tsv", out=folder / "out"), CurationConfig())


counts = st.none() | st.integers(0, 2**31 - 1)
results = st.builds(
    dict,
    sha256=st.none() | st.binary(min_size=32, max_size=32).map(bytes.hex),
    width=counts,
    height=counts,
    num_frames=counts,
    verdict=st.none() | st.sampled_from(Verdict),
    detail=st.none() | st.text("0aé, ", max_size=20),
)


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), results), max_size=8))
def test_last_probe_result_of_each_clip_is_returned(
    catalog: Catalog, entries: list[tuple[int, bool, dict[str, object]]]
) -> None:
    probed, expected, keys = ProbeResults(catalog.clips), {}, list(catalog.clips)
    for number, is_cached, result in entries:
        path = f"/cache/{number}" if is_cached else catalog.clips[keys[number]].location
        expected[keys[number]] = ProbedClip(clip_key=keys[number], path=path, **result)
        probed.record(expected[keys[number]])
    assert dict(probed) == expected
    assert list(probed) == [key for key in keys if key in expected]
    assert [keys[number] for number in probed.usable] == [key for key in probed if expected[key].verdict is None]


def test_clip_without_a_result_raises_key_error(catalog: Catalog) -> None:
    probed = ProbeResults(catalog.clips)
    with pytest.raises(KeyError):
        probed[next(iter(catalog.clips))]
    assert "not in the listing" not in probed


def test_sizes_are_those_of_the_given_clips(catalog: Catalog) -> None:
    probed, keys = ProbeResults(catalog.clips), list(catalog.clips)
    for number, key in enumerate(keys):
        probed.record(ProbedClip(clip_key=key, width=10 + number, height=20, num_frames=5 + number))
    sizes = probed.sizes(np.array([2, 0]))
    assert sizes.numbers.tolist() == [2, 0]
    assert sizes.keys.to_pylist() == [keys[2], keys[0]]
    assert (sizes.num_frames.tolist(), sizes.num_pixels.tolist()) == ([7, 5], [240, 200])
    assert sizes.num_pairs.tolist() == [probed.at(2).num_pairs, probed.at(0).num_pairs]


def test_new_measurement_replaces_the_earlier_one(catalog: Catalog) -> None:
    key = list(catalog.clips)[1]
    failed = Measurement(
        clip_key=key, sha256="", verdict=Verdict.CRASHED, detail="signal SIGSEGV", width=9, height=9, num_frames=3,
        num_pairs=0,
    )  # fmt: skip
    measured = MeasureResults(catalog.clips, [failed])
    assert measured.verdicts.find(Verdict.CRASHED).tolist() == [1]
    measured.record(
        Measurement(
            clip_key=key, sha256="", verdict=None, detail=None, width=9, height=9, num_frames=4, num_pairs=6,
            frames_sha256="ab" * 32,
        )
    )  # fmt: skip
    assert measured.usable.tolist() == [1]
    assert measured.verdicts.details == {}
    assert (measured.num_frames[1], measured.num_pairs[1]) == (4, 6)
    assert measured.frames_sha256[1].tobytes().hex() == "ab" * 32
