import pytest

from training.generation.errors import GenerationError
from training.generation.requests import read_requests


def test_rows_with_tabs_and_rows_of_json_are_the_same(tmp_path):
    (tmp_path / "rows.tsv").write_text("a.v2.png\ta cat\n\nb/c.jpg\ta dog\t2,4\n")
    (tmp_path / "rows.jsonl").write_text(
        '{"image": "a.v2.png", "prompt": "a cat"}\n\n{"image": "b/c.jpg", "prompt": "a dog", "motion": [2, 4]}\n'
    )
    rows = read_requests(tmp_path / "rows.tsv")
    assert rows == read_requests(tmp_path / "rows.jsonl")
    assert [row.name for row in rows] == ["0001-a_v2", "0003-c"]
    assert rows[1].image == tmp_path / "b" / "c.jpg"
    assert [row.motion_px for row in rows] == [None, (2, 4)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.tsv", "", "no rows"),
        ("x.tsv", "a.png\ta cat\nb.png\n", "row 2: 1 fields"),
        ("x.tsv", "a.png\ta cat\tfast\n", "no list of numbers"),
        ("x.jsonl", "[]\n", 'row 1: write {"image"'),
        ("x.jsonl", '{"image": 3, "prompt": ""}\n', 'row 1: write {"image"'),
    ],
)
def test_rows_that_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(GenerationError, match=message):
        read_requests(tmp_path / name)
