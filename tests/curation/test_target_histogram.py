"""A balance is a word, or a target histogram from a file that is validated when it is read."""

import json

import pytest

from curation.config import CurationConfig
from curation.errors import ConfigError
from curation.target_histogram import check_balance, compute_bin_weights, describe_balance, read_balance


def write_target(path, edges, counts):
    path.write_text(json.dumps({"bin_edges": edges, "counts": counts}))
    return str(path)


def test_words_are_returned_unchanged():
    assert [read_balance(word) for word in ("flat", "none")] == ["flat", "none"]
    assert compute_bin_weights("flat", range(2, 20)) is None
    assert len({describe_balance(word) for word in ("flat", "none", "2:1,3")}) == 3


def test_file_becomes_text_that_the_config_accepts(tmp_path):
    text = read_balance(write_target(tmp_path / "target.json", [2, 4, 5], [783184, 0.125]))
    assert text == "2:783184,4:0.125,5"
    assert read_balance(text) == text
    assert CurationConfig(balance=text).balance == text


def test_wide_bin_divides_its_weight_and_bins_outside_get_almost_none():
    weights = compute_bin_weights("2:4,4:1,5", [1, 2, 3, 4, 5])
    assert weights is not None
    assert weights[1:4] == (2.0, 2.0, 1.0)
    assert 0 < weights[0] == weights[4] < 1e-9


def test_bins_outside_the_target_alone_have_equal_weights():
    assert compute_bin_weights("2:1,3", [7, 8]) is None


@pytest.mark.parametrize("text", ["round", "2:1", "2:-1,3", "2:0,3", "3:1,2", "2:nan,3", "2:inf,3", "2:x,3", ""])
def test_invalid_target_raises_config_error(text):
    with pytest.raises(ConfigError, match="balance is"):
        check_balance(text)
    with pytest.raises(ConfigError, match="balance is"):
        CurationConfig(balance=text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "is not valid JSON"),
        ("[1, 2]", "is not a target histogram"),
        ('{"bin_edges": [2, 3], "counts": [1, 2]}', "is not a target histogram"),
        ('{"bin_edges": [2.5, 3], "counts": [1]}', "is not a target histogram"),
    ],
)
def test_invalid_file_raises_config_error_with_its_name(tmp_path, content, message):
    (tmp_path / "target.json").write_text(content)
    with pytest.raises(ConfigError, match=rf"target\.json {message}"):
        read_balance(str(tmp_path / "target.json"))


def test_missing_file_raises_config_error():
    with pytest.raises(ConfigError, match="'flatt'; it must be flat, none, or a JSON file"):
        read_balance("flatt")
