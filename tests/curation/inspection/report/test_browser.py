"""The report file in Chromium: filters, pages, keyboard, enlarged pairs, contrast, phone, no scripts."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from curation.inspection.report.page import render_report
from tests.browser import find_barriers, open_page, start_browser
from tests.contrast import find_lowest_contrast, measure_contrast
from tests.curation.inspection.report.helpers import HOSTILE, make_pair, make_report

DESKTOP = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 30 pairs: 20 of train with 1 to 20 px of motion, 10 of val with 21.5 to 30.5 px."""
    pairs = [make_pair(number, motion_px=number + 1.0) for number in range(20)]
    pairs += [make_pair(number, split="val", motion_px=number + 1.5, caption="A cat runs") for number in range(20, 30)]
    pairs[3] = dataclasses.replace(pairs[3], caption=HOSTILE)
    report = make_report()
    splits = (report.splits[0], dataclasses.replace(report.splits[0], name="val"))
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(dataclasses.replace(report, pairs=tuple(pairs), splits=splits)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with start_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def tab(browser: Browser, path: Path) -> Iterator[Page]:
    with open_page(browser, path.as_uri(), viewport=DESKTOP) as page:
        yield page


@pytest.fixture
def page(tab: Page, path: Path) -> Page:
    tab.goto(path.as_uri())
    wait_for_status(tab, "30 pairs, page 1 of 3")
    return tab


def wait_for_status(page: Page, text: str) -> None:
    page.locator("#status", has_text=text).wait_for()


def read_motion_px(page: Page) -> list[float]:
    return [
        float(re.search(r"motion ([\d.]+) px", text)[1]) for text in page.locator("#samples .facts").all_inner_texts()
    ]


def test_filters_by_text_split_and_motion(page: Page) -> None:
    assert read_motion_px(page) == [number + 1.0 for number in range(12)]
    page.locator("body").press("/")
    page.keyboard.type("CAT a_00")
    wait_for_status(page, "10 pairs, page 1 of 1")
    assert set(page.locator(".caption").all_inner_texts()) == {"A cat runs"}
    page.locator("[name=text]").fill("")
    page.locator("[name=split]").select_option("val")
    wait_for_status(page, "10 pairs, page 1 of 1")
    assert read_motion_px(page) == [number + 1.5 for number in range(20, 30)]
    page.get_by_label("Min. motion, px").fill("25")
    page.get_by_label("Max. motion, px").fill("27.5")
    wait_for_status(page, "3 pairs, page 1 of 1")
    assert read_motion_px(page) == [25.5, 26.5, 27.5]
    page.locator("[name=split]").select_option("train")
    wait_for_status(page, "No pairs match the filters.")


def test_pages_turn_by_button_and_key(page: Page) -> None:
    page.get_by_role("button", name="Next").click()
    wait_for_status(page, "30 pairs, page 2 of 3")
    assert read_motion_px(page)[0] == 13
    page.locator("body").press("n")
    wait_for_status(page, "page 3 of 3")
    assert page.get_by_role("button", name="Next").is_disabled()
    page.locator("body").press("p")
    page.get_by_role("button", name="Previous").click()
    wait_for_status(page, "page 1 of 3")


def test_arrow_keys_move_between_pairs_and_pages(page: Page) -> None:
    buttons = page.locator(".enlarge")
    buttons.nth(10).focus()
    page.keyboard.press("ArrowRight")
    assert buttons.nth(11).evaluate("button => button === document.activeElement")
    page.keyboard.press("ArrowRight")
    wait_for_status(page, "page 2 of 3")
    assert buttons.nth(0).evaluate("button => button === document.activeElement")
    page.keyboard.press("ArrowLeft")
    wait_for_status(page, "page 1 of 3")
    assert buttons.nth(11).evaluate("button => button === document.activeElement")


def test_keys_enlarge_flip_step_and_close(page: Page) -> None:
    page.locator(".enlarge").nth(11).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("motion 12.00 px").wait_for()
    top_image = dialog.locator(".blink img + img")
    assert top_image.evaluate("image => getComputedStyle(image).animationName") == "blink"
    for mode, opacity in (("target", "1"), ("source", "0"), ("target", "1")):
        page.keyboard.press("Space")
        assert dialog.locator("#large-mode").inner_text() == mode
        assert top_image.evaluate("image => getComputedStyle(image).opacity") == opacity
    page.keyboard.press("ArrowRight")
    dialog.get_by_text("motion 13.00 px").wait_for()
    assert dialog.locator("#large-mode").inner_text() == "target"
    page.keyboard.press("ArrowLeft")
    dialog.get_by_text("motion 12.00 px").wait_for()
    page.keyboard.press("b")
    assert top_image.evaluate("image => getComputedStyle(image).animationName") == "blink"
    assert dialog.get_by_role("button", name="Blink").get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert page.locator(".enlarge").nth(11).evaluate("button => button === document.activeElement")


def test_third_picture_blinks_or_shows_one_frame(page: Page) -> None:
    top_image = page.locator("#samples .blink img + img").first
    opacities = top_image.evaluate(
        "async image => { const values = new Set(); for (let k = 0; k < 30 && values.size < 2; k++) {"
        " values.add(getComputedStyle(image).opacity); await new Promise(done => setTimeout(done, 100)); }"
        " return [...values].sort(); }"
    )
    assert opacities == ["0", "1"]
    for mode, opacity in (("show-target", "1"), ("show-source", "0")):
        page.get_by_label("Third picture").select_option(mode)
        assert top_image.evaluate("image => getComputedStyle(image).opacity") == opacity
    assert page.locator("#samples img").evaluate_all(
        "images => images.every(image => image.complete && image.naturalWidth === 8)"
    )


def test_captions_are_shown_as_text(page: Page) -> None:
    assert page.locator("#samples .caption").nth(3).inner_text() == HOSTILE
    page.locator("[name=text]").fill("</script>")
    wait_for_status(page, "1 pair, page 1 of 1")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_all_text_has_enough_contrast(browser: Browser, path: Path, scheme: str) -> None:
    with open_page(browser, path.as_uri(), viewport=DESKTOP, color_scheme=scheme) as page:
        wait_for_status(page, "page 1 of")
        ratio, description = find_lowest_contrast(page)
        assert ratio >= 4.5, description
        page.locator(".enlarge").first.click()
        assert measure_contrast(page, "#large-facts") >= 4.5
        assert measure_contrast(page, "#blink") >= 4.5


@pytest.mark.parametrize("width", [320, 390])
def test_page_fits_a_phone(browser: Browser, path: Path, width: int) -> None:
    with open_page(
        browser, path.as_uri(), viewport={"width": width, "height": 800}, is_mobile=True, has_touch=True
    ) as page:
        wait_for_status(page, "page 1 of")
        page.locator("details").evaluate_all("elements => elements.forEach((element) => { element.open = true; })")
        assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
        page.locator(".enlarge").first.tap()
        assert page.get_by_role("dialog").bounding_box()["width"] <= width
        assert find_barriers(page) == []


def test_page_without_scripts_hides_only_the_filters(browser: Browser, path: Path) -> None:
    with open_page(browser, path.as_uri(), viewport=DESKTOP, java_script_enabled=False) as page:
        assert page.locator("#samples li").count() == 12
        assert not page.get_by_role("search").is_visible()
        assert page.get_by_text("Only the first 12 are shown.").is_visible()
        assert page.locator("svg[role=img]").count() == 7


def test_reduced_motion_disables_animation(browser: Browser, path: Path) -> None:
    with open_page(browser, path.as_uri(), viewport=DESKTOP, reduced_motion="reduce") as page:
        wait_for_status(page, "page 1 of")
        page.locator(".enlarge").first.click()
        assert page.locator("#large-mode").inner_text() == "source"
        assert page.evaluate("document.getAnimations().length") == 0
