"""Referred clients, what they bring, and who refers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats import binomtest

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from crm_methods.stages import client_base, client_base_referrals
from crm_methods.stages.client_base_referrals import (
    SIGNIFICANT,
    Promoters,
    Referrals,
    client_origins,
    is_referral,
    permutation_p_value,
    promoters,
    referrals,
)
from tests.conftest import MadeCompany, MakeCompany

CLIENTS = pd.DataFrame(
    {
        "client_id": list("abcdef"), "name": list("ABCDEF"), "acquired_via": ["web", "Empfehlung", None, "web", None, "fair"],
        "referred_by": [None, "a", "a", "b", None, "f"],
    }
)  # fmt: skip
DEALS = pd.DataFrame(
    {"deal_id": range(6), "client_id": list("abcdef"), "closed_on": "2025-05-01", "amount": [10.0, 20, 30, 40, 50, 60]}
)


def _answers(made: MadeCompany) -> tuple[Any, Any, pd.Series]:
    facts = client_base.client_facts(made.data, made.settings)
    named = collect(client_origins(made.data, facts)).set_index("client_id")["origin"]
    return referrals(made.data, made.settings, facts), promoters(made.data, made.settings, facts), named


@pytest.mark.parametrize(
    "origin", ["Referral", "recommended by a client", "Empfehlung", "рекомендация", "Word of mouth", "passaparola"]
)
def test_a_referral_is_known_in_several_languages(origin: str):
    assert is_referral(origin)


@pytest.mark.parametrize("origin", ["web", "fair", "cold call", "partner", "Messe", "выставка"])
def test_other_origins_are_no_referrals(origin: str):
    assert not is_referral(origin)


def test_referred_is_who_says_so_or_names_the_client_that_referred_it(make_company: MakeCompany):
    _, _, origins = _answers(make_company({"clients": CLIENTS, "deals": DEALS}))

    # f names itself: that is no referral.
    assert origins.to_dict() == {"a": "other", "b": "referred", "c": "referred", "d": "referred", "e": "unknown", "f": "other"}


def test_origins_hold_every_buying_client_and_all_revenue(make_company: MakeCompany):
    found, _, _ = _answers(make_company({"clients": CLIENTS, "deals": DEALS}))
    assert isinstance(found, Referrals)

    assert found.origins["clients"].sum() == len(CLIENTS)
    assert found.origins["revenue"].sum() == pytest.approx(DEALS["amount"].sum())
    assert found.origins.set_index("origin").loc["referred", "mean_revenue"] == pytest.approx(30)
    assert "too few of either kind" in found.sentence


def test_a_large_difference_is_named_with_its_interval(make_company: MakeCompany):
    clients = pd.DataFrame({"client_id": [f"c{i}" for i in range(40)], "acquired_via": ["referral", "web"] * 20})
    deals = pd.DataFrame({"deal_id": range(40), "client_id": clients["client_id"], "closed_on": "2025-05-01"})
    deals = deals.assign(amount=[1000.0 + i if i % 2 == 0 else 10.0 + i for i in range(40)])
    found, _, _ = _answers(make_company({"clients": clients, "deals": deals}))

    assert "€989 more (p < 0.01 by permutation of the origins; approximate 95% interval of the difference" in found.sentence
    assert "Age and size of the clients are not held equal." in found.sentence


def _by_kind(make_company: MakeCompany, referred: Any, other: Any) -> str:
    amounts = [*referred, *other]
    came = ["referral"] * len(referred) + ["web"] * len(other)
    clients = pd.DataFrame({"client_id": [f"c{i:04}" for i in range(len(amounts))], "acquired_via": came})
    deals = pd.DataFrame({"deal_id": range(len(amounts)), "client_id": clients["client_id"], "closed_on": "2025-05-01"})
    found, _, _ = _answers(make_company({"clients": clients, "deals": deals.assign(amount=amounts)}))
    return str(found.sentence)


def test_few_clients_of_skewed_revenue_claim_no_difference(make_company: MakeCompany):
    """Welch's interval of these is −€279 to −€49: ten middling clients against a tail of large ones."""
    quantiles = stats.lognorm.ppf((np.arange(200) + 0.5) / 200, 1.5, scale=100)
    said = _by_kind(make_company, quantiles[np.linspace(40, 160, 10).astype(int)], quantiles)

    assert "no more of a difference than chance gives (p = " in said
    assert "less" not in said


