"""Laws of text that leaves: it can only be read."""

from __future__ import annotations

import pytest

from crm_methods.reports.markup import anchor, css_string, escape, plain


@pytest.mark.parametrize("text", ["<b>", 'a"b', "a'b", "&lt;", "</style>", "<!--"])
def test_escaped_text_has_no_character_that_begins_or_ends_markup(text: str) -> None:
    assert not set("<>\"'") & set(escape(text))


def test_a_css_string_can_neither_be_closed_nor_close_its_element() -> None:
    inside = css_string('x"; } </style> \\ é')
    assert not set('";}<>/') & set(inside)
    assert inside.startswith("x\\22 ")


def test_control_characters_and_reversing_marks_go_and_all_else_stays() -> None:
    assert plain("a\x00b\x1b[31m\u202ec\nd\té Ж 漢") == "ab[31mc\nd\té Ж 漢"


@pytest.mark.parametrize(("text", "name"), [("Where margin comes from?", "where-margin-comes-from"), ("?!", "section")])
def test_an_anchor_has_words_and_hyphens_only(text: str, name: str) -> None:
    assert anchor(text) == name
