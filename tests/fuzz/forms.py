"""Fuzz listings of every form and the archives of --gifs."""

import contextlib
import json
import random
import tempfile
import warnings
from pathlib import Path

from curation.config import CurationConfig
from curation.errors import ListingError
from curation.fetch import FetchError, TooManyBytesError, fetch_bytes
from curation.fetch.read_listing import read_listing
from curation.listing.catalog import read_catalog
from curation.options import RunOptions
from tests.curation.listing import helpers
from tests.fuzz.mutate import mutate_bytes, mutate_json

_CLIPS = {f"drawn/{number}.gif": (b"GIF89a" + bytes(600) + b"%d" % number, ["one", "zwei"]) for number in range(4)}
_MAX_BYTES = 2_000


def fuzz_forms(_: Path, draw: random.Random) -> None:
    """A listing is refused in one sentence, or every clip is read or says why not."""
    with tempfile.TemporaryDirectory(prefix="pix2gif-") as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        listing, gifs, changed = _write(draw.choice(_KINDS), folder)
        data = changed.read_bytes()
        is_json = changed.suffix == ".json"
        changed.write_bytes(mutate_json(data.decode(), draw) if is_json else mutate_bytes(data, draw))
        if is_json:
            helpers.write_tar(folder / "0.tar", {"a.gif": b"GIF89a", "a.json": changed.read_bytes()})
        options = RunOptions(listing=listing, out=folder / "out", gifs=gifs)
        config = CurationConfig(keep_columns=draw.choice([(), ("licence",)]))
        try:
            catalog = read_catalog(read_listing(options, config), options, config)
        except ListingError:
            return
        for clip in catalog.clips.values():
            with contextlib.suppress(FetchError, TooManyBytesError):
                assert len(fetch_bytes(clip.location, _MAX_BYTES, clip.folder)) <= _MAX_BYTES


_KINDS = ("csv", "tsv", "jsonl", "parquet", "parquet bytes", "tar", "zip", "tar of gifs", "json member", "metadata")


def _write(kind: str, folder: Path) -> tuple[Path, Path | None, Path]:
    """Write a listing; return it, --gifs, and the file to change."""
    gifs = {name: data for name, (data, _) in _CLIPS.items()}
    if kind in ("csv", "tsv", "metadata"):
        helpers.write_gifs(folder, _CLIPS)
        path = helpers.write_delimited(folder, _CLIPS, "\t" if kind == "tsv" else ",", licence="CC0")
        return (folder, None, path.rename(folder / "metadata.csv")) if kind == "metadata" else (path, None, path)
    if kind == "zip" or kind == "tar of gifs":
        path = folder / "gifs"
        archive = helpers.write_zip(path, _CLIPS) if kind == "zip" else helpers.write_tar(path, gifs)
        return helpers.write_tgif(folder, _CLIPS), archive, archive
    if kind == "json member":
        path = folder / "member.json"
        path.write_text(json.dumps({"caption": ["one", "two"], "licence": {"name": "CC0"}}))
        return folder / "0.tar", None, path
    if kind == "tar":
        path = helpers.write_tar(folder / "0.tar", {**gifs, "drawn/0.txt": b"one", "drawn/1.json": b'{"text": "x"}'})
    elif kind == "jsonl":
        path = helpers.write_json_lines(folder, _CLIPS)
    elif kind == "parquet":
        path = helpers.write_parquet(folder / "listing.parquet", _CLIPS)
    else:
        path = helpers.write_parquet_bytes(folder / "listing.parquet", _CLIPS, row_group_size=3)
    return path, None, path
