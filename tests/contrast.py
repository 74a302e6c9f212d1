"""How well text can be read: the contrast ratio of WCAG 2, of what a browser really shows."""

import re

from playwright.sync_api import Page

_GROUND = """
element => {
  // What stands behind an element: the nearest ground that is not transparent.
  let behind = element;
  while (behind && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  const text = element instanceof SVGElement ? getComputedStyle(element).fill : getComputedStyle(element).color;
  return [text, getComputedStyle(behind ?? document.body).backgroundColor];
}
"""
_ALL_TEXT = f"""
elements => elements
  .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
  .filter((one) => one.checkVisibility() && !one.closest('button:disabled, title, dialog:not([open])'))
  .map((one) => [({_GROUND})(one), `${{one.tagName}} ${{one.className}}: ${{one.textContent.trim().slice(0, 60)}}`])
"""


def contrast_of(page: Page, selector: str) -> float:
    """Tell the contrast of the first such element's text with its ground."""
    return _ratio(page.locator(selector).first.evaluate(_GROUND))


def worst_contrast(page: Page) -> tuple[float, str]:
    """Find the text of least contrast among all that is visible, and say which it is."""
    found = page.locator("body *").evaluate_all(_ALL_TEXT)
    return min((_ratio(colours), where) for colours, where in found)


def _ratio(colours: list[str]) -> float:
    lights = sorted(_luminance(colour) for colour in colours)
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in channels]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
