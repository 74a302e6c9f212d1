"""Malformed manifests, records and tars are refused in one sentence, whatever reads them."""

import dataclasses
import gzip
import io
import json
import resource
import shutil
import tarfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from shards.errors import DatasetError, StoreError
from shards.json_fields import FieldError, parse_fields
from shards.manifest import read_manifest
from shards.members import MAX_MEMBER_BYTES
from shards.reader import read_head, read_shard
from shards.schema import MANIFEST, SampleRecord
from shards.storage.location import HttpPath
from shards.webdataset import open_pairs
from shards.writer import write_shard
from tests.shards.helpers import make_sample

Edit = Callable[[dict[str, Any]], object]


def shard(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of the first shard."""
    return fields["splits"]["train"]["shards"][0]


MANIFESTS: dict[str, Edit] = {
    "shard above the folder": lambda f: shard(f).update(name="../../secret.tar"),
    "shard with an absolute path": lambda f: shard(f).update(name="/etc/passwd"),
    "shard with other digits": lambda f: shard(f).update(name="\u0660" * 5 + ".tar"),
    "shard with a line break": lambda f: shard(f).update(name="00000.tar\n"),
    "shard name is a number": lambda f: shard(f).update(name=0),
    "hash is a path": lambda f: shard(f).update(sha256="../../embeddings"),
    "hash in upper case": lambda f: shard(f).update(sha256="AB" * 32),
    "hash is missing": lambda f: shard(f).pop("sha256"),
    "samples negative": lambda f: shard(f).update(num_samples=-1),
    "samples a fraction": lambda f: shard(f).update(num_samples=1.5),
    "samples true": lambda f: shard(f).update(num_samples=True),
    "samples a text": lambda f: shard(f).update(num_samples="7"),
    "more samples than bytes": lambda f: shard(f).update(num_samples=2**40),
    "size beyond 64 bits": lambda f: shard(f).update(num_bytes=2**70),
    "shard is a list": lambda f: f["splits"]["train"].update(shards=[[]]),
    "shards are an object": lambda f: f["splits"]["train"].update(shards={}),
    "split above the folder": lambda f: f["splits"].update({"../x": f["splits"]["train"]}),
    "split of another name": lambda f: f["splits"].update({"trains": f["splits"]["train"]}),
    "splits are null": lambda f: f.update(splits=None),
    "histogram of texts": lambda f: f["splits"]["train"]["motion_histogram"].update(counts=["a"]),
    "listing is a text": lambda f: f.update(listing="tgif.tsv"),
    "rows are null": lambda f: f["listing"].update(num_rows=None),
    "uri is a number": lambda f: f["listing"].update(uri=7),
    "uri with half a character": lambda f: f["listing"].update(uri="\ud800"),
    "config is a list": lambda f: f.update(config=[]),
    "resolution is a text": lambda f: f["config"].update(resolution="256"),
    "range is a text": lambda f: f["config"].update(min_motion="2"),
    "config with half a character": lambda f: f["config"].update(x="\ud800"),
    "range beyond any float": lambda f: f["config"].update(max_motion=10**400),
    "config is deep": lambda f: f["config"].update(x=json.loads("[" * 60 + "]" * 60)),
    "software is a number": lambda f: f.update(software={"pillow": 1}),
    "verdict is a text": lambda f: f["verdicts"].update(kept="all"),
    "file above the folder": lambda f: f["files"].update({"../x": "0" * 64}),
    "file without a size": lambda f: f.update(file_sizes={}),
    "version is a text": lambda f: f.update(schema_version="2"),
    "version is newer": lambda f: f.update(schema_version=3),
}


@pytest.mark.parametrize("edit", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_malformed_manifest_is_refused_in_one_sentence(dataset: Path, tmp_path: Path, edit: Edit) -> None:
    fields = json.loads((dataset / MANIFEST).read_text())
    edit(fields)
    (tmp_path / MANIFEST).write_text(json.dumps(fields))
    with pytest.raises(DatasetError) as raised:
        read_manifest(tmp_path)
    check_sentence(str(raised.value), MANIFEST)
    with pytest.raises(DatasetError):
        open_pairs(tmp_path)


@pytest.mark.parametrize(
    "data",
    [b"[" * 100_000, b'{"a":' * 100_000, b'{"schema_version": NaN}', b'{"schema_version": 1e999}', b"9" * 5_000, b"\0"],
    ids=["deep list", "deep object", "NaN", "infinite", "long number", "zero byte"],
)
def test_manifest_that_is_no_json_is_refused_in_one_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(data)
    with pytest.raises(DatasetError) as raised:
        read_manifest(tmp_path)
    check_sentence(str(raised.value), MANIFEST)


def check_sentence(message: str, named: str) -> None:
    """Check that a message is one short printable line that names a file."""
    assert named in message
    assert message.isprintable()
    assert len(message) < 400


RECORDS: dict[str, dict[str, Any]] = {
    "caption is null": {"caption": None},
    "captions are a text": {"captions": "a"},
    "captions are empty": {"captions": []},
    "captions hold a number": {"captions": [1]},
    "motion is a text": {"motion_px": "2"},
    "motion beyond any float": {"motion_px": 10**400},
    "motion is infinite": {"motion_px": 1e999},
    "motion is negative": {"motion_px": -1.0},
    "index is a fraction": {"source_index": 0.5},
    "index is negative": {"source_index": -1},
    "index is huge": {"target_index": 2**40},
    "target before source": {"source_index": 9, "target_index": 3},
    "gap is negative": {"gap_ms": -1},
    "gap beyond 64 bits": {"gap_ms": 2**63},
    "key with a slash": {"clip_key": "../x"},
    "key is empty": {"clip_key": ""},
    "split is a path": {"split": "../train"},
    "uri is null": {"uri": None},
}


@pytest.mark.parametrize("values", RECORDS.values(), ids=RECORDS.keys())
def test_malformed_record_is_refused(tmp_path: Path, values: dict[str, Any]) -> None:
    fields = json.loads(make_sample(1).record.to_json()) | values
    with pytest.raises(FieldError if len(values) == 1 else ValueError):
        SampleRecord.from_json(json.dumps(fields).encode())
    path = write_members(tmp_path / "s.tar", {"clip-0_0000_0001.json": json.dumps(fields).encode()})
    with pytest.raises(DatasetError) as raised:
        list(read_shard(path))
    check_sentence(str(raised.value), "s.tar")


def write_members(path: Path, members: dict[str, bytes], **header: Any) -> Path:
    """Write a tar of a record and two pictures, with other fields in the last header."""
    members = {**members, "clip-0_0000_0001.source.jpg": b"a", "clip-0_0000_0001.target.jpg": b"b"}
    with tarfile.open(path, "w:", format=tarfile.GNU_FORMAT) as tar:
        for number, (name, data) in enumerate(members.items(), start=1):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info.replace(**header) if number == len(members) else info, io.BytesIO(data))
    return path


def test_sparse_member_is_refused_and_not_expanded(tmp_path: Path) -> None:
    path = write_members(tmp_path / "s.tar", {"clip-0_0000_0001.json": make_sample(1).record.to_json()})
    data = bytearray(path.read_bytes())
    # The header of the last picture, as GNU tar writes a sparse file of 6 GB that holds one byte.
    start = data.index(b"clip-0_0000_0001.target.jpg")
    header = bytearray(data[start : start + 512])
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386:410] = b"%011o\0%011o\0" % (6 * 10**9 - 1, 1)
    header[483:495] = b"%011o\0" % (6 * 10**9)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data[start : start + 512] = header
    path.write_bytes(data)
    with tarfile.open(path) as tar:
        assert tar.getmembers()[-1].size == 6 * 10**9
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (read_shard, lambda shard: read_head(shard, 1)):
        with pytest.raises(DatasetError, match="is not a regular file"):
            list(read(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_compressed_shard_is_refused_by_webdataset(dataset: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(dataset, tmp_path / "out"))
    path = out / "train" / "00000.tar"
    path.write_bytes(gzip.compress(path.read_bytes(), 1))
    with pytest.raises(DatasetError, match=r"00000\.tar: "):
        next(iter(open_pairs(out)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "is not a regular file"),
        ({"type": tarfile.LNKTYPE, "linkname": "clip-0_0000_0001.json"}, "is not a regular file"),
        ({"type": tarfile.XHDTYPE}, "is not a regular file"),
        ({"type": tarfile.GNUTYPE_LONGNAME}, "is not a regular file"),
        ({"name": "../x.jpg"}, "is not the name of a sample's file"),
        ({"name": "a/b.jpg"}, "is not the name of a sample's file"),
    ],
)
def test_other_members_are_refused(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    path = tmp_path / "s.tar"
    write_shard(path, [make_sample(1)])
    with tarfile.open(path) as tar:
        members = [(info, tar.extractfile(info).read()) for info in tar]
    with path.open("wb") as file:
        for number, (info, data) in enumerate(members):
            if number == 2:
                for name, value in values.items():
                    setattr(info, name, value)
            file.write(info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512))
        file.write(bytes(10_240))
    with pytest.raises(DatasetError, match=message):
        list(read_shard(path))


def test_member_larger_than_any_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    write_shard(path, [make_sample(1)])
    data = path.read_bytes()
    info = tarfile.TarInfo("clip-0_0000_0001.json")
    info.size = MAX_MEMBER_BYTES + 1
    path.write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + data[512:])
    with pytest.raises(DatasetError, match="is larger than"):
        list(read_shard(path))


def test_file_larger_than_its_limit_is_refused() -> None:
    with pytest.raises(FieldError, match="larger than 10 bytes"):
        parse_fields(b"{" + b" " * 10 + b"}", 10)


class _Bomb(BaseHTTPRequestHandler):
    """Answers with a manifest of 200 MB, in 200 kB of gzip or as it is."""

    gzipped = gzip.compress(b'{"a": "' + bytes(200_000_000) + b'"}', 1)

    def do_GET(self) -> None:
        self.send_response(200)
        if "gzip" in self.path:
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(self.gzipped)))
            self.end_headers()
            self.wfile.write(self.gzipped)
        else:
            self.end_headers()
            for _ in range(200):
                self.wfile.write(b" " * 1_000_000)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def test_huge_manifests_on_a_web_server_are_refused() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Bomb)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        with pytest.raises(StoreError, match="sent the file as gzip"):
            read_manifest(HttpPath(f"{url}/gzip"))
        with pytest.raises(DatasetError, match="larger than 67,108,864 bytes"):
            read_manifest(HttpPath(f"{url}/plain"))
    finally:
        server.shutdown()
        server.server_close()


def test_samples_are_read_as_written_whatever_their_gap(tmp_path: Path) -> None:
    sample = make_sample(1)
    sample = dataclasses.replace(sample, record=dataclasses.replace(sample.record, gap_ms=3_500 * 655_350))
    write_shard(tmp_path / "s.tar", [sample])
    assert list(read_shard(tmp_path / "s.tar")) == [sample]
