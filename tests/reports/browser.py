"""A page in headless Chromium, for tests that must see what a reader sees."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What happened while a page was open."""

    page: Any
    console: list[str]
    requests: list[str]
    width: int

    @property
    def overflow(self) -> int:
        """How many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.scrollingElement.scrollWidth")) - self.width

    def visible(self, selector: str) -> bool:
        """Whether the first element of ``selector`` can be seen."""
        return bool(self.page.locator(selector).first.is_visible())


Open = Callable[..., Seen]


def missing(reason: str) -> NoReturn:
    """Skip the test; in CI, where the browser belongs to the machine, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have it: {reason}")
    pytest.skip(reason)


@contextmanager
def open_browser() -> Iterator[Open]:
    """Yield ``open(path, width=1280)``, which shows a file and notes console messages and requests."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("the browser tests need playwright")
    chromium = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if chromium is None:
        missing("the browser tests need Chromium")
    with sync_playwright() as playwright:
        # launched with a new, empty profile each time
        browser = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)

        def show(path: Path, width: int = 1280) -> Seen:
            page = browser.new_page(viewport={"width": width, "height": 900})
            console: list[str] = []
            requests: list[str] = []
            page.on("console", lambda message: console.append(message.text))
            page.on("pageerror", lambda error: console.append(str(error)))
            page.on("request", lambda request: requests.append(request.url))
            # nothing but the file itself is served, should a page ask for more
            page.route("**/*", lambda route: route.continue_() if len(requests) == 1 else route.abort())
            page.goto(path.resolve().as_uri(), wait_until="load")
            return Seen(page, console, requests, width)

        yield show
        browser.close()
