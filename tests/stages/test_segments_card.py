"""The model card: what was read, what it rests on, and its page."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import narwhals as nw

from crm_methods.company.answers import Unanswered
from crm_methods.stages import segments_card, segments_trust, segments_validation
from tests.conftest import MakeCompany
from tests.stages.valued import bought, told, valued


def test_the_card_counts_every_deal_once_and_says_what_the_values_rest_on(make_company: MakeCompany, tmp_path: Path) -> None:
    deals = bought(60)
    deals.loc[0, "status"] = "lost"
    deals.loc[1, "amount"] = -50.0
    deals.loc[2, "closed_on"] = dt.datetime(2026, 2, 1)
    made = make_company({"deals": deals})
    counted = deals.drop(index=[0, 1, 2])
    value = valued(counted, told())
    # The histories are frames of pandas here, and so must be the deals they are set beside.
    found = segments_validation.evidence(value, made.data, made.settings, nw.from_native(counted).lazy())
    checks = segments_trust.trust(found, value)
    assert isinstance(checks, segments_trust.Trust)
    card = segments_card.model_card(value, made.data, made.settings, found=found, checks=checks, top_share=0.4)
    rows = card.table.set_index(["section", "item"])["value"]

    assert rows["Data", "Deals read"] == f"{len(deals):,}, of them 1 after the as-of day"
    assert rows["Data", "Of them purchases"].startswith(f"{len(counted):,} won deals")
    assert rows["Data", "Left out"] == "1 not won, 1 returns and credit notes"
    assert rows["Checks"].tolist() == [f"{row.verdict}: {row.result}" for row in checks.table.itertuples()]
    assert rows["When not to trust it"].tolist() == list(card.limits)

    rest = made.data.scan("deals").filter(nw.col("closed_on") > dt.date(2023, 6, 1))
    bills = (counted["closed_on"] <= "2023-06-01").sum()
    apart = segments_card.model_card(value, made.data, made.settings, found=found, checks=checks, deals=rest)
    assert f"{bills} bills of contracts" in apart.table.set_index(["section", "item"])["value"]["Data", "Left out"]

    text = segments_card.card_text(card)
    assert text.startswith("# Model card: lifetime value of the clients of Example\n\nThe values of this run rest on MBG/NBD.")
    for words in ("log r ~ N", "95% interval", "numpy", "**Seed**: 7", "1. "):
        assert words in text


def test_without_a_value_the_card_says_why(make_company: MakeCompany) -> None:
    made = make_company({"deals": bought(5).assign(status="lost")})
    value = Unanswered("segments.lifetime_value", "no deal was won.")
    found = segments_validation.evidence(value, made.data, made.settings)
    card = segments_card.model_card(value, made.data, made.settings, found=found, checks=segments_trust.trust(found, value))

    assert card.sentence == "No model of purchases is in use: no deal was won."
    assert "No value is given" in segments_card.card_text(card)
