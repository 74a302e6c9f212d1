"""The page is read back with a parser: whole, closed, escaped, and with no reference outside itself."""

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from curation.report import (
    VERDICTS_IN_WORDS,
    Report,
    ShownPair,
    SplitSummary,
    axis_for,
    in_percent,
    in_time,
    in_units,
    render_report,
)

HOSTILE = """<script>alert(1)</script> "x" onerror='y' & </title></svg> \N{SLICE OF PIZZA}"""
VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """What a browser would find in the page; raises where a tag is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.pieces: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice in {tag}"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"only SVG closes itself, not {tag}"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        """All text, with white space run together."""
        return " ".join("".join(self.pieces).split())

    def of(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Give the attributes of every such element; `kind` stands for `class`."""
        wanted = {"class" if name == "kind" else name: value for name, value in attributes.items()}
        return [found for name, found in self.elements if name == tag and wanted.items() <= found.items()]


def draw_picture(value: int) -> bytes:
    """Encode a square of one colour as PNG."""
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def make_report() -> Report:
    """Make a report of a small data set: some rows failed, three bins of motion, two pairs to look at."""
    pair = ShownPair(
        key="a_0000_0003", caption="a ball rolls", split="train", motion_px=3.456, gap_ms=1240,
        source=draw_picture(40), target=draw_picture(90), mime="image/png",
    )  # fmt: skip
    split = SplitSummary(
        name="train", num_clips=67, num_samples=650, num_shards=2, num_bytes=34_512_896,
        in_range_histogram=(9000, 3000, 1000), kept_histogram=(210, 220, 220),
    )  # fmt: skip
    return Report(
        title="tgif-small", listing="file:///data/tgif.tsv", num_rows=1200, num_clips=1190,
        verdicts={"kept": 67, "merged": 10, "fetch_failed": 1123, "crashed": 0},
        details=(("fetch_failed", "https://example.org/a.gif?b=1&c=2", "HTTP 404"),),
        num_pairs_measured=60_654, num_pairs_in_range=13_000, num_pairs_kept=650, motion_range_px=(2.0, 5.0),
        motion_histogram=(40_000, 2_000, 9000, 3000, 1000, 654, 5_000), first_bin=2, flatness=0.9934,
        splits=(split,), pairs=(pair, dataclasses.replace(pair, key="b_0001_0002", caption=HOSTILE)),
        stages=(("fetch", 12.3), ("measure", 200.0)), config={"seed": 0, "max_bytes": None},
        software={"numpy": "2.1.0"},
    )  # fmt: skip


def make_empty_report() -> Report:
    """Make the report of a listing without rows."""
    return Report(
        title="nothing", listing="empty.tsv", num_rows=0, num_clips=0, verdicts={}, details=(),
        num_pairs_measured=0, num_pairs_in_range=0, num_pairs_kept=0, motion_range_px=(2.0, 20.0),
        motion_histogram=(), first_bin=2, flatness=None, splits=(), pairs=(), stages=(),
        config={}, software={},
    )  # fmt: skip


def test_the_answer_stands_under_the_heading() -> None:
    text = Page(render_report(make_report())).text
    assert (
        "1,190 clips, 60,654 pairs measured, 13,000 with motion of 2 to 5 px, 650 kept; "
        "flatness of their motion 0.993 (1 is flat)." in text
    )


def test_verdicts_have_their_number_share_and_meaning() -> None:
    text = Page(render_report(make_report())).text
    assert f"fetch_failed{VERDICTS_IN_WORDS['fetch_failed']}1,12394 %" in text.replace("\n", "")
    assert "All verdicts1,200100 %" in text
    assert "fetch_failed: 1 of 1,123 rows" in text
    assert "https://example.org/a.gif?b=1&c=2HTTP 404" in text.replace(" HTTP", "HTTP")


def test_a_pair_shows_its_pictures_and_its_numbers() -> None:
    report = make_report()
    page = Page(render_report(report))
    assert "motion 3.46 px, gap 1,240 ms, train" in page.text
    images = page.of("img")
    pictures = [base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) for image in images]
    assert pictures == 4 * [draw_picture(40), draw_picture(90)]
    assert [image["alt"] for image in images[:2]] == ["Source: a ball rolls", "Target: a ball rolls"]
    assert [image["alt"] for image in images[2:4]] == ["", ""]


def test_splits_stages_parameters_and_software_are_listed() -> None:
    text = Page(render_report(make_report())).text
    for row in ("train676502 34.5 MB", "measure3 min 20 s94 %", "seed0", "max_bytesnull", "numpy2.1.0"):
        assert row.replace(" ", "") in text.replace(" ", "")


def test_data_is_escaped() -> None:
    report = make_report()
    hostile = dataclasses.replace(
        report, title=HOSTILE, listing=HOSTILE, details=(("kept", HOSTILE, HOSTILE),),
        stages=((HOSTILE, 1.0),),
        config={HOSTILE: HOSTILE, "list": [HOSTILE]}, software={HOSTILE: HOSTILE},
        splits=(dataclasses.replace(report.splits[0], name=HOSTILE),),
        pairs=tuple(
            dataclasses.replace(pair, key=HOSTILE, caption=HOSTILE, split=HOSTILE, mime=HOSTILE)
            for pair in report.pairs
        ),
    )  # fmt: skip
    html = render_report(hostile)
    page = Page(html)
    assert "<script" not in html
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.of("img")[0]["alt"] == f"Source: {HOSTILE}"
    assert page.text.count(HOSTILE) >= 13


