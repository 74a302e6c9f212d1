"""Open pages in headless Chromium. Tests skip if Chromium is not installed."""

import contextlib
import shutil
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_OFFLINE_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_TIMEOUT_MS = 60_000


@contextlib.contextmanager
def start_browser() -> Iterator[Browser]:
    """Start Chromium for many pages. While it runs, asyncio.run fails in this thread, because Playwright has a loop."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed; install the package chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(_OFFLINE_FLAGS))
        yield browser
        browser.close()


@contextlib.contextmanager
def open_page(browser: Browser, address: str, **options: object) -> Iterator[Page]:
    """Open a page in a new browser context, which shares nothing with others, with these options.

    On exit, asserts that the console has no error and that no other host was contacted.
    """
    errors: list[str] = []
    requested: set[str] = set()
    with browser.new_context(**options) as context:
        page = context.new_page()
        page.set_default_timeout(_TIMEOUT_MS)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requested.add(request.url))
        page.goto(address)
        yield page
    assert errors == []
    assert {url for url in requested if not url.startswith((address, "data:", "blob:"))} == set()


def find_barriers(page: Page) -> list[str]:
    """List what axe-core, which checks pages for screen readers and keyboards, finds wrong, each with an example."""
    violations = Axe().run(page).response["violations"]
    return [f"{found['impact']}: {found['help']}: {found['nodes'][0]['html'][:200]}" for found in violations]
