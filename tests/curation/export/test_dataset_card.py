"""The dataset card: read by Hugging Face datasets, and not overwritten once a person has edited it."""

import dataclasses
import re
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


HOSTILE = (
    "<script>alert(1)</script>", "![x](https://evil.example/x.png)", "[x](javascript:alert(1))", "a | b", "`code`",
    "line\n---\nlicense: mit\n---\n# heading", "https://evil.example www.evil.example a@evil.example", "&lt;b&gt;",
    "\u2028# x", "\udcff.tsv", "**bold** _it_ ~~no~~ $x$",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_names_stay_text(dataset, text):
    import markdown_it
    import yaml

    manifest = read_manifest(dataset)
    manifest = dataclasses.replace(
        manifest,
        listing=dataclasses.replace(manifest.listing, uri=text),
        config={**manifest.config, "split_lists": {text: text}},
    )
    card = render_card(text, manifest)
    card.encode()
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "unknown"
    parser = markdown_it.MarkdownIt("gfm-like", {"linkify": False})
    plain = parser.render(render_card("name", read_manifest(dataset)).split("---\n", 2)[2])
    tags = re.compile(r"<[/a-z][^>]*>|<!--")
    found = tags.findall(parser.render(body))
    assert sorted(set(found)) == sorted(set(tags.findall(plain)))
    assert "evil.example" not in text or re.search(r"(?<!\\)(://|www\.|@)evil", body) is None


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
