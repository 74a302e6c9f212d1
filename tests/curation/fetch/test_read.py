"""fetch_bytes on local paths, and what it refuses. Objects are in test_object_stores."""

from pathlib import Path

import pytest

from curation.fetch import FetchError, TooManyBytesError, fetch_bytes

LIMIT = 1_000_000


def test_fetch_bytes_reads_a_file_up_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF89a and more")
    assert fetch_bytes(str(tmp_path / "a.gif"), 15) == b"GIF89a and more"
    with pytest.raises(TooManyBytesError, match="15 bytes, more than the limit of 14"):
        fetch_bytes(str(tmp_path / "a.gif"), 14)


@pytest.mark.parametrize("scheme", ["http", "https", "ftp", "data", "file"])
def test_fetch_bytes_refuses_web_urls(scheme: str) -> None:
    with pytest.raises(FetchError, match=f"{scheme}:// locations cannot be read by a worker"):
        fetch_bytes(f"{scheme}://host/a.gif", LIMIT)


def test_missing_file_folder_and_invalid_name_fail(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"there is no file .*gone\.gif"):
        fetch_bytes(str(tmp_path / "gone.gif"), LIMIT)
    with pytest.raises(FetchError, match="is not a file"):
        fetch_bytes(str(tmp_path), LIMIT)
    for name in ("a\0.gif", "long" * 100, "\N{SLICE OF PIZZA}" * 100):
        with pytest.raises(FetchError, match=r"\w"):
            fetch_bytes(str(tmp_path / name), LIMIT)
