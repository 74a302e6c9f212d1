"""--gifs: folders with subfolders, zips and tars. A file is found by the rule, or its clip says why not."""

import hashlib
import io
import os
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from curation.errors import ListingError
from curation.fetch.errors import FetchError, TooManyBytesError
from curation.fetch.read import fetch_bytes
from tests.curation.listing.helpers import read, write_tar

URLS = ("https://h/one/giphy.gif", "https://h/two/giphy.gif", "https://h/three/a%20b.gif?size=1")
FILES = {"one/giphy.gif": b"1", "two/giphy.gif": b"2", "three/a b.gif": b"3"}


def write_gifs(folder: Path, kind: str, files: dict[str, bytes]) -> Path | str:
    """Write files into a folder, a zip, a tar or two zips; return the value of --gifs."""
    if kind == "zip":
        return _write_zip(folder / "gifs.zip", files)
    if kind == "tar":
        return write_tar(folder / "gifs.tar", files)
    if kind == "two zips":
        _write_zip(folder / "part1.zip", dict(list(files.items())[:1]))
        _write_zip(folder / "part2.zip", dict(list(files.items())[1:]))
        return f"{folder}/part*.zip"
    for name, data in files.items():
        path = folder / "gifs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / "gifs"


def _write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def find(folder: Path, gifs: Path | str, uris: tuple[str, ...] = URLS, **config: str) -> dict[str, str]:
    """Return the bytes that each uri gets, or the reason why it gets none."""
    listing = folder / "listing.tsv"
    listing.write_text("".join(f"{uri}\ta caption\n" for uri in uris))
    return read_all(read(folder, listing, gifs, **config))


def read_all(catalog) -> dict[str, str]:
    """Return the bytes of each clip, or the reason why it has none, by uri."""
    found = {}
    for clip in catalog.clips.values():
        try:
            found[clip.uri] = fetch_bytes(clip.location, 100, clip.folder).decode()
        except (FetchError, TooManyBytesError) as error:
            found[clip.uri] = str(error)
    return found


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "two zips"])
def test_a_name_of_several_urls_is_not_guessed(tmp_path: Path, kind: str) -> None:
    found = find(tmp_path, write_gifs(tmp_path, kind, FILES))
    shared = "several urls have the name giphy.gif; --gifs-by names another rule"
    assert found == dict(zip(URLS, (shared, shared, "3"), strict=True))


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "two zips"])
def test_a_name_of_several_files_is_not_guessed(tmp_path: Path, kind: str) -> None:
    found = find(tmp_path, write_gifs(tmp_path, kind, FILES), ("giphy.gif", "a b.gif", "gone.gif"))
    assert found["giphy.gif"] == "2 files of --gifs have the name giphy.gif; --gifs-by names another rule"
    assert found["a b.gif"] == "3"
    assert found["gone.gif"].startswith("no file of --gifs")


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "two zips"])
def test_files_are_found_by_path(tmp_path: Path, kind: str) -> None:
    found = find(tmp_path, write_gifs(tmp_path, kind, FILES), gifs_by="path")
    assert found == dict(zip(URLS, "123", strict=True))


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_files_are_found_by_the_hash_of_the_url(tmp_path: Path, kind: str) -> None:
    files = {f"{hashlib.sha256(url.encode()).hexdigest()}.gif": str(n).encode() for n, url in enumerate(URLS)}
    found = find(tmp_path, write_gifs(tmp_path, kind, files), gifs_by="url-sha256")
    assert found == dict(zip(URLS, "012", strict=True))


def test_files_are_found_by_a_column(tmp_path: Path) -> None:
    listing = tmp_path / "listing.csv"
    names = ("one/giphy.gif", "two/giphy.gif", "a b.gif", "giphy.gif")
    urls = (*URLS, "https://h/four.gif")
    listing.write_text("url,text,file\n" + "".join(f"{u},x,{n}\n" for u, n in zip(urls, names, strict=True)))
    catalog = read(tmp_path, listing, write_gifs(tmp_path, "zip", FILES), gifs_by="column:file")
    found = read_all(catalog)
    assert list(found.values())[:3] == ["1", "2", "3"]
    assert "2 files of --gifs have the name or path giphy.gif" in found["https://h/four.gif"]
    assert catalog.rows.column_names == ["uri", "caption", "clip"]


def test_subfolders_are_searched_and_said(tmp_path: Path) -> None:
    listing = tmp_path / "listing.tsv"
    listing.write_text("a b.gif\tx\n")
    catalog = read(tmp_path, listing, write_gifs(tmp_path, "folder", FILES))
    assert catalog.notes == (f"--gifs: {tmp_path}/gifs has 3 files, in 3 folders, found by name",)