@pytest.mark.parametrize("report", [make_report(), make_empty_report()], ids=["full", "empty"])
def test_nothing_outside_the_page_is_referred_to(report: Report) -> None:
    html = render_report(report)
    page = Page(html)
    assert page.elements[0] == ("html", {"lang": "en"})
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in {"src", "href", "srcset", "action", "poster", "data"} & attributes.keys():
            assert attributes[name].startswith(("data:", "#"))
            assert not attributes[name].startswith("#") or attributes[name][1:] in ids
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids
    assert not re.search(r"url\(|@import", html)
    assert not page.of("script")


def test_every_header_cell_has_a_scope_and_every_picture_a_text() -> None:
    page = Page(render_report(make_report()))
    assert {header.get("scope") for header in page.of("th")} == {"row", "col"}
    assert all("alt" in image for image in page.of("img"))
    assert all(chart.keys() & {"aria-labelledby", "aria-hidden"} for chart in page.of("svg"))


def test_bars_before_and_after_share_an_axis() -> None:
    html = render_report(make_report())
    chart = Page(html[html.index('<div class="charts">') :].partition("</svg>")[0] + "</svg></figure></div>")
    before = [float(bar["height"]) for bar in chart.of("rect", kind="before")]
    after = [float(bar["height"]) for bar in chart.of("rect", kind="after")]
    assert before == pytest.approx([before[0], before[0] / 3, before[0] / 9], abs=0.1)
    per_share = before[0] / (9 / 13)
    assert after == pytest.approx([per_share * kept / 650 for kept in (210, 220, 220)], abs=0.1)


def test_bars_in_the_range_are_marked() -> None:
    html = render_report(make_report())
    chart = Page(html[html.index('<svg class="wide"') :].partition("</svg>")[0] + "</svg>")
    kinds = [bar["class"] for bar in chart.of("rect")]
    assert kinds == ["range", "out", "out", "after", "after", "after", "out", "out"]
    assert "0 to 1 px: 40,000 pairs (66 %)" in chart.text
    assert "6 px and more: 5,000 pairs (8.2 %)" in chart.text


def test_an_empty_data_set_renders() -> None:
    text = Page(render_report(make_empty_report())).text
    for sentence in ("No pair was kept. 0 clips", "No pair was measured.", "There is no split."):
        assert sentence in text


def test_a_split_without_pairs_renders() -> None:
    report = make_report()
    empty = dataclasses.replace(report.splits[0], num_samples=0, in_range_histogram=(0, 0, 0), kept_histogram=(0, 0, 0))
    no_bins = dataclasses.replace(empty, name="val", in_range_histogram=(), kept_histogram=())
    html = render_report(
        dataclasses.replace(report, num_pairs_kept=0, flatness=None, splits=(empty, no_bins), pairs=())
    )
    assert "There is no pair to show." in Page(html).text
    assert "nan" not in html


def test_the_same_report_gives_the_same_page() -> None:
    assert render_report(make_report()) == render_report(make_report())


def test_a_verdict_outside_the_contract_raises() -> None:
    with pytest.raises(ValueError, match="verdicts: lost; allowed are kept"):
        dataclasses.replace(make_report(), verdicts={"lost": 1})


def test_histograms_of_different_bins_raise() -> None:
    with pytest.raises(ValueError, match="'train': histograms of 3 and 1 bins"):
        dataclasses.replace(make_report().splits[0], kept_histogram=(1,))


def test_an_axis_ends_above_its_values_but_for_an_end_that_dwarfs_them() -> None:
    assert axis_for((1.0, 10.0, 4.0)).ticks == (0, 2, 4, 6, 8, 10)
    assert axis_for((0, 2, 1), least_step=1).ticks == (0, 1, 2)
    assert axis_for((0.0, 0.37, 0.1)).ticks == pytest.approx((0, 0.1, 0.2, 0.3))
    assert axis_for((100.0, 4.0, 10.0, 3.0)).top == pytest.approx(1.05 * 11.5)
    assert axis_for((100.0, 4.0, 10.0, 3.0)).share(100.0) == 1
    assert axis_for((100.0, 60.0, 3.0)).top == pytest.approx(105)
    assert axis_for(()).top > 0


def test_numbers_are_written_for_people() -> None:
    assert [in_percent(part, 1000) for part in (0, 0.5, 1, 12, 99.4, 99.6, 1000)] == [
        "0 %", "< 0.1 %", "0.1 %", "1.2 %", "9.9 %", "10 %", "100 %",
    ]  # fmt: skip
    assert [in_units(size) for size in (0, 999, 1000, 34_512_896, 5 * 10**15)] == [
        "0 B", "999 B", "1.0 kB", "34.5 MB", "5000.0 TB",
    ]  # fmt: skip
    assert [in_time(seconds) for seconds in (0.424, 9.996, 59.96, 200, 3599.7, 7500)] == [
        "0.42 s", "10.0 s", "1 min 00 s", "3 min 20 s", "1 h 00 min", "2 h 05 min",
    ]  # fmt: skip
