"""Write the GIFs of a TGIF-style listing in every form that pix2gif-curate reads, for docs and benchmarks.

    python examples/listing_forms.py tgif.tsv DIR [--gifs gifs/]

Writes DIR/captions.csv, captions.jsonl, captions.parquet and captions.tsv (TGIF's form) with the GIFs in DIR, gifs.zip,
bytes.parquet with the bytes in it, and tars/00000.tar and tars/00001.tar in WebDataset's form.
"""

import argparse
import csv
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

_NUM_TARS = 2
_ROWS_PER_GROUP = 100
"""As the hub has it: reading one GIF decodes a part of a row group."""

Gifs: TypeAlias = dict[str, tuple[bytes, list[str]]]
"""(bytes, captions) by name."""


def read_gifs(listing: Path, folder: Path | None = None, num_gifs: int | None = None) -> Gifs:
    """Read the GIFs of a TGIF-style listing, from `folder` by their file names or from the listing's own folder."""
    gifs: Gifs = {}
    for line in listing.read_text(encoding="utf-8").splitlines():
        uri, _, caption = line.partition("\t")
        path = folder / uri.rpartition("/")[2] if folder else listing.parent / uri
        name = path.name if folder else uri
        if path.is_file() and (name in gifs or num_gifs is None or len(gifs) < num_gifs):
            captions = gifs.setdefault(name, (path.read_bytes(), []))[1]
            captions.append(caption)
    return gifs


def write_forms(gifs: Gifs, folder: Path) -> None:
    """Write the GIFs in every form."""
    for name, (data, captions) in gifs.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.with_suffix(".txt").write_text("\n".join(captions) + "\n", encoding="utf-8")
    rows = [(name, caption) for name, (_, captions) in gifs.items() for caption in captions]
    (folder / "captions.tsv").write_text("".join(f"{name}\t{caption}\n" for name, caption in rows), encoding="utf-8")
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("url", "caption", "licence"), *((*row, "CC0") for row in rows)])
    lines = (json.dumps({"file_name": name, "captions": captions}) for name, (_, captions) in gifs.items())
    (folder / "captions.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    columns = {"url": list(gifs), "caption": [captions for _, captions in gifs.values()]}
    pq.write_table(pa.table(columns), folder / "captions.parquet")
    images = [{"bytes": data, "path": name} for name, (data, _) in gifs.items()]
    table = pa.table({"image": images, "text": columns["caption"]})
    pq.write_table(table, folder / "bytes.parquet", row_group_size=_ROWS_PER_GROUP)
    with zipfile.ZipFile(folder / "gifs.zip", "w") as archive:
        for name, (data, _) in gifs.items():
            archive.writestr(name, data)
    _write_tars(gifs, folder / "tars")


def _write_tars(gifs: Gifs, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    names = list(gifs)
    size = -(-len(names) // _NUM_TARS)
    for number in range(_NUM_TARS):
        with tarfile.open(folder / f"{number:05d}.tar", "w") as archive:
            for name in names[number * size : (number + 1) * size]:
                data, captions = gifs[name]
                record = json.dumps({"caption": captions, "licence": "CC0"}).encode()
                for member, content in ((name, data), (str(Path(name).with_suffix(".json")), record)):
                    info = tarfile.TarInfo(member)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))


def main() -> None:
    """Write the forms."""
    parser = argparse.ArgumentParser(description="Write the GIFs of a listing in every form.")
    parser.add_argument("listing", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gifs", type=Path, help="The folder of the GIFs, by file name.")
    args = parser.parse_args()
    gifs = read_gifs(args.listing, args.gifs)
    write_forms(gifs, args.folder)
    print(f"{len(gifs)} GIFs in {args.folder}")


if __name__ == "__main__":
    main()
