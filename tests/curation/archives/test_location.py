"""The location of a member is one string that no path and no URL of a listing has."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.archives.location import (
    Archive,
    Archives,
    find_file,
    find_reason,
    is_member,
    is_remote,
    parse_member,
    problem,
)

texts = st.text(st.characters(codec="utf-8"), min_size=1)


@given(texts, texts, st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_any_archive_and_column_is_read_back(path: str, column: str, first: int, second: int) -> None:
    archives = Archives([Archive(kind="parquet", location=f"/{path}", column=column)])
    location = archives.locate(f"0:{first}:{second}")
    member = parse_member(location)
    assert (member.first, member.second, member.column) == (first, second, column)
    assert str(member.archive) == str(Path(f"/{path}")) or "://" in path
    assert is_member(location)
    assert not is_remote(location)


@pytest.mark.parametrize(
    ("location", "is_far", "file"),
    [
        ("/data/a.gif", False, "/data/a.gif"),
        ("https://h/a.gif", True, None),
        ("member:tar:512:10::/data/0.tar", False, "/data/0.tar"),
        ("member:zip:0:10::s3://bucket/gifs.zip", False, None),
        ("unreadable:https://h/giphy.gif fits two files", False, None),
    ],
)
def test_only_what_must_be_fetched_is_remote(location: str, is_far: bool, file: str | None) -> None:
    assert (is_remote(location), find_file(location)) == (is_far, file)


def test_a_place_may_say_why_there_are_no_bytes() -> None:
    assert find_reason(Archives().locate(problem("two: files"))) == "two: files"
    assert find_reason("/data/a.gif") is None


def test_a_place_in_a_folder_is_a_path() -> None:
    assert Archives([Archive(kind="folder", location="/data")]).locate("0:sub/a:b.gif") == "/data/sub/a:b.gif"
