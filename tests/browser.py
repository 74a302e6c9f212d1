"""A real browser for the tests of pages: Chromium, headless, which speaks to this machine alone."""

import contextlib
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_PATIENCE_MS = 60_000


@contextlib.contextmanager
def open_browser(address: str, **options: object) -> Iterator[Page]:
    """Open a page in Chromium; skips where it is not installed.

    At the end of the block no error may stand in the page's console, and nothing may have been asked of anybody else.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium here; install the package chromium")
    errors: list[str] = []
    asked: set[str] = set()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(_QUIET))
        context: BrowserContext = browser.new_context(**options)
        page = context.new_page()
        page.set_default_timeout(_PATIENCE_MS)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: asked.add(request.url))
        page.goto(address)
        yield page
        browser.close()
    assert errors == []
    assert {url for url in asked if not url.startswith((address, "data:", "blob:"))} == set()
