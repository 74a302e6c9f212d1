"""The same GIFs, names and captions as a listing of every form."""

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.config import CurationConfig
from curation.fetch.read_listing import read_listing
from curation.listing.catalog import Catalog, read_catalog
from curation.options import FetchOptions, RunOptions
from examples.draw_gifs import DrawnGif, draw_frames, save_gif

Clips = Mapping[str, tuple[bytes, list[str]]]
"""(bytes, captions) by name."""


def draw_clips(folder: Path, num_gifs: int = 6) -> dict[str, tuple[bytes, list[str]]]:
    """Draw small GIFs below a folder, one with two captions."""
    clips = {}
    for number in range(num_gifs):
        gif = DrawnGif(name="", caption="", width=64, height=48, num_frames=4, dx=1.0 + number / 3, seed=number)
        path = folder / f"drawn/clip_{number}.gif"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_gif(path, draw_frames(gif))
        captions = [f'a "texture" glides, number {number}.'] + ["a second caption"] * (number == 0)
        clips[f"drawn/clip_{number}.gif"] = (path.read_bytes(), captions)
    return clips


def list_rows(clips: Clips) -> Iterator[tuple[str, str]]:
    """Yield (name, caption)."""
    for name, (_, captions) in clips.items():
        for caption in captions:
            yield name, caption


def write_tgif(folder: Path, clips: Clips, name: str = "listing.tsv") -> Path:
    """Write a listing of TGIF's form."""
    return _write(folder / name, "".join(f"{name}\t{caption}\n" for name, caption in list_rows(clips)))


def write_delimited(folder: Path, clips: Clips, delimiter: str = ",", **columns: str) -> Path:
    """Write a CSV, or a TSV with a header. `columns`: further columns with one value."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(["caption", "url", *columns])
    writer.writerows([caption, name, *columns.values()] for name, caption in list_rows(clips))
    return _write(folder / ("listing.csv" if delimiter == "," else "listing_with_header.tsv"), text.getvalue())


def write_json_lines(folder: Path, clips: Clips) -> Path:
    """Write JSON Lines whose captions are lists."""
    rows = ({"file_name": name, "captions": captions} for name, (_, captions) in clips.items())
    return _write(folder / "listing.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def write_parquet(path: Path, clips: Clips, **options: Any) -> Path:
    """Write a Parquet file of names."""
    table = pa.table({"uri": list(clips), "text": [captions for _, captions in clips.values()]})
    pq.write_table(table, path, **options)
    return path


def write_parquet_bytes(path: Path, clips: Clips, **options: Any) -> Path:
    """Write a Parquet file of bytes, as the hub has it."""
    images = [{"bytes": data, "path": name} for name, (data, _) in clips.items()]
    pq.write_table(pa.table({"image": images, "text": [captions for _, captions in clips.values()]}), path, **options)
    return path


def write_zip(path: Path, clips: Clips) -> Path:
    """Write a zip of the GIFs."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (data, _) in clips.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write a tar."""
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_webdataset(folder: Path, clips: Clips) -> str:
    """Write two WebDataset tars, one with .txt and one with .json; return their pattern."""
    half = len(clips) // 2
    for number, names in enumerate((list(clips)[:half], list(clips)[half:])):
        members = {}
        for name in names:
            data, captions = clips[name]
            members[name] = data
            stem = name.removesuffix(".gif")
            if number:
                members[f"{stem}.json"] = json.dumps({"caption": captions, "licence": "CC0"}).encode()
            else:
                members[f"{stem}.txt"] = "\n".join(captions).encode()
        write_tar(folder / f"0000{number}.tar", members)
    return f"{folder}/{{00000..00001}}.tar"


def write_gifs(folder: Path, clips: Clips) -> Path:
    """Write the GIFs, without their captions."""
    for name, (data, _) in clips.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def write_folder(folder: Path, clips: Clips) -> Path:
    """Write a folder of GIFs with captions beside them."""
    write_gifs(folder, clips)
    for name, (_, captions) in clips.items():
        _write((folder / name).with_suffix(".txt"), "\n".join(captions) + "\n")
    return folder


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def read(
    folder: Path, listing: Path | str, gifs: Path | str | None = None, fetch: FetchOptions | None = None, **config: Any
) -> Catalog:
    """Read a listing as a run does."""
    options = RunOptions(listing=listing, out=folder / "out", gifs=gifs, fetch=fetch or FetchOptions())
    settings = CurationConfig(**config)
    return read_catalog(read_listing(options, settings), options, settings)