def test_links_out_of_folders_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"hunter2")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.gif").write_bytes(b"bytes")
        (tmp_path / name / f"link_{name}.gif").symlink_to(tmp_path / "secret")
    found = find(tmp_path, f"{tmp_path}/{{one,two}}", ("one.gif", "link_one.gif", "link_two.gif"))
    assert found["one.gif"] == "bytes"
    assert "leads out of the folder" in found["link_one.gif"]
    assert "leads out of the folder" in found["link_two.gif"]


def test_faults_of_zip_members_are_verdicts(tmp_path: Path) -> None:
    path = tmp_path / "gifs.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("good.gif", "locked.gif", "damaged.gif", "../out.gif", "/root.gif", "twice.gif"):
            archive.writestr(name, name.encode())
        archive.writestr("bomb.gif", bytes(2**20))
        archive.writestr("lying.gif", bytes(1000))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("twice.gif", b"again")
    data = bytearray(path.read_bytes())
    _set_in_directory(data, b"locked.gif", 8, (1).to_bytes(2, "little"))
    _set_in_directory(data, b"damaged.gif", 16, bytes(4))  # The CRC.
    _set_in_directory(data, b"lying.gif", 24, (10).to_bytes(4, "little"))  # The size.
    path.write_bytes(data)
    names = ("good.gif", "locked.gif", "damaged.gif", "out.gif", "root.gif", "bomb.gif", "lying.gif", "twice.gif")
    found = find(tmp_path, path, names)
    reasons = {
        "good.gif": "^good.gif$",
        "locked.gif": "it is encrypted",
        "damaged.gif": "is damaged: Bad CRC-32",
        "out.gif": "its name leads out of the archive",
        "root.gif": "its name leads out of the archive",
        "bomb.gif": "1,048,576 bytes, more than the limit of 100",
        "lying.gif": "is damaged",
        "twice.gif": "2 files of --gifs have the name twice.gif",
    }
    for name, reason in reasons.items():
        assert re.search(reason, found[name]), name


def _set_in_directory(data: bytearray, name: bytes, offset: int, value: bytes) -> None:
    """Overwrite a field of a member in the central directory of a zip."""
    start = data.rindex(name) - 46
    assert data[start : start + 4] == b"PK\x01\x02"
    data[start + offset : start + offset + len(value)] = value


def test_links_and_devices_in_tars_are_verdicts(tmp_path: Path) -> None:
    path = tmp_path / "gifs.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (
            ("link.gif", tarfile.SYMTYPE),
            ("hard.gif", tarfile.LNKTYPE),
            ("device.gif", tarfile.CHRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("n" * 300 + ".gif")  # Needs an extended header.
        info.size = 5
        archive.addfile(info, io.BytesIO(b"bytes"))
    found = find(tmp_path, path, ("link.gif", "hard.gif", "device.gif", "n" * 300 + ".gif"))
    assert "it is a link" in found["link.gif"]
    assert "it is a link" in found["hard.gif"]
    assert "it is not a regular file" in found["device.gif"]
    assert found["n" * 300 + ".gif"] == "bytes"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("gone.zip", None, "there is no such file"),
        ("page.zip", b"<html>", "is not a folder, a zip or a tar"),
        ("cut.zip", b"PK\x03\x04 and no directory", "is not a zip, or is cut short"),
        ("gifs.tar.gz", b"\x1f\x8b\x08", "is compressed by gzip, and its members cannot be read in any order"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, name: str, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ListingError, match=sentence):
        find(tmp_path, tmp_path / name)


@pytest.mark.parametrize("num_bytes", [600, 1536, 2000])
def test_a_tar_that_is_cut_short_is_refused(tmp_path: Path, num_bytes: int) -> None:
    path = write_tar(tmp_path / "gifs.tar", {"a.gif": b"a" * 400, "b.gif": b"b" * 400})
    os.truncate(path, num_bytes)
    with pytest.raises(ListingError, match=r"gifs\.tar .*copy it again"):
        find(tmp_path, path)


def test_a_tar_with_a_broken_header_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "gifs.tar", {"a.gif": b"a" * 400, "b.gif": b"b" * 400, "c.gif": b""})
    data = bytearray(path.read_bytes())
    data[1024:1030] = b"broken"
    path.write_bytes(data)
    with pytest.raises(ListingError, match="has a broken header at byte 1,024"):
        find(tmp_path, path)


def test_gifs_beside_a_listing_that_holds_them_is_refused(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "0.tar", {"a.gif": b"a", "a.txt": b"x"})
    with pytest.raises(ListingError, match="holds the GIFs; leave it out"):
        read(tmp_path, tar, write_gifs(tmp_path, "zip", FILES))
