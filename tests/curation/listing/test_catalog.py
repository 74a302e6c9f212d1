"""A listing is parsed as it is; an error names the line."""

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import example, given

from curation.config import CurationConfig
from curation.errors import ListingError
from curation.fetch.read_listing import read_listing
from curation.listing.catalog import Catalog, read_catalog
from curation.listing.names import clip_key
from curation.options import RunOptions
from tests.strategies import captions, uris


def read(folder: Path, listing: str | bytes, config: CurationConfig | None = None, **options: Path) -> Catalog:
    """Parse the bytes of a listing in a folder."""
    data = listing.encode() if isinstance(listing, str) else listing
    run_options = RunOptions(listing=folder / "listing.tsv", out=folder / "out", **options)
    return read_catalog(data, run_options, config or CurationConfig())


@pytest.mark.parametrize(
    "listing",
    [
        b"a.gif\tone\nb.gif\ttwo\n",
        b"a.gif\tone\r\nb.gif\ttwo\r\n",
        b"\xef\xbb\xbfa.gif\tone\nb.gif\ttwo",
        b"\n\na.gif\tone\n   \nb.gif\ttwo\n\n",
        b"\xef\xbb\xbf\r\na.gif\tone\r\n\r\nb.gif\ttwo",
    ],
    ids=["LF", "CRLF", "BOM and no last line end", "blank lines", "all of them"],
)
def test_line_ends_bom_and_blank_lines_are_ignored(tmp_path: Path, listing: bytes) -> None:
    rows = read(tmp_path, listing).rows
    assert [(row["uri"], row["caption"]) for row in rows.to_pylist()] == [("a.gif", "one"), ("b.gif", "two")]


@pytest.mark.parametrize(("limit", "uris"), [(1, ["a.gif"]), (2, ["a.gif", "b.gif"]), (9, ["a.gif", "b.gif", "c.gif"])])
def test_a_limit_keeps_the_first_rows(tmp_path: Path, limit: int, uris: list[str]) -> None:
    catalog = read(tmp_path, "a.gif\tone\nb.gif\ttwo\nc.gif\tthree\n", CurationConfig(limit=limit))
    assert catalog.rows["uri"].to_pylist() == [clip.uri for clip in catalog.clips.values()] == uris


def test_caption_keeps_tabs_quotes_and_unicode(tmp_path: Path) -> None:
    caption = '"it\t\'s" \u2028 <b>\N{SLICE OF PIZZA}</b>  '
    assert read(tmp_path, f"a.gif\t{caption}\n").rows["caption"].to_pylist() == [caption]


@given(uris, captions)
@example("a b%20c\0.gif", "\v\f\x85\u2029")
def test_any_row_is_read_unchanged(tmp_path_factory: pytest.TempPathFactory, uri: str, caption: str) -> None:
    rows = read(tmp_path_factory.mktemp("row"), f"first.gif\t\n{uri}\t{caption}\n").rows.to_pylist()
    assert rows[1] == {"uri": uri, "caption": caption, "clip": int(uri != "first.gif")}


def test_rows_with_the_same_uri_are_one_clip_with_all_captions(tmp_path: Path) -> None:
    catalog = read(tmp_path, "a.gif\tone\nb.gif\tother\na.gif\ttwo\na.gif\tone\n")
    assert len(catalog.rows) == 4
    assert [(clip.uri, clip.captions, clip.row) for clip in catalog.clips.values()] == [
        ("a.gif", ("one", "two"), 1),
        ("b.gif", ("other",), 2),
    ]


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        (b"a.gif\tone\n\nb.gif two\n", "line 3: no TAB .*'b.gif two'"),
        (b"a.gif\tone\n \tno uri\n", "line 2: no path or url"),
        (b"a.gif\tone\nb.gif\t\xff\n", "line 2: not UTF-8"),
        (b"\xef\xbb\xbfa.gif\tone\n\xff.gif\ttwo\n", "line 2: not UTF-8"),
        (b"", "empty"),
        (b"\xef\xbb\xbf \r\n\n", "empty"),
    ],
    ids=["no TAB", "no uri", "not UTF-8", "not UTF-8 after a BOM", "no bytes", "blank lines only"],
)
def test_invalid_listing_raises_with_the_line_number(tmp_path: Path, listing: bytes, message: str) -> None:
    with pytest.raises(ListingError, match=rf"(?s)listing\.tsv.*{message}|{message}.*"):
        read(tmp_path, listing)


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        ("a.gif\tone\nb.gif\t" + "x" * 70_000, r"listing\.tsv, line 2: the caption has more than 65,536 bytes"),
        ("a" * 70_000 + "\tone", r"listing\.tsv, line 1: the path or url has more than 65,536 bytes"),
        ("b.gif\tone\n" + f"a.gif\t{'x' * 60_000}\n" * 9, r"the captions of a\.gif have 540,000 bytes, more than"),
    ],
    ids=["long caption", "long uri", "long captions of one clip"],
)
def test_texts_that_would_swell_every_record_are_refused(tmp_path: Path, listing: str, message: str) -> None:
    with pytest.raises(ListingError, match=message):
        read(tmp_path, listing)