def test_nine_clients_of_a_kind_are_not_compared(make_company: MakeCompany):
    assert "too few of either kind" in _by_kind(make_company, [1000.0] * 9, [1.0] * 50)


def test_clients_alike_seem_to_differ_in_one_case_of_twenty(monkeypatch: pytest.MonkeyPatch):
    """300 bases of 10 and 200 clients, lognormal with σ 1.5, seed 1: the exact binomial 99% interval reaches 5%."""
    monkeypatch.setattr(client_base_referrals, "PERMUTATIONS", 399)
    random = np.random.default_rng(1)
    bases = [random.lognormal(5, 1.5, 210) for _ in range(300)]
    claimed = sum(permutation_p_value(base[:10], base[10:], seed) < SIGNIFICANT for seed, base in enumerate(bases))

    assert binomtest(claimed, 300).proportion_ci(0.99).low <= 0.05


def test_less_revenue_is_found_as_well_as_more():
    small, large = np.arange(1.0, 41.0), np.arange(101.0, 141.0)

    assert permutation_p_value(small, large, 1) == permutation_p_value(large, small, 1) == pytest.approx(2 / 2_001)
    assert permutation_p_value(small, small, 1) > 0.5


def test_of_many_clients_some_are_dealt_anew_and_it_is_said(make_company: MakeCompany, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client_base_referrals, "MAX_COMPARED", 20)
    said = _by_kind(make_company, np.arange(50) + 1000.0, np.arange(15) + 10.0)

    assert "among at most 20 clients of each kind, evenly by id" in said
    assert "€1,008 more" in said


def test_of_many_origins_the_commonest_are_read_and_it_is_said(make_company: MakeCompany, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client_base_referrals, "MAX_ORIGINS", 2)
    clients = CLIENTS.assign(acquired_via=["web", "referral", "web", "referral", "fair", "fair 2"], referred_by=None)
    found, _, origins = _answers(make_company({"clients": clients, "deals": DEALS}))

    assert origins.to_dict() == dict(zip("abcdef", ["other", "referred"] * 2 + ["unknown"] * 2, strict=True))
    assert "Of 4 different texts that name an origin the 2 commonest were read" in found.sentence


def test_promoters_add_up_to_the_clients_that_name_one(make_company: MakeCompany):
    _, found, _ = _answers(make_company({"clients": CLIENTS, "deals": DEALS}))
    assert isinstance(found, Promoters)

    assert found.promoters[["client_id", "clients_referred", "referred_revenue"]].to_numpy().tolist() == [
        ["a", 2, 50],
        ["b", 1, 40],
    ]
    assert found.promoters["clients_referred"].sum() == 3


def test_a_promoter_that_is_no_client_is_said(make_company: MakeCompany):
    clients = CLIENTS.assign(referred_by=["Mr Smith", "a", None, None, None, None])
    _, found, _ = _answers(make_company({"clients": clients, "deals": DEALS}))

    assert isinstance(found, Promoters)
    assert found.promoters["client_id"].tolist() == ["a"]
    assert "1 client names somebody who is no client" in found.sentence


def test_nobody_named_is_no_answer_on_promoters(make_company: MakeCompany):
    _, found, _ = _answers(make_company({"clients": CLIENTS.drop(columns="referred_by"), "deals": DEALS}))
    assert isinstance(found, Unanswered)


def test_no_origin_at_all_is_no_answer(make_company: MakeCompany):
    found, who, _ = _answers(make_company({"clients": CLIENTS[["client_id", "name"]], "deals": DEALS}))
    assert isinstance(found, Unanswered)
    assert isinstance(who, Unanswered)


def test_one_client_is_counted_and_not_compared(make_company: MakeCompany):
    found, _, _ = _answers(make_company({"clients": CLIENTS.head(1), "deals": DEALS.head(1)}))
    assert "too few of either kind" in found.sentence
    assert "nan" not in found.sentence
