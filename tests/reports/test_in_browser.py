"""The pages as a reader meets them: on a desk, on a phone, on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from .browser import Open


@pytest.fixture(scope="module", params=["2_segments", "index"])
def page_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on disk."""
    html = str(request.getfixturevalue("index_page" if request.param == "index" else "stage_page"))
    path = tmp_path_factory.mktemp("pages") / f"{request.param}.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def stage_file(stage_page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a stage on disk."""
    path = tmp_path_factory.mktemp("page") / "2_segments.html"
    path.write_text(stage_page, encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [1280, 820, 390])
def test_a_page_opens_quietly_and_fits_its_window(browser_page: Open, page_file: Path, width: int) -> None:
    seen = browser_page(page_file, width=width)
    assert seen.console == []
    assert [Path(url).name for url in seen.requests] == [page_file.name]
    assert seen.overflow <= 0
    assert seen.visible("h1")


def test_contents_stand_beside_the_report_on_a_desk_and_are_folded_on_a_phone(browser_page: Open, stage_file: Path) -> None:
    desk, phone = browser_page(stage_file), browser_page(stage_file, width=390)
    assert [desk.visible(".contents.wide li"), desk.visible(".contents.narrow")] == [True, False]
    assert [phone.visible(".contents.wide"), phone.visible(".contents.narrow li")] == [False, False]
    phone.page.locator(".contents.narrow summary").click()
    assert phone.visible(".contents.narrow li")


def test_code_is_folded_until_asked_for(browser_page: Open, stage_file: Path) -> None:
    seen = browser_page(stage_file)
    assert not seen.visible("details.code pre")
    seen.page.locator("details.code summary").first.click()
    assert seen.visible("details.code pre")


def test_on_paper_there_is_neither_code_nor_navigation(browser_page: Open, page_file: Path) -> None:
    seen = browser_page(page_file)
    seen.page.emulate_media(media="print")
    assert not any(seen.visible(s) for s in (".contents", ".neighbours", "details.code", ".skip") if seen.page.locator(s).count())
    assert seen.visible("h1")
    assert seen.page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_the_keyboard_finds_the_way_past_the_head(browser_page: Open, page_file: Path) -> None:
    seen = browser_page(page_file)
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("document.activeElement.className") == "skip"
    seen.page.keyboard.press("Enter")
    assert seen.page.evaluate("document.activeElement.id") == "main"
