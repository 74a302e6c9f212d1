"""The dataset card: read by Hugging Face datasets, and not overwritten once a person has edited it."""

import dataclasses
import shutil

import pytest

from curation.export.dataset_card import render_card, write_card
from shards.manifest import read_manifest
from shards.schema import CARD_MARKER


def test_hugging_face_datasets_reads_the_splits_from_the_card(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    import datasets

    loaded = datasets.load_dataset(str(dataset), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {
        split: entry.num_samples for split, entry in read_manifest(dataset).splits.items()
    }
    sample = loaded["val"][0]
    assert sample["json"]["split"] == "val"
    assert sample["source.jpg"].size == sample["target.jpg"].size == (256, 256)


def test_the_card_has_counts_parameters_and_licence(dataset):
    manifest, card = read_manifest(dataset), (dataset / "README.md").read_text()
    assert card == render_card(dataset.name, manifest)
    for split, entry in manifest.splits.items():
        assert f"| {split} | {entry.num_clips} | {entry.num_samples} | {len(entry.shards)} |" in card
    for name, value in manifest.config.items():
        assert f"| {name} |" in card, (name, value)
    assert "| kept | 12 |" in card
    assert "## Licence and use" in card


def test_the_header_is_valid_yaml_for_any_folder_name(dataset):
    import yaml

    name = 'a "b": #c | d'
    _, head, _ = render_card(name, read_manifest(dataset)).split("---\n", 2)
    fields = yaml.safe_load(head)
    assert fields["pretty_name"] == name
    assert [one["split"] for one in fields["configs"][0]["data_files"]] == ["train", "val"]


def test_the_card_of_an_empty_data_set_has_no_splits(dataset):
    manifest = read_manifest(dataset)
    card = render_card("none", dataclasses.replace(manifest, splits={}))
    assert "configs:" not in card


@pytest.mark.parametrize(("text", "is_kept"), [("my own words", True), (f"older words\n{CARD_MARKER}\n", False)])
def test_an_edited_card_is_not_overwritten(dataset, tmp_path, text, is_kept):
    copied = shutil.copytree(dataset, tmp_path / "out")
    (copied / "README.md").write_text(text)
    write_card(copied, read_manifest(copied))
    assert ((copied / "README.md").read_text() == text) == is_kept
