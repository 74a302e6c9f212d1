"""The rendered page, parsed: its contents, escaping, well-formed HTML, no external references."""

import base64
import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest

from curation.inspection.report.page import render_report
from curation.inspection.report.report_data import VERDICT_DESCRIPTIONS, DuplicateClip, FailedClip, Histogram, Report
from tests.curation.inspection.report.helpers import (
    HOSTILE,
    encode_gray_jpeg,
    make_empty_report,
    make_pair,
    make_report,
)

VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """Parsed elements, text and scripts of a page. Raises if a tag is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.pieces: list[str] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"duplicate attribute in {tag}"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"self-closing tag outside SVG: {tag}"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.scripts.append(data)
        elif "style" not in self.open:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        """All text, with whitespace collapsed."""
        return " ".join("".join(self.pieces).split())

    def find(self, tag: str, class_name: str | None = None) -> list[dict[str, str]]:
        """Return the attributes of all elements with this tag and class."""
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and class_name in (None, attributes.get("class"))
        ]


def parse_chart(html: str, start: str) -> Page:
    """Parse the first chart after `start`."""
    return Page(html[html.index("<svg", html.index(start)) :].partition("</svg>")[0] + "</svg>")


def test_summary_is_under_the_heading() -> None:
    text = Page(render_report(make_report())).text
    assert (
        "1,191 clips, 60,654 measured pairs, 13,000 in range (2 to 5 px), 650 kept. "
        "Flatness of the kept motion histogram: 0.993 (1 is uniform)." in text
    )


def test_verdicts_have_count_share_and_description() -> None:
    text = Page(render_report(make_report())).text
    assert f"fetch_failed{VERDICT_DESCRIPTIONS['fetch_failed']}1,12394 %" in text
    assert "Total1,201100 %" in text


def test_failures_list_reasons_and_clips() -> None:
    page = Page(render_report(make_report()))
    assert f"fetch_failed: 1,123 clips, {VERDICT_DESCRIPTIONS['fetch_failed']}" in page.text
    for words in (
        "HTTP 4041,000",
        "10 other reasons100",
        "The first 1 clip",
        "https://example.org/a.gif?b=1&c=2row 3HTTP 404",
    ):
        assert words in page.text
    assert "In the folder of this page, pix2gif retry . retries fetch_failed, timed_out, crashed." in page.text


def test_quarantined_clips_have_a_replay_command_and_links() -> None:
    page = Page(render_report(make_report()))
    assert "Replay: pix2gif replay . bad-0123, GIF, details" in page.text
    assert [link["href"] for link in page.find("a") if not link["href"].startswith("#")] == [
        "quarantine/bad-0123.gif", "quarantine/bad-0123.json",
    ]  # fmt: skip


def test_commands_have_the_url_of_a_data_set_in_an_object_store() -> None:
    text = Page(render_report(dataclasses.replace(make_report(), dataset_argument="s3://bucket/out"))).text
    for command in ("view", "retry", "audit", "replay"):
        assert f"pix2gif {command} s3://bucket/out" in text
    assert "In the folder" not in text


def test_duplicates_are_listed_by_original() -> None:
    text = Page(render_report(make_report())).text
    assert "11 exact duplicates (1 across splits) and 1 near-duplicate across splits, of 40 original clips" in text
    assert "The 1 with the most duplicates" in text
    text = text.partition("Originals and their duplicates")[2].replace(" ", "")
    assert "b.gifrow2,trainduplicates:c.gifrow9,val:nearlythepicturesofrow2d.gifrow10" in text
    assert "d.gifrow10,train:thesamepicturesasrow2,trainand10more" in text


def test_scene_cuts_gaps_and_clip_sizes_are_shown() -> None:
    report = make_report()
    html = render_report(report)
    text = Page(html).text
    assert "606 measured pairs (1.0 %) and 13 kept pairs (2.0 %) have a scene cut" in text
    assert "0 to 100400.501.253.00400.501.253.00" in text
    assert "100 or more2020" in text
    cells = parse_chart(html, 'id="gaps"')
    assert cells.find("rect", class_name="cell")[0]["fill-opacity"] == "0.88"
    assert "gap 0 to 100 ms, motion 0 to 2 px: 30 pairs (75 % of this column)" in cells.text
    assert "gap 100 ms or more, motion 2 px or more: 20 pairs (100 % of this column)" in cells.text
    assert "Frames231655" in text.replace(" ", "")
    assert "10 frames or more, before: 8 clips (12 %)" in text
    assert "width 0 to 100 px, height 2 px or more: 10 clips (17 %)" in text


def test_stages_have_time_share_and_throughput() -> None:
    text = Page(render_report(make_report())).text
    assert "measure3 min 20 s86 % 60,654 pairs 303" in text
    assert "export20.0 s8.6 % 650 samples 32.5" in text


def test_splits_parameters_and_software_are_listed() -> None:
    text = Page(render_report(make_report())).text
    for row in ("train676502 34.5 MB", "seed0", "max_bytesnull", "numpy2.1.0"):
        assert row.replace(" ", "") in text.replace(" ", "")


def test_first_pairs_are_static_html() -> None:
    report = dataclasses.replace(make_report(), pairs=tuple(make_pair(number) for number in range(40)))
    page = Page(render_report(report))
    images = [image for image in page.find("img") if "src" in image]
    assert len(images) == 4 * 12
    pictures = [base64.b64decode(image["src"].removeprefix("data:image/jpeg;base64,")) for image in images[:4]]
    assert pictures == 2 * [encode_gray_jpeg(40), encode_gray_jpeg(90)]
    assert [image["alt"] for image in images[:4]] == ["Source: a ball rolls", "Target: a ball rolls", "", ""]
    assert "motion 3.46 px, gap 1,240 ms, frames 0 to 3, train/00000.tar" in page.text
    assert "Only the first 12 are shown." in page.text


def test_all_pairs_are_embedded_as_json() -> None:
    report = make_report()
    page = Page(render_report(report))
    pairs = json.loads(page.scripts[0])
    assert [pair["caption"] for pair in pairs] == ["a ball rolls", HOSTILE]
    assert base64.b64decode(pairs[1]["target"]) == encode_gray_jpeg(90)
    assert (pairs[0]["key"], pairs[0]["motion_px"], pairs[0]["gap_ms"]) == ("a_0000_0003", 3.456, 1240)


def test_data_is_escaped() -> None:
    report = make_report()
    hostile = dataclasses.replace(
        report, title=HOSTILE, listing=HOSTILE, stages=(dataclasses.replace(report.stages[1], name=HOSTILE),),
        config={HOSTILE: HOSTILE, "list": [HOSTILE]}, software={HOSTILE: HOSTILE},
        splits=(dataclasses.replace(report.splits[0], name=HOSTILE),),
        pairs=(make_pair(key=HOSTILE, caption=HOSTILE, split=HOSTILE, shard=HOSTILE),),
        failures=(
            dataclasses.replace(
                report.failures[0], reasons=((HOSTILE, 1),),
                clips=(FailedClip(row=1, uri=HOSTILE, reason=HOSTILE, clip_key=HOSTILE, is_quarantined=True),),
            ),
        ),
        duplicates=dataclasses.replace(
            report.duplicates,
            originals=(
                dataclasses.replace(
                    report.duplicates.originals[0], uri=HOSTILE, split=HOSTILE,
                    duplicates=(DuplicateClip(row=9, uri=HOSTILE, split="val", reason=HOSTILE),),
                ),
            ),
        ),
    )  # fmt: skip
    plain, html = render_report(report), render_report(hostile)
    page = Page(html)
    assert html.count("<script") == plain.count("<script") == 2
    assert page.scripts[1:] == Page(plain).scripts[1:]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.find("img")[0]["alt"] == f"Source: {HOSTILE}"
    assert page.text.count(HOSTILE) >= 20


@pytest.mark.parametrize("report", [make_report(), make_empty_report()], ids=["full", "empty"])
def test_page_refers_only_to_files_of_the_data_set(report: Report) -> None:
    html = render_report(report)
    page = Page(html)
    assert page.elements[0] == ("html", {"lang": "en"})
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in {"src", "href", "srcset", "action", "poster", "data"} & attributes.keys():
            assert attributes[name].startswith(("data:", "#", "quarantine/"))
            assert not attributes[name].startswith("#") or attributes[name][1:] in ids
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids
    assert not re.search(r"url\(|@import", html)
    assert all("src" not in script for script in page.find("script"))


def test_header_cells_pictures_and_charts_are_accessible() -> None:
    page = Page(render_report(make_report()))
    assert {header.get("scope") for header in page.find("th")} == {"row", "col"}
    assert all("alt" in image for image in page.find("img"))
    assert all(attributes.keys() & {"aria-labelledby", "aria-hidden"} for attributes in page.find("svg"))


def test_bars_before_and_after_selection_share_an_axis() -> None:
    bars = parse_chart(render_report(make_report()), '<div class="charts">')
    before = [float(bar["height"]) for bar in bars.find("rect", class_name="before")]
    after = [float(bar["height"]) for bar in bars.find("rect", class_name="after")]
    assert before == pytest.approx([before[0], before[0] / 3, before[0] / 9], abs=0.1)
    per_share = before[0] / (9 / 13)
    assert after == pytest.approx([per_share * kept / 650 for kept in (210, 220, 220)], abs=0.1)


def test_bars_in_range_are_highlighted() -> None:
    bars = parse_chart(render_report(make_report()), 'id="motion"')
    kinds = [bar["class"] for bar in bars.find("rect")]
    assert kinds == ["range", *2 * ["out-of-range"], *3 * ["after"], *2 * ["out-of-range"]]
    assert "0 to 1 px: 40,000 pairs (66 %)" in bars.text
    assert "6 px or more: 5,000 pairs (8.2 %)" in bars.text


def test_an_empty_data_set_renders() -> None:
    html = render_report(make_empty_report())
    for sentence in (
        "No pairs were kept. 0 clips", "No pairs were measured.", "No splits.", "No pairs to show.", "Nothing failed.",
        "No clips were measured.", "No duplicates were found.", "No times were recorded.",
    ):  # fmt: skip
        assert sentence in Page(html).text
    assert html.count("<script") == 1  # The JSON data.


def test_a_split_without_pairs_renders() -> None:
    report = make_report()
    empty = dataclasses.replace(
        report.splits[0], num_samples=0, motion=Histogram(edges=(2, 3), before=(0,), after=(0,))
    )
    no_bins = dataclasses.replace(empty, name="val", motion=Histogram(edges=(2,), before=(), after=()))
    html = render_report(
        dataclasses.replace(report, num_pairs_kept=0, flatness=None, splits=(empty, no_bins), pairs=())
    )
    assert "No pairs to show." in Page(html).text
    assert "nan" not in html


def test_rendering_is_deterministic() -> None:
    assert render_report(make_report()) == render_report(make_report())


def test_unknown_verdict_raises() -> None:
    with pytest.raises(ValueError, match="unknown verdicts: lost; allowed are kept"):
        dataclasses.replace(make_report(), verdicts={"lost": 1})


def test_histogram_with_wrong_number_of_bins_raises() -> None:
    with pytest.raises(ValueError, match="3 and 1 bins; 4 edges make 3 bins"):
        dataclasses.replace(make_report().splits[0].motion, after=(1,))
