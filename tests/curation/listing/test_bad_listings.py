"""A mistake in a listing is one sentence that says what, where and what to do; a fault of one clip is its verdict."""

import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import ListingError
from curation.fetch.errors import FetchError
from curation.fetch.read import fetch_bytes
from curation.fetch.read_listing import read_listing
from curation.options import RunOptions
from tests.curation.listing.helpers import read, write_tar


def text(name: str, content: str | bytes) -> Callable[[Path], Path]:
    """Return a function that writes a text file."""

    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder / name

    return write


def parquet(**columns: Any) -> Callable[[Path], Path]:
    """Return a function that writes a Parquet file."""

    def write(folder: Path) -> Path:
        pq.write_table(pa.table(columns), folder / "listing.parquet")
        return folder / "listing.parquet"

    return write


def two_csvs(first: str, second: str) -> Callable[[Path], Path]:
    """Return a function that writes two files and returns their pattern."""

    def write(folder: Path) -> Path:
        (folder / "a.csv").write_text(first)
        (folder / "b.csv").write_text(second)
        return folder / "*.csv"

    return write


MISTAKES: dict[str, tuple[Callable[[Path], Path], dict[str, Any], str]] = {
    "no such column": (
        text("l.csv", "url,caption\na.gif,x\n"),
        {"caption_column": "title"},
        r"l\.csv has no column 'title', which --caption-column names; the columns are: url, caption",
    ),
    "no usual name": (
        text("l.csv", "a,b\na.gif,x\n"),
        {},
        r"which column has the paths or urls\? Name it by --uri-column; the columns are: a, b",
    ),
    "numbers in CSV": (
        text("l.csv", "url,caption\na.gif,3\nb.gif,17.5\n"),
        {},
        r"the column 'caption' has numbers, such as '3', and no captions; name another by --caption-column",
    ),
    "numbers in Parquet": (
        parquet(url=["a.gif"], caption=[3]),
        {},
        r"the column 'caption' has int64, not text; name another by --caption-column; the columns are: url, caption",
    ),
    "numbers in JSON Lines": (
        text("l.jsonl", '{"url": "a.gif", "text": 3}\n'),
        {},
        r"line 1: 'text' is no caption: 3",
    ),
    "different columns": (
        two_csvs("url,caption\na.gif,x\n", "link,words\nb.gif,y\n"),
        {},
        r"b\.csv: which column has the captions\?",
    ),
    "different forms": (
        two_csvs("url,caption\na.gif,x\n", "PAR1"),
        {},
        r"a\.csv is CSV, and .*b\.csv is Parquet; list files of one form",
    ),
    "more fields than columns": (text("l.csv", "url,caption\na.gif,x,y\n"), {}, r"l\.csv: .*Expected 2 columns, got 3"),
    "a column twice": (text("l.csv", "url,url,caption\na,b,c\n"), {}, r"has two columns 'url'; rename one"),
    "no rows": (text("l.csv", "url,caption\n"), {}, r"l\.csv has no row"),
    "a row without uri": (text("l.csv", "url,caption\na.gif,x\n,y\n"), {}, r"l\.csv, row 2: no path or url"),
    "not UTF-8": (text("l.csv", b"url,caption\na.gif,caf\xe9\n"), {}, r"l\.csv is not UTF-8 text"),
    "a JSON array": (text("l.json", '[{"url": "a.gif"}]'), {}, r"one JSON array; write one object a line"),
    "no JSON": (text("l.jsonl", '{"url": "a.gif", "text": "x"}\n{"url": \n'), {}, r"l\.jsonl, line 2: not JSON"),
    "no JSON object": (text("l.jsonl", '"a.gif"\n'), {}, r"l\.jsonl, line 1: not a JSON object"),
    "half a character": (
        text("l.jsonl", '{"url": "a.gif", "text": "\\ud800"}\n'),
        {},
        r"half of a surrogate pair",
    ),
    "cut Parquet": (text("l.parquet", b"PAR1 and no end"), {}, r"l\.parquet cannot be read as Parquet"),
    "gzip": (text("l.csv.gz", b"\x1f\x8b\x08"), {}, r"l\.csv\.gz is compressed by gzip; expand it"),
    "a zip": (text("l.zip", b"PK\x03\x04"), {}, r"l\.zip is a zip; name it by --gifs"),
    "kept column missing": (
        text("l.csv", "url,caption\na.gif,x\n"),
        {"keep_columns": "licence"},
        r"no column 'licence', which --keep-columns names",
    ),
    "kept column of our name": (
        text("l.csv", "url,caption,verdict\na.gif,x,y\n"),
        {"keep_columns": "verdict"},
        r"clips\.parquet has a column of its own of that name",
    ),
    "columns of TGIF's form": (
        text("l.tsv", "a.gif\tx\n"),
        {"keep_columns": "licence"},
        r"has no columns with names; leave it out",
    ),
    "two binary columns": (
        parquet(one=[b"a"], two=[b"b"], caption=["x"]),
        {},
        r"which column holds the GIFs, one, two\? Name it by --uri-column",
    ),
    "no match": (lambda folder: folder / "*.csv", {}, r"no file matches .*\*\.csv; quote the pattern"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence(tmp_path: Path, name: str) -> None:
    write, config, sentence = MISTAKES[name]
    with pytest.raises(ListingError) as error:
        read(tmp_path, write(tmp_path), **config)
    message = str(error.value)
    assert re.search(sentence, message), message
    assert "\n" not in message
    assert not message.endswith(".")


def test_a_row_group_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.listing.forms.parquet.MAX_GROUP_BYTES", 10_000)
    listing = parquet(image=[bytes([number]) * 3000 for number in range(8)], caption=["x"] * 8)(tmp_path)
    with pytest.raises(ListingError, match=r"row group 0 has .* write the file again with fewer rows a row group"):
        read(tmp_path, listing)


def test_a_million_uris_in_one_row_group_are_read_in_batches(tmp_path: Path) -> None:
    num_rows = 50_000
    names = pa.array([f"{number}.gif" for number in range(num_rows)])
    pq.write_table(pa.table({"url": names, "text": names}), tmp_path / "l.parquet", row_group_size=num_rows)
    options = RunOptions(listing=tmp_path / "l.parquet", out=tmp_path / "out")
    sizes = [batch.num_rows for batch in read_listing(options).batches]
    assert sum(sizes) == num_rows
    assert max(sizes) < num_rows


def test_faults_of_members_are_verdicts_of_their_rows(tmp_path: Path) -> None:
    members = {
        "good.gif": b"bytes", "good.json": json.dumps({"text": ["one", "two"]}).encode(),
        "no_json.gif": b"bytes", "no_json.json": b"{'text': 1}",
        "number.gif": b"bytes", "number.json": b'{"text": 3}',
        "nothing.gif": b"bytes", "nothing.json": b'{"words": "x"}',
        "latin.gif": b"bytes", "latin.txt": b"caf\xe9",
        "../out.gif": b"bytes", "../out.txt": b"a caption",
        "bare.gif": b"bytes",
    }  # fmt: skip
    catalog = read(tmp_path, write_tar(tmp_path / "0.tar", members))
    found: dict[str, str] = {}
    for clip in catalog.clips.values():
        try:
            found[clip.uri] = fetch_bytes(clip.location, 100).decode()
        except FetchError as error:
            found[clip.uri] = str(error)
    assert found == {
        "good.gif": "bytes",
        "no_json.gif": "no_json.json is not JSON: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)",
        "number.gif": "number.json: 'text' is no caption: 3",
        "nothing.gif": "nothing.json has no caption; it has: words",
        "latin.gif": "latin.txt is not UTF-8 text",
        "../out.gif": "its name leads out of the archive",
        "bare.gif": "bytes",
    }
    assert catalog.clips[next(iter(catalog.clips))].captions == ("one", "two")
    assert "6 of 8 rows have no caption" in catalog.notes


def test_one_name_in_two_tars_is_two_clips(tmp_path: Path) -> None:
    for number in range(2):
        write_tar(tmp_path / f"{number}.tar", {"a.gif": b"bytes %d" % number, "a.txt": b"a caption"})
    clips = read(tmp_path, f"{tmp_path}/{{0..1}}.tar").clips.values()
    assert {clip.uri: fetch_bytes(clip.location, 100) for clip in clips} == {
        "0.tar/a.gif": b"bytes 0",
        "1.tar/a.gif": b"bytes 1",
    }


def test_two_members_of_one_name_are_not_read(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        for content in (b"first", b"second"):
            info = tarfile.TarInfo("a.gif")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    (clip,) = read(tmp_path, tmp_path / "0.tar").clips.values()
    with pytest.raises(FetchError, match="two members of this name"):
        fetch_bytes(clip.location, 100)


def test_one_path_in_two_rows_of_parquet_is_two_clips(tmp_path: Path) -> None:
    images = [{"bytes": b"first", "path": "image.gif"}, {"bytes": b"second", "path": "image.gif"}]
    clips = read(tmp_path, parquet(image=images, text=["x", "y"])(tmp_path)).clips.values()
    assert sorted(fetch_bytes(clip.location, 100) for clip in clips) == [b"first", b"second"]


def test_bytes_without_paths_are_named_by_their_row(tmp_path: Path) -> None:
    listing = parquet(gif=[b"first", None], text=["x", "y"])(tmp_path)
    first, second = read(tmp_path, listing).clips.values()
    assert (first.uri, second.uri) == ("listing.parquet/0", "listing.parquet/1")
    assert fetch_bytes(first.location, 100) == b"first"
    with pytest.raises(FetchError, match="holds no bytes"):
        fetch_bytes(second.location, 100)


def test_no_name_leads_out_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"hunter2")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.gif").symlink_to(tmp_path / "secret")
    (folder / "metadata.csv").write_text("file_name,text\n../secret,x\nlink.gif,y\n")
    for clip in read(tmp_path, folder).clips.values():
        with pytest.raises(FetchError, match="leads out of"):
            fetch_bytes(clip.location, 100, clip.folder)


def test_a_uri_cannot_name_a_member(tmp_path: Path) -> None:
    (tmp_path / "x:").mkdir()
    (tmp_path / "x:" / "secret").write_bytes(b"hunter2")
    listing = text("l.tsv", f"member:tar:0:7::{tmp_path}/x://secret\tx\n")(tmp_path)
    (clip,) = read(tmp_path, listing).clips.values()
    with pytest.raises(FetchError, match="is no scheme of a URL"):
        fetch_bytes(clip.location, 100)
