"""Contrast ratio of text in a page, by WCAG 2, from the colours that the browser computes."""

import re

from playwright.sync_api import Page

_COLOURS = """
element => {
  // The background is that of the nearest ancestor whose background is not transparent.
  const background = (node) => getComputedStyle(node).backgroundColor;
  let ancestor = element;
  while (ancestor && background(ancestor) === "rgba(0, 0, 0, 0)") ancestor = ancestor.parentElement;
  const style = getComputedStyle(element);
  return [element instanceof SVGElement ? style.fill : style.color, background(ancestor ?? document.body)];
}
"""
_COLOURS_OF_ALL_TEXT = f"""
elements => elements
  .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
  .filter((element) => element.checkVisibility() && !element.closest('button:disabled, title, dialog:not([open])'))
  .map((element) => [
    ({_COLOURS})(element), `${{element.tagName}} ${{element.className}}: ${{element.textContent.trim().slice(0, 60)}}`,
  ])
"""


def measure_contrast(page: Page, selector: str) -> float:
    """Return the contrast ratio of the first element that matches."""
    return _contrast_ratio(page.locator(selector).first.evaluate(_COLOURS))


def find_lowest_contrast(page: Page) -> tuple[float, str]:
    """Return the lowest contrast ratio of all visible text, and the text that has it."""
    texts = page.locator("body *").evaluate_all(_COLOURS_OF_ALL_TEXT)
    return min((_contrast_ratio(colours), description) for colours, description in texts)


def _contrast_ratio(colours: list[str]) -> float:
    darker, lighter = sorted(_relative_luminance(colour) for colour in colours)
    return (lighter + 0.05) / (darker + 0.05)


def _relative_luminance(colour: str) -> float:
    channels = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
