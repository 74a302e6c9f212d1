"""The dataset card: OUT/README.md in the format of the Hugging Face hub, so that OUT can be uploaded as it is."""

import functools
import json
import re
from typing import Any

import jinja2

from curation.config import SOURCE_SIZE, CurationConfig
from curation.target_histogram import describe_balance
from shards.files import was_card_edited
from shards.manifest import Manifest, digest_dataset
from shards.schema import CARD, CARD_MARKER
from shards.storage.atomic import write_atomically
from shards.storage.location import Location

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_MORE = "1M<n<10M"
_MARKUP = re.compile(r"[\\`*_\[\]<>|&~#!$@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What Markdown would not show as it is, and what GitHub and the hub make links of."""


def write_card(out: Location, manifest: Manifest) -> bool:
    """Write OUT/README.md and return True; return False if a person wrote or edited it: then it has no marker."""
    path = out / CARD
    if path.exists() and was_card_edited(out):
        return False
    with write_atomically(path) as temporary:
        temporary.write_text(render_card(out.name, manifest), encoding="utf-8", errors="backslashreplace")
    return True


def render_card(name: str, manifest: Manifest) -> str:
    """Render the card: a function of the name and the manifest."""
    fields = CurationConfig.__dataclass_fields__.keys() & manifest.config.keys()
    config = CurationConfig(**{field: manifest.config[field] for field in fields})
    num_samples = sum(entry.num_samples for entry in manifest.splits.values())
    return _load_template().render(
        name="".join(letter if letter.isprintable() else "?" for letter in name),
        marker=CARD_MARKER,
        manifest=manifest,
        digest=digest_dataset(manifest),
        config=config,
        configs=[split for split, entry in manifest.splits.items() if entry.shards],
        size=next((size for below, size in _SIZES if num_samples < below), _MORE),
        resolution="the GIF's own"
        if config.resolution == SOURCE_SIZE
        else f"{config.resolution} x {config.resolution}",
        balance=describe_balance(config.balance),
        bins=_list_bins(manifest),
    )


def _list_bins(manifest: Manifest) -> list[tuple[int, int, list[int]]]:
    """List the edges of each motion bin that is not empty, with its counts by split."""
    histograms = [entry.motion_histogram for entry in manifest.splits.values()]
    if not histograms:
        return []
    edges = histograms[0].bin_edges
    rows = zip(edges[:-1], edges[1:], zip(*(histogram.counts for histogram in histograms), strict=True), strict=True)
    return [(low, high, list(counts)) for low, high, counts in rows if any(counts)]


@functools.cache
def _load_template() -> jinja2.Template:
    """Compile the template beside this module; an unknown name in it raises."""
    environment = jinja2.Environment(  # noqa: S701  # Markdown; `_escape` is for Markdown.
        loader=jinja2.PackageLoader("curation.export", ""),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "thousands": "{:,}".format,
        "as_yaml": json.dumps,  # Every JSON string is valid YAML.
        "as_json": _as_json,
        "escape": _escape,
    }
    return environment.get_template("dataset_card.md.jinja")


def _as_json(value: Any) -> str:
    return _escape(json.dumps(value, ensure_ascii=False))


def _escape(text: str) -> str:
    """Escape text for one line of Markdown: it stays text, without markup, HTML, links or further table cells."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return _MARKUP.sub(r"\\\g<0>", line)
