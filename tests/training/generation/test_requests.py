import pytest

from training.generation.errors import GenerationError
from training.generation.requests import read_requests


def test_tsv_and_jsonl_rows_are_equivalent(tmp_path):
    (tmp_path / "rows.tsv").write_text("a.v2.png\ta cat\n\nb/c.jpg\ta dog\t2,4\n")
    (tmp_path / "rows.jsonl").write_text(
        '{"image": "a.v2.png", "prompt": "a cat"}\n\n{"image": "b/c.jpg", "prompt": "a dog", "motion": [2, 4]}\n'
    )
    requests = read_requests(tmp_path / "rows.tsv")
    assert requests == read_requests(tmp_path / "rows.jsonl")
    assert [request.name for request in requests] == ["0001-a_v2", "0003-c"]
    assert requests[1].image == tmp_path / "b" / "c.jpg"
    assert [request.motion_px for request in requests] == [None, (2, 4)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.tsv", "", "no rows"),
        ("x.tsv", "a.png\ta cat\nb.png\n", "row 2: 1 fields"),
        ("x.tsv", "a.png\ta cat\tfast\n", "not a list of numbers"),
        ("x.jsonl", "[]\n", 'row 1: write {"image"'),
        ("x.jsonl", '{"image": 3, "prompt": ""}\n', 'row 1: write {"image"'),
    ],
)
def test_invalid_rows_raise(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(GenerationError, match=message):
        read_requests(tmp_path / name)
