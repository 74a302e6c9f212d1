"""Which clips are left out as duplicates, and how whole runs record it."""

import dataclasses
import hashlib

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.options import RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress
from curation.selection.duplicates import Fingerprints, choose_duplicates
from curation.selection.signatures import Signatures
from examples.draw_gifs import save_gif
from examples.draw_scenes import LEAKS, film
from shards.schema import SPLITS
from shards.verification.dataset import verify_dataset


@dataclasses.dataclass
class ClipFingerprint:
    """The fingerprint of one clip; pictures that are not given are unique."""

    key: str
    row: int
    split: str = "train"
    digest: str = ""
    signature: np.ndarray | None = None

    def __post_init__(self):
        self.digest = self.digest or self.key
        if self.signature is None:
            self.signature = np.random.default_rng(self.row).integers(0, 2**63, (16, 3), dtype=np.uint64)


def choose(clips, near_distance=10, has_official_splits=False):
    fingerprints = Fingerprints(
        clip_keys=[clip.key for clip in clips],
        splits=np.array([SPLITS.index(clip.split) for clip in clips], np.int8),
        rows=np.array([clip.row for clip in clips], np.int32),
        digests=np.array([hashlib.sha256(clip.digest.encode()).digest() for clip in clips], "V32"),
        signatures=Signatures.join(clip.signature for clip in clips),
    )
    return choose_duplicates(fingerprints, near_distance=near_distance, has_official_splits=has_official_splits)


def originals(clips, **options):
    return {key: duplicate.original for key, duplicate in choose(clips, **options).items()}


def test_of_exact_duplicates_the_first_row_stays():
    clips = [ClipFingerprint(key, row, digest="x") for key, row in (("c", 3), ("a", 1), ("b", 2))]
    assert originals(clips) == {"b": "a", "c": "a"}
    assert originals(clips[::-1]) == {"b": "a", "c": "a"}


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_with_official_splits_train_loses_its_duplicate(held_out):
    clips = [ClipFingerprint("a", 1, "train", "x"), ClipFingerprint("b", 2, held_out, "x")]
    assert originals(clips, has_official_splits=True) == {"a": "b"}
    assert originals(clips) == {"b": "a"}


def test_near_duplicates_are_left_out_only_across_splits():
    first = ClipFingerprint("a", 1)
    second = ClipFingerprint("b", 2, signature=first.signature ^ np.uint64(0b1011))
    assert originals([first, second]) == {}
    second.split = "val"
    assert originals([first, second]) == {"b": "a"}
    assert choose([first, second])["b"].distance == 3
    assert originals([first, second], has_official_splits=True) == {"a": "b"}
    assert originals([first, second], near_distance=2) == {}
    assert originals([first, second], near_distance=0) == {}


def test_a_clip_that_is_left_out_is_no_original():
    first = ClipFingerprint("a", 1, "val")
    second = ClipFingerprint("b", 2, signature=first.signature ^ np.uint64(0xFF))
    third = ClipFingerprint("c", 3, "val", signature=first.signature ^ np.uint64(0xFFFF))
    assert originals([first, second, third]) == {"b": "a"}


@pytest.fixture
def folder(tmp_path):
    """A listing of five films: one is an exact duplicate and one a captioned copy of another."""
    films = {f"film_{seed}.gif": film(seed, 8, 1.5) for seed in (1, 2, 3)}
    films["again.gif"] = films["film_1.gif"]
    films["captioned.gif"] = LEAKS["captioned"](films["film_2.gif"])
    for name, frames in films.items():
        save_gif(tmp_path / name, frames)
    # A comment at the end changes the bytes of a GIF but not its pictures.
    again = tmp_path / "again.gif"
    again.write_bytes(again.read_bytes().removesuffix(b";") + b"\x21\xfe\x02hi\x00;")
    (tmp_path / "listing.tsv").write_text("".join(f"{name}\ta film of {name}\n" for name in films))
    return tmp_path


def run(folder, name="out", splits=None, **parameters):
    """Curate the listing; returns the rows of clips.parquet by uri."""
    options = RunOptions(listing=folder / "listing.tsv", out=folder / name, workers=0, splits=splits)
    curate(options, CurationConfig(min_motion=0.5, **parameters), Progress(quiet=True))
    verify_dataset(folder / name)
    return {row["uri"]: row for row in pq.read_table(folder / name / "clips.parquet").to_pylist()}


def write_splits(folder, **lists):
    (folder / "splits").mkdir()
    for split, names in lists.items():
        (folder / "splits" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return folder / "splits"


def test_a_run_records_exact_duplicates(folder):
    rows = run(folder, val_fraction=0)
    again = rows["again.gif"]
    assert (again["verdict"], again["duplicate_kind"], again["num_kept"]) == ("duplicate", "exact", 0)
    assert again["duplicate_of"] == rows["film_1.gif"]["clip_key"]
    assert again["detail"] == "the same pictures as row 1, train"
    for name in ("film_1.gif", "film_2.gif", "captioned.gif"):
        assert (rows[name]["verdict"], rows[name]["duplicate_of"], rows[name]["duplicate_kind"]) == ("kept", None, None)


def test_a_run_removes_exact_and_near_duplicates_of_val_from_train(folder):
    train = ["film_1.gif", "film_2.gif", "film_3.gif"]
    splits = write_splits(folder, train=train, val=["again.gif", "captioned.gif"])
    rows = run(folder, splits=splits)
    kinds = {uri: row["duplicate_kind"] for uri, row in rows.items() if row["verdict"] == "duplicate"}
    assert kinds == {"film_1.gif": "exact", "film_2.gif": "near"}
    assert rows["film_2.gif"]["duplicate_of"] == rows["captioned.gif"]["clip_key"]
    assert "of 64 bits differ" in rows["film_2.gif"]["detail"]
    exact_only = run(folder, "exact_only", splits=splits, near_distance=0)
    assert [uri for uri, row in exact_only.items() if row["verdict"] == "duplicate"] == ["film_1.gif"]
