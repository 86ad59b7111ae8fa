from __future__ import annotations

import pytest

from crm_methods.company.wording import check_facts, pieces, placeholders
from crm_methods.errors import Faults


def test_each_name_between_braces_counts_once_and_in_order():
    assert placeholders("{b} and {a}, {b} again; {} and } stay") == ("b", "a", "")


@pytest.mark.parametrize("text", ["", "no fact", "{one}", "{one}{two} and {one}.", "a { b"])
def test_pieces_put_together_are_the_text(text: str):
    assert "".join(f"{{{words}}}" if is_fact else words for is_fact, words in pieces(text)) == text


def test_every_unknown_fact_is_named_with_the_nearest():
    faults = Faults()
    check_facts("plan.text", ["industy", "size", "colour"], {"industry": 1, "size": 2}, faults)

    assert [fault.found for fault in faults.items] == ["the unknown fact industy", "the unknown fact colour"]
    assert faults.items[0].remedy == 'Did you mean "industry"?'
