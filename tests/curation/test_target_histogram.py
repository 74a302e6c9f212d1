"""What the histogram shall look like: words, or a file that is checked before anything is done."""

import json

import pytest

from curation.config import CurationConfig
from curation.errors import ConfigError
from curation.target_histogram import check_balance, compute_bin_weights, describe_balance, read_balance


def write_target(path, edges, counts):
    path.write_text(json.dumps({"bin_edges": edges, "counts": counts}))
    return str(path)


def test_words_are_taken_as_they_are():
    assert [read_balance(word) for word in ("flat", "none")] == ["flat", "none"]
    assert compute_bin_weights("flat", range(2, 20)) is None
    assert len({describe_balance(word) for word in ("flat", "none", "2:1,3")}) == 3


def test_a_file_becomes_text_that_holds_all_of_it_and_is_taken_again(tmp_path):
    text = read_balance(write_target(tmp_path / "target.json", [2, 4, 5], [783184, 0.125]))
    assert text == "2:783184,4:0.125,5"
    assert read_balance(text) == text
    assert CurationConfig(balance=text).balance == text


def test_a_wide_bin_shares_its_weight_and_what_lies_outside_is_unwanted():
    weights = compute_bin_weights("2:4,4:1,5", [1, 2, 3, 4, 5])
    assert weights is not None
    assert weights[1:4] == (2.0, 2.0, 1.0)
    assert 0 < weights[0] == weights[4] < 1e-9


def test_where_nothing_there_is_wanted_all_is_wanted_alike():
    assert compute_bin_weights("2:1,3", [7, 8]) is None


@pytest.mark.parametrize("text", ["round", "2:1", "2:-1,3", "2:0,3", "3:1,2", "2:nan,3", "2:inf,3", "2:x,3", ""])
def test_what_is_no_target_is_refused(text):
    with pytest.raises(ConfigError, match="balance is"):
        check_balance(text)
    with pytest.raises(ConfigError, match="balance is"):
        CurationConfig(balance=text)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("no json", "not JSON"),
        ("[1, 2]", "no target"),
        ('{"bin_edges": [2, 3], "counts": [1, 2]}', "no target"),
        ('{"bin_edges": [2.5, 3], "counts": [1]}', "no target"),
    ],
)
def test_a_file_that_holds_none_is_refused_by_name(tmp_path, content, sentence):
    (tmp_path / "target.json").write_text(content)
    with pytest.raises(ConfigError, match=rf"target\.json: {sentence}"):
        read_balance(str(tmp_path / "target.json"))


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="'flatt'; it must be flat, none, or a JSON file"):
        read_balance("flatt")
