"""Latent caches: writing, reading, the order of samples, and errors."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from shards.schema import MANIFEST
from tests.training.data.helpers import are_same, batches, config, copy, keys, latent_row, write_latents
from tests.web_server import serve
from training.data import BatchStream, DamageError, DataError, LatentBatch
from training.data.latent_format import (
    LATENTS_MANIFEST,
    read_latent_manifest,
    write_latent_manifest,
    write_latent_shard,
)
from training.data.latent_source import read_latent_shard


@pytest.mark.parametrize("has_flips", [True, False])
def test_rows_are_read_as_written(tmp_path, has_flips):
    rows = [latent_row(f"clip_{number}", number, has_flips=has_flips) for number in range(5)]
    entry = write_latent_shard(tmp_path / "00000.arrow", rows)
    assert entry.num_samples == 5
    for written, found in zip(rows, read_latent_shard(tmp_path / "00000.arrow", entry), strict=True):
        np.testing.assert_equal(dataclasses.asdict(found), dataclasses.asdict(written))


def test_equal_rows_give_equal_bytes(tmp_path):
    rows = [latent_row("clip", 1)]
    assert write_latent_shard(tmp_path / "a", rows).sha256 == write_latent_shard(tmp_path / "b", rows).sha256


def test_manifest_is_read_as_written(latents, tmp_path):
    manifest = read_latent_manifest(latents)
    write_latent_manifest(tmp_path, manifest)
    assert read_latent_manifest(tmp_path) == manifest


@pytest.mark.parametrize("change", ["type", "shape", "flips", "nothing"])
def test_inconsistent_rows_are_refused(tmp_path, change):
    rows = [latent_row("a", 1), latent_row("b", 2)]
    if change == "type":
        rows[1] = dataclasses.replace(rows[1], token_ids=rows[1].token_ids.astype(np.int64))
    elif change == "shape":
        plain = dataclasses.replace(rows[1].plain, target_mean=rows[1].plain.target_mean[:, :4])
        rows[1] = dataclasses.replace(rows[1], plain=plain)
    elif change == "flips":
        rows[1] = dataclasses.replace(rows[1], flipped=None)
    with pytest.raises(ValueError, match=r"\w"):
        write_latent_shard(tmp_path / "x.arrow", rows if change != "nothing" else [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [0, 2])
def test_latents_have_the_order_and_flips_of_the_pictures(latents, uneven, workers):
    of_latents, of_pictures = batches(latents, 15, num_workers=workers), batches(uneven, 15)
    assert keys(of_latents) == keys(of_pictures)
    for a, b in zip(of_latents, of_pictures, strict=True):
        assert isinstance(a, LatentBatch)
        assert torch.equal(a.positions, b.positions)
        assert torch.equal(a.flipped, b.flipped)


def test_batch_holds_mirrored_latents_where_flipped(latents):
    shards = read_latent_manifest(latents).splits["train"].shards
    rows = {row.key: row for shard in shards for row in read_latent_shard(latents / "train" / shard.name, shard)}
    (batch, *_) = batches(latents, 1)
    assert batch.source_mode.shape == (4, 4, 8, 8)
    assert batch.source_mode.dtype == torch.float16
    assert batch.token_ids.dtype == torch.int64
    assert 0 < batch.flipped.sum() < 4
    for number, key in enumerate(batch.keys):
        pair = rows[key].flipped if batch.flipped[number] else rows[key].plain
        for name in ("source_mode", "target_mean", "target_logvar"):
            assert np.array_equal(getattr(batch, name)[number].numpy(), getattr(pair, name))
        assert np.array_equal(batch.token_ids[number].numpy(), rows[key].token_ids)
        assert batch.motion_px[number] == rows[key].motion_px
        assert batch.captions[number] == rows[key].caption
    assert BatchStream(config(latents)).kind == "latents"


def test_latents_without_flips_need_flip_off(uneven, tmp_path):
    folder = write_latents(uneven, tmp_path / "latents", has_flips=False)
    with pytest.raises(DataError, match="holds no flipped latents"):
        batches(folder, 1)
    assert not any(batch.flipped.any() for batch in batches(folder, 4, flip=False))


def test_remote_latents_need_a_cache(latents, tmp_path):
    with serve(latents) as server:
        with pytest.raises(DataError, match="set cache to a folder"):
            batches(server.url, 1)
        found = batches(server.url, 14, cache=tmp_path, num_workers=1)
    assert are_same(found, batches(latents, 14))


def test_damaged_shard_raises_or_is_skipped(latents, tmp_path):
    folder = copy(latents, tmp_path / "damaged")
    path = folder / "train" / "00002.arrow"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(DataError, match=r"00002.arrow: its frame does not have the SHA-256"):
        batches(folder, 14)
    found = batches(folder, 1, on_damage="skip", global_batch=110, micro_batch=110)
    assert found[0].num_skipped >= 17


def test_unsuitable_latents_are_refused(latents, tmp_path):
    folder = copy(latents, tmp_path / "other")
    with pytest.raises(DataError, match="made at 64 x 64 pixels, but 256 x 256 are expected"):
        batches(folder, 1, resolution=256)
    manifest = read_latent_manifest(folder)
    write_latent_manifest(folder, dataclasses.replace(manifest, schema_version=9))
    with pytest.raises(DataError, match="schema_version 9, this software reads 1"):
        batches(folder, 1)
    (folder / LATENTS_MANIFEST).write_text("{")
    with pytest.raises(DataError, match="not a manifest of latents"):
        batches(folder, 1)
    (folder / LATENTS_MANIFEST).unlink()
    with pytest.raises(DataError, match=f"no {MANIFEST}"):
        batches(folder, 1)
    shutil.copy(latents / LATENTS_MANIFEST, folder)
    path = folder / "train" / "00001.arrow"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"00001.arrow: its SHA-256 is not the manifest's"):
        batches(folder, 1, verify="full")


def test_flipped_byte_is_refused_or_is_a_value(latents, tmp_path):
    folder = copy(latents, tmp_path / "flipped")
    shard = read_latent_manifest(folder).splits["train"].shards[3]
    path = folder / "train" / shard.name
    data = path.read_bytes()
    positions = np.random.default_rng(0).integers(0, len(data), 40).tolist()
    # Most positions are values, so the frame is covered more densely.
    positions += [*range(0, shard.values_start, 499), *range(shard.values_end, len(data), 99)]
    for position in positions:
        path.write_bytes(data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :])
        if shard.values_start <= position < shard.values_end:
            assert len(read_latent_shard(path, shard)) == shard.num_samples
            path.write_bytes(data)
        else:
            with pytest.raises(DamageError, match=f"{shard.name}: its frame does not have the SHA-256"):
                read_latent_shard(path, shard)


def test_values_are_most_of_a_shard_and_are_not_in_its_frame(latents):
    for shard in read_latent_manifest(latents).splits["train"].shards:
        num_values = shard.num_samples * 2 * 3 * 4 * 8 * 8 * 2
        assert num_values <= shard.values_end - shard.values_start <= num_values + 6 * 64


def test_cache_of_an_earlier_version_is_hashed_whole(latents, tmp_path):
    folder = copy(latents, tmp_path / "earlier")
    fields = json.loads((folder / LATENTS_MANIFEST).read_text())
    for shard in fields["splits"]["train"]["shards"]:
        for name in ("values_start", "values_end", "frame_sha256"):
            del shard[name]
    (folder / LATENTS_MANIFEST).write_text(json.dumps(fields))
    assert are_same(batches(folder, 2), batches(latents, 2))
    path = folder / "train" / "00003.arrow"
    data = path.read_bytes()
    path.write_bytes(data[:-9] + b"?" + data[-8:])
    with pytest.raises(DataError, match=r"00003.arrow: its SHA-256 is not the manifest's"):
        batches(folder, 14)


@pytest.mark.parametrize(
    "edit",
    [
        lambda f: f.update(splits={"../x": f["splits"]["train"]}),
        lambda f: f["splits"]["train"]["shards"][0].update(name="../../x.arrow"),
        lambda f: f["splits"]["train"]["shards"][0].update(name="00000.tar"),
        lambda f: f["splits"]["train"]["shards"][0].update(sha256="../x"),
        lambda f: f["splits"]["train"]["shards"][0].update(values_end=2**40),
        lambda f: f["splits"]["train"]["shards"][0].update(num_samples=2**40),
        lambda f: f["splits"]["train"].update(shards=None),
        lambda f: f.update(resolution="64"),
        lambda f: f.update(has_flips=1),
        lambda f: f.update(vae=None),
        lambda f: f.pop("dataset_sha256"),
        lambda f: f.update(schema_version=True),
    ],
)
def test_malformed_manifest_is_refused_in_one_sentence(latents, tmp_path, edit):
    fields = json.loads((latents / LATENTS_MANIFEST).read_text())
    edit(fields)
    (tmp_path / LATENTS_MANIFEST).write_text(json.dumps(fields))
    with pytest.raises(DataError, match=rf"{LATENTS_MANIFEST}: not a manifest of latents: ") as raised:
        batches(tmp_path, 1)
    assert str(raised.value).isprintable()
