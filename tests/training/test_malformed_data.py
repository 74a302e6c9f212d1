"""A data set from a stranger is data: a malformed manifest or record is one sentence in every command that reads it."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import pytest

import cli
from shards.errors import DatasetError
from shards.manifest import read_manifest, write_manifest
from shards.reader import read_shard
from shards.schema import MANIFEST
from shards.writer import write_shard

READERS = {
    "verify": ["verify", "DATA"],
    "view": ["view", "DATA", "--no-open", "--port", "0"],
    "audit": ["audit", "DATA"],
    "plan": ["plan", "DATA"],
    "resplit": ["resplit", "DATA", "--out", "OUT", "--workers", "0"],
    "encode": ["encode", "DATA", "--preset", "tiny", "--out", "OUT", "--workers", "0"],
    "train": ["train", "DATA", "--preset", "tiny", "--out", "OUT"],
}


def run(words: list[str], data: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command in this process and return its exit status."""
    arguments = [{"DATA": str(data), "OUT": str(out)}.get(word, word) for word in words]
    monkeypatch.setattr(sys, "argv", ["pix2gif", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("words", READERS.values(), ids=READERS.keys())
def test_shard_outside_the_data_set_is_refused(
    small_shards: Path,
    tmp_path: Path,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    fields = json.loads((small_shards / MANIFEST).read_text())
    fields["splits"]["train"]["shards"][0].update(name="../../../embeddings.tar")
    (data / MANIFEST).write_text(json.dumps(fields))
    assert run(words, data, tmp_path / "out", monkeypatch) == 1
    error = capfd.readouterr().err.strip()
    assert error.count("\n") == 0
    assert error.startswith(f"Error: {data / MANIFEST}: not a manifest: splits.train.shards[0].name is ")


@pytest.mark.parametrize("words", [READERS[name] for name in ("verify", "view", "audit", "encode", "train")])
def test_malformed_record_is_refused(
    small_shards: Path,
    tmp_path: Path,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = Path(shutil.copytree(small_shards, tmp_path / "data"))
    path = data / "train" / "00000.tar"
    samples = list(read_shard(path))
    samples[0] = dataclasses.replace(samples[0], record=dataclasses.replace(samples[0].record, caption=7))
    entry = write_shard(path, samples)
    manifest = read_manifest(data)
    train = dataclasses.replace(manifest.splits["train"], shards=(entry, *manifest.splits["train"].shards[1:]))
    write_manifest(data, dataclasses.replace(manifest, splits={**manifest.splits, "train": train}))
    with pytest.raises(DatasetError, match=r"caption is 7; text is expected"):
        list(read_shard(path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert run(words, data, tmp_path / "out", monkeypatch) == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert "00000.tar" in errors[0]
