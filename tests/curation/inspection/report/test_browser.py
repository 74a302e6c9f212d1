"""The report opened from its file in a real browser, as a person opens it: looked through with clicks and keys."""

import dataclasses
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page

from curation.inspection.report.page import render_report
from tests.browser import open_browser
from tests.contrast import contrast_of, worst_contrast
from tests.curation.inspection.report.drawn import HOSTILE, make_pair, make_report

WIDE = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with 30 pairs: 20 of train that move 1 to 20 px, 10 of val that move half a pixel more."""
    pairs = [make_pair(number, motion_px=number + 1.0) for number in range(20)]
    pairs += [make_pair(number, split="val", motion_px=number + 1.5, caption="A cat runs") for number in range(20, 30)]
    pairs[3] = dataclasses.replace(pairs[3], caption=HOSTILE)
    report = make_report()
    splits = (report.splits[0], dataclasses.replace(report.splits[0], name="val"))
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(dataclasses.replace(report, pairs=tuple(pairs), splits=splits)), encoding="utf-8")
    return path


@pytest.fixture
def page(path: Path):
    with open_browser(path.as_uri(), viewport=WIDE) as page:
        told(page, "30 pairs, page 1 of 3")
        yield page


def told(page: Page, words: str) -> None:
    page.locator("#told", has_text=words).wait_for()


def motions(page: Page) -> list[float]:
    return [
        float(re.search(r"motion ([\d.]+) px", text)[1]) for text in page.locator("#samples .facts").all_inner_texts()
    ]


def test_pairs_are_found_by_words_split_and_motion(page: Page) -> None:
    assert motions(page) == [number + 1.0 for number in range(12)]
    page.locator("body").press("/")
    page.keyboard.type("CAT a_00")
    told(page, "10 pairs, page 1 of 1")
    assert set(page.locator(".quote").all_inner_texts()) == {"A cat runs"}
    page.locator("[name=text]").fill("")
    page.locator("[name=split]").select_option("val")
    told(page, "10 pairs, page 1 of 1")
    assert motions(page) == [number + 1.5 for number in range(20, 30)]
    page.get_by_label("motion from, px").fill("25")
    page.get_by_label("to, px", exact=True).fill("27.5")
    told(page, "3 pairs, page 1 of 1")
    assert motions(page) == [25.5, 26.5, 27.5]
    page.locator("[name=split]").select_option("train")
    told(page, "No sample is like that.")


def test_pages_turn_by_click_and_by_key(page: Page) -> None:
    page.get_by_role("button", name="Next").click()
    told(page, "30 pairs, page 2 of 3")
    assert motions(page)[0] == 13
    page.locator("body").press("n")
    told(page, "page 3 of 3")
    assert page.get_by_role("button", name="Next").is_disabled()
    page.locator("body").press("p")
    page.get_by_role("button", name="Back").click()
    told(page, "page 1 of 3")


def test_arrows_step_from_pair_to_pair_and_over_the_end_of_a_page(page: Page) -> None:
    cards = page.locator(".closer")
    cards.nth(10).focus()
    page.keyboard.press("ArrowRight")
    assert cards.nth(11).evaluate("card => card === document.activeElement")
    page.keyboard.press("ArrowRight")
    told(page, "page 2 of 3")
    assert cards.nth(0).evaluate("card => card === document.activeElement")
    page.keyboard.press("ArrowLeft")
    told(page, "page 1 of 3")
    assert cards.nth(11).evaluate("card => card === document.activeElement")


def test_a_pair_is_enlarged_flipped_and_left_by_keys(page: Page) -> None:
    page.locator(".closer").nth(11).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("motion 12.00 px").wait_for()
    over = dialog.locator(".blink img + img")
    assert over.evaluate("picture => getComputedStyle(picture).animationName") == "blink"
    for shown, opacity in (("target", "1"), ("source", "0"), ("target", "1")):
        page.keyboard.press("Space")
        assert dialog.locator("#large-shown").inner_text() == shown
        assert over.evaluate("picture => getComputedStyle(picture).opacity") == opacity
    page.keyboard.press("ArrowRight")
    dialog.get_by_text("motion 13.00 px").wait_for()
    assert dialog.locator("#large-shown").inner_text() == "target"
    page.keyboard.press("ArrowLeft")
    dialog.get_by_text("motion 12.00 px").wait_for()
    page.keyboard.press("b")
    assert over.evaluate("picture => getComputedStyle(picture).animationName") == "blink"
    assert dialog.get_by_role("button", name="Blink").get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert page.locator(".closer").nth(11).evaluate("card => card === document.activeElement")


def test_the_third_picture_blinks_and_obeys(page: Page) -> None:
    over = page.locator("#samples .blink img + img").first
    seen = over.evaluate(
        "async picture => { const seen = new Set(); for (let k = 0; k < 30 && seen.size < 2; k++) {"
        " seen.add(getComputedStyle(picture).opacity); await new Promise(done => setTimeout(done, 100)); }"
        " return [...seen].sort(); }"
    )
    assert seen == ["0", "1"]
    for chosen, opacity in (("show-target", "1"), ("show-source", "0")):
        page.get_by_label("third picture").select_option(chosen)
        assert over.evaluate("picture => getComputedStyle(picture).opacity") == opacity
    assert page.locator("#samples img").evaluate_all("all => all.every(one => one.complete && one.naturalWidth === 8)")


def test_a_caption_is_text_whatever_it_holds(page: Page) -> None:
    assert page.locator("#samples .quote").nth(3).inner_text() == HOSTILE
    page.locator("[name=text]").fill("</script>")
    told(page, "1 pair, page 1 of 1")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_all_text_can_be_read(path: Path, scheme: str) -> None:
    with open_browser(path.as_uri(), viewport=WIDE, color_scheme=scheme) as page:
        told(page, "page 1 of")
        ratio, where = worst_contrast(page)
        assert ratio >= 4.5, where
        page.locator(".closer").first.click()
        assert contrast_of(page, "#large-facts") >= 4.5
        assert contrast_of(page, "#blink") >= 4.5


def test_it_fits_a_phone(path: Path) -> None:
    with open_browser(path.as_uri(), viewport={"width": 390, "height": 800}, is_mobile=True, has_touch=True) as page:
        told(page, "page 1 of")
        page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
        assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [390, 390]
        page.locator(".closer").first.tap()
        assert page.get_by_role("dialog").bounding_box()["width"] <= 390


def test_without_scripts_all_but_the_browser_is_there(path: Path) -> None:
    with open_browser(path.as_uri(), viewport=WIDE, java_script_enabled=False) as page:
        assert page.locator("#samples li").count() == 12
        assert not page.get_by_role("search").is_visible()
        assert page.get_by_text("The first 12 of them stand here.").is_visible()
        assert page.locator("svg[role=img]").count() == 7


def test_who_asks_for_less_motion_sees_none(path: Path) -> None:
    with open_browser(path.as_uri(), viewport=WIDE, reduced_motion="reduce") as page:
        told(page, "page 1 of")
        page.locator(".closer").first.click()
        assert page.locator("#large-shown").inner_text() == "source"
        assert page.evaluate("document.getAnimations().length") == 0