@pytest.mark.parametrize(("name", "message"), [("gone.tsv", "there is no listing"), (".", "has no animation")])
def test_listing_that_is_missing_or_empty_raises(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ListingError, match=message):
        read_listing(RunOptions(listing=tmp_path / name, out=tmp_path / "out"))


def locate(folder: Path, uri: str, **options: Path) -> str:
    """Return the location of a uri in the catalogue."""
    (clip,) = read(folder, f"{uri}\tcaption\n", **options).clips.values()
    return clip.location


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("https://38.media.tumblr.com/9f6c/tumblr_o1_500.gif", "tumblr_o1_500.gif"),
        ("https://host/folder/a%20b.gif?size=1&x=/y.gif#z", "a b.gif"),
        ("folder/a.gif", "a.gif"),
        ("a?b#c.gif", "a?b#c.gif"),
        ("100%25 cotton.gif", "100%25 cotton.gif"),
    ],
)
def test_gifs_option_locates_clips_by_file_name(tmp_path: Path, uri: str, name: str) -> None:
    (tmp_path / "gifs").mkdir()
    assert locate(tmp_path, uri, gifs=tmp_path / "gifs") == str(tmp_path / "gifs" / name)


def test_paths_are_relative_to_the_listing_and_urls_are_unchanged(tmp_path: Path) -> None:
    assert locate(tmp_path, "gifs/a%20b.gif") == str(tmp_path / "gifs/a%20b.gif")
    assert locate(tmp_path, "/elsewhere/a.gif") == "/elsewhere/a.gif"
    assert locate(tmp_path, "file:///elsewhere/a%20b.gif") == "/elsewhere/a b.gif"
    assert locate(tmp_path, "FILE:///elsewhere/a%20b.gif") == "/elsewhere/a b.gif"
    assert locate(tmp_path, "file://localhost/elsewhere/a.gif?x") == "/elsewhere/a.gif?x"
    assert locate(tmp_path, "file://host/elsewhere/a.gif") == "file://host/elsewhere/a.gif"
    assert locate(tmp_path, "https://host/a%20b.gif?x") == "https://host/a%20b.gif?x"


def test_missing_gifs_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(ListingError, match=r"--gifs .* is not a folder"):
        read(tmp_path, "a.gif\tone\n", gifs=tmp_path / "gone")


def write_lists(folder: Path, **lists: str) -> Path:
    """Write official split lists."""
    (folder / "splits").mkdir()
    for name, text in lists.items():
        (folder / "splits" / f"{name}.txt").write_text(text)
    return folder / "splits"


def test_clip_in_several_split_lists_is_in_test_before_val_before_train(tmp_path: Path) -> None:
    lists = write_lists(
        tmp_path, test="http://h/t.gif\r\n\r\n", val="http://h/v.gif\nt.gif\n", train="t.gif\nv.gif\nr.gif\n"
    )
    catalog = read(tmp_path, "http://h/t.gif\t\nhttp://h/v.gif\t\nhttp://h/r.gif\t\nu.gif\t\n", splits=lists)
    assert [clip.split for clip in catalog.clips.values()] == ["test", "val", "train", "train"]
    assert catalog.num_unlisted == 1
    assert catalog.split_lists.keys() == {"train.txt", "val.txt", "test.txt"}


def test_split_lists_match_by_url_then_by_file_name(tmp_path: Path) -> None:
    lists = write_lists(tmp_path, test="http://one/a.gif\n", val="http://two/a.gif\nb.gif\n")
    catalog = read(tmp_path, "http://one/a.gif\t\nhttp://two/a.gif\t\nfolder/b.gif\t\na.gif\t\n", splits=lists)
    assert [clip.split for clip in catalog.clips.values()] == ["test", "val", "val", "test"]


def test_hash_of_a_split_list_depends_on_its_bytes(tmp_path: Path) -> None:
    lists = write_lists(tmp_path, val="a.gif\n")
    first = read(tmp_path, "a.gif\t\n", splits=lists).split_lists
    (lists / "val.txt").write_text("a.gif\nb.gif\n")
    assert first != read(tmp_path, "a.gif\t\n", splits=lists).split_lists


