"""The model card: what was read, what it rests on, and its page."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import narwhals as nw
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.stages import segments_card, segments_contracts, segments_trust, segments_validation
from tests.conftest import MakeCompany
from tests.stages.contract_companies import bills_of, yearly_contracts
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
    assert card.table["section"].iloc[0] == "When not to trust it"
    assert len(card.table) < 40
    for words in ("log r ~ N", "95% interval", "numpy", "**Seed**: 7", "1. "):
        assert words in text


def test_the_card_tells_of_draws_from_the_posterior(make_company: MakeCompany) -> None:
    pytest.importorskip("pymc_marketing", reason="the extra `bayes` is not installed")
    deals, told_so = bought(60), {"estimation": "bayes", "bootstraps": 20}
    made = make_company({"deals": deals}, lifetime_value=told_so)
    value = valued(deals, told(**told_so))
    nothing = Unanswered("segments.lifetime_value", "not looked at.")
    card = segments_card.model_card(value, made.data, made.settings, found=nothing, checks=nothing)
    rows = card.table.set_index(["section", "item"])["value"]

    clients = "Clients that buy as they need"
    assert rows["Parameters", f"{clients} (posterior)"].startswith("4,000 draws; R-hat at most 1.00")
    assert rows["Parameters", f"{clients} (95% intervals)"].startswith("r ")
    assert "log r ~ N" in rows["Parameters", "Priors"]
    assert rows["How it was made", "Estimation"].startswith("the posterior with weak priors, drawn from by pymc-marketing")
    assert "pymc-marketing 0.19" in rows["How it was made", "Versions"]


def test_without_a_value_the_card_says_why(make_company: MakeCompany) -> None:
    made = make_company({"deals": bought(5).assign(status="lost")})
    value = Unanswered("segments.lifetime_value", "no deal was won.")
    found = segments_validation.evidence(value, made.data, made.settings)
    card = segments_card.model_card(value, made.data, made.settings, found=found, checks=segments_trust.trust(found, value))

    assert card.sentence == "No model of purchases is in use: no deal was won."
    assert "No value is given" in segments_card.card_text(card)


def test_contracts_alone_have_a_card_of_their_own(make_company: MakeCompany, tmp_path: Path) -> None:
    held = yearly_contracts([1] * 6 + [2] * 4, [0] * 5 + [1] * 8 + [2] * 9)
    made = make_company({"contracts": held, "deals": bills_of(held)})
    contracts = segments_contracts.contracts(made.data, made.settings, lambda _, frame, **told: frame)
    value = Unanswered("segments.lifetime_value", "all won deals are bills of contracts.")
    found = segments_validation.evidence(value, made.data, made.settings)
    checks = segments_trust.trust(found, value)
    card = segments_card.model_card(value, made.data, made.settings, found=found, checks=checks, contracts=contracts)
    rows = card.table.set_index(["section", "item"])["value"]["Contracts"]

    assert card.sentence.startswith("The values of this run rest on the renewals of 32 contracts.")
    assert "No value is given" not in segments_card.card_text(card)
    assert rows["Made from"].startswith("32 contracts, 10 of them ended;")
    assert rows["Parameters of sBG (95% intervals)"].startswith("alpha ")
    assert rows["Term"] == "12 months; contracts are read from their table"
    assert any("No contract was seen beyond 2 renewals" in reason for reason in card.limits)
