"""The page is read back with a parser: whole, closed, escaped, and with no reference outside the data set."""

import base64
import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest

from curation.inspection.report.page import render_report
from curation.inspection.report.report_data import VERDICTS_IN_WORDS, FailedClip, Histogram, Report
from tests.curation.inspection.report.drawn import HOSTILE, draw_picture, make_empty_report, make_pair, make_report

VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """What a browser would find in the page; raises where a tag is not closed."""

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
        if "script" in self.open:
            self.scripts.append(data)
        elif "style" not in self.open:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        """All text, with white space run together."""
        return " ".join("".join(self.pieces).split())

    def of(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Give the attributes of every such element; `kind` stands for `class`."""
        wanted = {"class" if name == "kind" else name: value for name, value in attributes.items()}
        return [found for name, found in self.elements if name == tag and wanted.items() <= found.items()]


def chart(html: str, start: str) -> Page:
    """Read the first chart after `start`."""
    return Page(html[html.index("<svg", html.index(start)) :].partition("</svg>")[0] + "</svg>")


def test_the_answer_stands_under_the_heading() -> None:
    text = Page(render_report(make_report())).text
    assert (
        "1,191 clips, 60,654 pairs measured, 13,000 with motion of 2 to 5 px, 650 kept; "
        "flatness of their motion 0.993 (1 is flat)." in text
    )


def test_verdicts_have_their_number_share_and_meaning() -> None:
    text = Page(render_report(make_report())).text
    assert f"fetch_failed{VERDICTS_IN_WORDS['fetch_failed']}1,12394 %" in text
    assert "All verdicts1,201100 %" in text


def test_failures_have_reasons_and_rows() -> None:
    page = Page(render_report(make_report()))
    assert "fetch_failed: 1,123 clips, the bytes could not be had" in page.text
    for words in (
        "HTTP 4041,000",
        "10 other reasons100",
        "The first 1 clip",
        "https://example.org/a.gif?b=1&c=2row 3HTTP 404",
    ):
        assert words in page.text
    assert "In the folder of this page, pix2gif retry . tries again" in page.text


def test_what_broke_the_decoder_can_be_replayed_from_the_page() -> None:
    page = Page(render_report(make_report()))
    assert "Again: pix2gif replay . bad-0123, its bytes, the incident" in page.text
    assert [link["href"] for link in page.of("a") if not link["href"].startswith("#")] == [
        "quarantine/bad-0123.gif", "quarantine/bad-0123.json",
    ]  # fmt: skip


def test_commands_name_a_data_set_that_lies_in_a_store() -> None:
    text = Page(render_report(dataclasses.replace(make_report(), place="s3://bucket/out"))).text
    for command in ("view", "retry", "audit", "replay"):
        assert f"pix2gif {command} s3://bucket/out" in text
    assert "In the folder" not in text


def test_duplicates_say_who_stands_for_whom() -> None:
    text = Page(render_report(make_report())).text
    assert "11 clips show exactly what another shows (1 of them in another split), and 1 nearly" in text
    assert "The 1 with the most copies" in text
    text = text.partition("Who stands for whom")[2].replace(" ", "")
    assert "b.gifrow2,trainstandsforc.gifrow9,val:nearlythepicturesofrow2d.gifrow10" in text
    assert "d.gifrow10,train:thesamepicturesasrow2,trainand10more" in text


def test_cuts_gaps_and_shapes_are_counted() -> None:
    report = make_report()
    html = render_report(report)
    text = Page(html).text
    assert "606 of the measured pairs (1.0 %) and 13 of the kept ones (2.0 %) have a scene cut" in text
    assert "0 to 100400.501.253.00400.501.253.00" in text
    assert "100 and more2020" in text
    cells = chart(html, 'id="gaps"')
    assert cells.of("rect", kind="cell")[0]["fill-opacity"] == "0.88"
    assert "gap 0 to 100 ms, motion 0 to 2 px: 30 pairs (75 % of this gap)" in cells.text
    assert "gap 100 ms and more, motion 2 px and more: 20 pairs (100 % of this gap)" in cells.text
    assert "Frames231655" in text.replace(" ", "")
    assert "10 frames and more, before: 8 clips (12 %)" in text
    assert "width 0 to 100 px, height 2 and more px: 10 clips (17 %)" in text


def test_stages_tell_what_they_did_in_a_second() -> None:
    text = Page(render_report(make_report())).text
    assert "measure3 min 20 s86 % 60,654 pairs 303" in text
    assert "export20.0 s8.6 % 650 samples 32.5" in text


def test_splits_parameters_and_software_are_listed() -> None:
    text = Page(render_report(make_report())).text
    for row in ("train676502 34.5 MB", "seed0", "max_bytesnull", "numpy2.1.0"):
        assert row.replace(" ", "") in text.replace(" ", "")


def test_the_first_pairs_stand_in_the_page_itself() -> None:
    report = dataclasses.replace(make_report(), pairs=tuple(make_pair(number) for number in range(40)))
    page = Page(render_report(report))
    images = [image for image in page.of("img") if "src" in image]
    assert len(images) == 4 * 12
    pictures = [base64.b64decode(image["src"].removeprefix("data:image/jpeg;base64,")) for image in images[:4]]
    assert pictures == 2 * [draw_picture(40), draw_picture(90)]
    assert [image["alt"] for image in images[:4]] == ["Source: a ball rolls", "Target: a ball rolls", "", ""]
    assert "motion 3.46 px, gap 1,240 ms, frames 0 to 3, train/00000.tar" in page.text
    assert "The first 12 of them stand here." in page.text


def test_all_pairs_stand_in_the_page_for_the_script() -> None:
    report = make_report()
    page = Page(render_report(report))
    pairs = json.loads(page.scripts[0])
    assert [pair["caption"] for pair in pairs] == ["a ball rolls", HOSTILE]
    assert base64.b64decode(pairs[1]["target"]) == draw_picture(90)
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
                clips=(FailedClip(row=1, uri=HOSTILE, reason=HOSTILE, clip_key=HOSTILE, has_incident=True),),
            ),
        ),
        duplicates=dataclasses.replace(
            report.duplicates,
            originals=(
                dataclasses.replace(
                    report.duplicates.originals[0], uri=HOSTILE, split=HOSTILE,
                    copies=(dataclasses.replace(report.duplicates.originals[0].copies[0], uri=HOSTILE, how=HOSTILE),),
                ),
            ),
        ),
    )  # fmt: skip
    plain, html = render_report(report), render_report(hostile)
    page = Page(html)
    assert html.count("<script") == plain.count("<script") == 2
    assert page.scripts[1:] == Page(plain).scripts[1:]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.of("img")[0]["alt"] == f"Source: {HOSTILE}"
    assert page.text.count(HOSTILE) >= 20


@pytest.mark.parametrize("report", [make_report(), make_empty_report()], ids=["full", "empty"])
def test_nothing_outside_the_data_set_is_referred_to(report: Report) -> None:
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
    assert all("src" not in script for script in page.of("script"))


def test_every_header_cell_has_a_scope_and_every_picture_a_text() -> None:
    page = Page(render_report(make_report()))
    assert {header.get("scope") for header in page.of("th")} == {"row", "col"}
    assert all("alt" in image for image in page.of("img"))
    assert all(chart.keys() & {"aria-labelledby", "aria-hidden"} for chart in page.of("svg"))


def test_bars_before_and_after_share_an_axis() -> None:
    bars = chart(render_report(make_report()), '<div class="charts">')
    before = [float(bar["height"]) for bar in bars.of("rect", kind="before")]
    after = [float(bar["height"]) for bar in bars.of("rect", kind="after")]
    assert before == pytest.approx([before[0], before[0] / 3, before[0] / 9], abs=0.1)
    per_share = before[0] / (9 / 13)
    assert after == pytest.approx([per_share * kept / 650 for kept in (210, 220, 220)], abs=0.1)


def test_bars_in_the_range_are_marked() -> None:
    bars = chart(render_report(make_report()), 'id="motion"')
    kinds = [bar["class"] for bar in bars.of("rect")]
    assert kinds == ["range", "out", "out", "after", "after", "after", "out", "out"]
    assert "0 to 1 px: 40,000 pairs (66 %)" in bars.text
    assert "6 px and more: 5,000 pairs (8.2 %)" in bars.text


def test_an_empty_data_set_renders() -> None:
    html = render_report(make_empty_report())
    for sentence in (
        "No pair was kept. 0 clips", "No pair was measured.", "There is no split.", "There is no pair to show.",
        "Nothing failed.", "No clip was measured.", "No clip shows what another one shows.", "No stage was timed.",
    ):  # fmt: skip
        assert sentence in Page(html).text
    assert html.count("<script") == 1  # The data, and nothing that would run.


def test_a_split_without_pairs_renders() -> None:
    report = make_report()
    empty = dataclasses.replace(
        report.splits[0], num_samples=0, motion=Histogram(edges=(2, 3), before=(0,), after=(0,))
    )
    no_bins = dataclasses.replace(empty, name="val", motion=Histogram(edges=(2,), before=(), after=()))
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
    with pytest.raises(ValueError, match="3 and 1 bins between 4 edges"):
        dataclasses.replace(make_report().splits[0].motion, after=(1,))