def test_unlisted_clips_are_in_train(tmp_path: Path) -> None:
    lists = write_lists(tmp_path, val="\n")
    catalog = read(tmp_path, "a.gif\t\nb.gif\t\n", CurationConfig(val_fraction=1.0), splits=lists)
    assert [clip.split for clip in catalog.clips.values()] == ["train", "train"]
    assert catalog.num_unlisted == 2


@pytest.mark.parametrize(
    ("exists", "message"), [(False, "is not a folder"), (True, "holds none of train.txt, val.txt")]
)
def test_folder_without_split_lists_raises(tmp_path: Path, exists: bool, message: str) -> None:
    if exists:
        write_lists(tmp_path, others="a.gif")
    with pytest.raises(ListingError, match=message):
        read(tmp_path, "a.gif\tone\n", splits=tmp_path / "splits")


@pytest.mark.parametrize(("fraction", "low", "high"), [(0.0, 0, 0), (0.1, 60, 140), (1.0, 1000, 1000)])
def test_seeded_split_matches_val_fraction(tmp_path: Path, fraction: float, low: int, high: int) -> None:
    listing = "".join(f"{n}.gif\t\n" for n in range(1000))
    clips = read(tmp_path, listing, CurationConfig(val_fraction=fraction)).clips.values()
    assert low <= sum(clip.split == "val" for clip in clips) <= high


def test_seeded_split_of_a_clip_is_independent_of_the_other_rows(tmp_path: Path) -> None:
    lines = [f"{n}.gif\t\n" for n in range(300)]
    small = read(tmp_path, "".join(lines[:100])).clips
    large = read(tmp_path, "".join(reversed(lines))).clips
    assert {key: clip.split for key, clip in small.items()} == {key: large[key].split for key in small}
    other = read(tmp_path, "".join(lines), CurationConfig(seed=1)).clips
    assert {key: clip.split for key, clip in other.items()} != {key: clip.split for key, clip in large.items()}


@given(uris)
@example("http://[broken/a.gif")
@example("https://host/")
@example("..")
@example("Ünïcödé.GIF")
def test_clip_key_is_short_and_plain_for_any_uri(uri: str) -> None:
    assert re.fullmatch(r"[a-z0-9_-]{1,80}", clip_key(uri))
    assert clip_key(uri) == clip_key(uri)


def test_clip_key_is_fixed_and_differs_by_uri() -> None:
    uri = "https://38.media.tumblr.com/9f6c25cc350f12aa74a7dc386a5c4985/tumblr_mevmyaKtDf1rgvhr8o1_500.gif"
    assert clip_key(uri) == "tumblr_mevmyaktdf1rgvhr8o1_500-d80419905a0302d0"
    assert len({clip_key(uri) for uri in ("a/x.gif", "b/x.gif", "x.gif", "X.gif")}) == 4


def test_url_that_cannot_be_parsed_is_accepted(tmp_path: Path) -> None:
    assert len(read(tmp_path, "http://[broken/a.gif\tone\nb.gif\ttwo\n").clips) == 2


@pytest.mark.slow
def test_listing_of_the_size_of_tgif_is_read(tmp_path: Path) -> None:
    listing = "".join(f"https://h/{n % 102_068:x}_500.gif\tcaption {n}\n" for n in range(125_782))
    catalog = read(tmp_path, listing)
    assert (len(catalog.rows), len(catalog.clips)) == (125_782, 102_068)
    assert sum(len(clip.captions) for clip in catalog.clips.values()) == 125_782


@pytest.mark.parametrize(
    ("name", "num_rows", "num_clips"),
    [("reconstructed_from_tgifqa.tsv", 11_112, 6_737), ("tgif-v1.0.sample.tsv", 14, 12)],
)
def test_published_listings_are_read(real_gifs: Path, name: str, num_rows: int, num_clips: int) -> None:
    listing = real_gifs.parent / "tgif" / name
    if not listing.exists():
        pytest.skip(f"no {listing}")
    options = RunOptions(listing=listing, out=listing.parent / "never made", splits=listing.parent / "splits")
    catalog = read_catalog(listing.read_bytes(), options, CurationConfig())
    assert (len(catalog.rows), len(catalog.clips)) == (num_rows, num_clips)
    seeded = read_catalog(listing.read_bytes(), dataclasses.replace(options, splits=None), CurationConfig())
    assert seeded.clips.keys() == catalog.clips.keys()
