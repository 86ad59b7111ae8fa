from __future__ import annotations

import datetime as dt

import pytest
import yaml

from crm_methods.company.draft_yaml import DraftText, quoted, remark, render
from crm_methods.company.peek import Sample
from crm_methods.company.recognise import Feed, Match

HOSTILE = [
    "plain", "", " ", "a: b", "# x", '"', "'", "\\", "{a: [b", "- x", "no", "1e3", "2024-01-01", "!!python/object", "&a *b",
    "=1+1", "two\nlines", "tab\t", "nul\0", "\x1b[31m", "\x85", "\u2028", "\ufeff", "\u200b", "\u00a0", "\ud800",
    "я", "名", "🙂", "x" * 3000, "%", "?", "|",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_any_text_comes_back_from_yaml_as_it_was(text: str):
    assert yaml.safe_load(f"key: {quoted(text)}") == {"key": text}
    assert yaml.safe_load(f"key: {{x: {quoted(text)}, y: [{quoted(text)}]}}") == {"key": {"x": text, "y": [text]}}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_any_text_stays_within_its_comment(text: str):
    said = remark(text)

    assert len(said.splitlines()) <= 1
    assert yaml.safe_load(f"a: 1   # {said}\nb: 2") == {"a": 1, "b": 2}


def draft(titles: list[str], **extra: object) -> str:
    columns = ("deal_id", "client_id", "closed_on", "amount", "terms", "kind", "owner", "cost")
    sample = Sample("a\nb.csv", {"file": "a.csv"}, tuple(titles), ())
    matches = {ours: Match(title, "sure", title) for ours, title in zip(columns, titles, strict=False)}
    feed = Feed("deals", sample, matches, 1.0, extra=extra, questions=tuple(titles))
    return render(DraftText("x", dt.date(2024, 1, 5), "EUR", [feed], {}, {}, unused={t: t for t in titles}))


@pytest.mark.parametrize("start", range(0, len(HOSTILE), 8))
def test_hostile_headers_come_back_as_they_were(start: int):
    titles = HOSTILE[start : start + 8]
    read = yaml.safe_load(draft(titles, values={"terms": dict.fromkeys([t for t in titles if len(t) < 100], "x")}))

    assert list(read["tables"]["deals"]["columns"].values()) == titles
    assert set(read["tables"]["deals"]["values"]["terms"]) == {t for t in titles if len(t) < 100}
    assert set(read) == {"company", "as_of", "currency", "tables"}


def test_a_file_without_header_gets_names():
    sample = Sample("a.txt", {"file": "a.txt", "header": False}, ("column_1", "column_2"), ())
    feed = Feed("deals", sample, {"client_id": Match("column_2", "a guess", "")}, 1.0)
    read = yaml.safe_load(render(DraftText("x", dt.date(2024, 1, 5), "EUR", [feed], {}, {})))

    assert read["tables"]["deals"] == {"file": "a.txt", "header": False, "names": ["column_1", "client_id"]}
