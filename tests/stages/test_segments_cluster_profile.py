"""Who the clients of each cluster are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_methods.stages.segments_cluster_profile import PROFILE_COLUMNS, cluster_profile, one_spelling

UNREMARKABLE = "No industry, territory or tenure stands out beyond chance"


def _members(*clusters: tuple[float, float, float], each: int = 30) -> pd.DataFrame:
    """Clusters of clients around a revenue, a number of deals and a cost; nothing is known of who they are."""
    rng = np.random.default_rng(5)
    parts = [
        pd.DataFrame({"cluster": number, "revenue": revenue, "deals": deals, "cost_to_serve": cost}, index=range(each))
        for number, (revenue, deals, cost) in enumerate(clusters, start=1)
    ]
    members = pd.concat(parts, ignore_index=True)
    noise = np.exp(rng.normal(0, 0.1, (len(members), 3)))
    members[["revenue", "deals", "cost_to_serve"]] *= noise
    unknown = pd.Series([None] * len(members), dtype=object)
    return members.assign(industry=unknown, territory=unknown, tenure_years=np.nan)


def test_a_cluster_is_named_by_its_size_frequency_and_cost_beyond_its_size():
    profile = cluster_profile(_members((1000, 20, 30), (1000, 20, 300), (10, 2, 10), (100, 7, 30)))

    assert profile["name"].tolist() == [
        "Large, frequent, cheap to serve",
        "Large, frequent, costly to serve",
        "Small, occasional",
        "Mid-sized",
    ]
    assert profile["clients_share"].tolist() == [0.25] * 4
    assert profile["revenue_share"].sum() == pytest.approx(1)
    assert profile["description"].tolist() == [UNREMARKABLE] * 4
    assert "tenure_years" not in profile
    assert profile.columns.tolist() == [name for name in PROFILE_COLUMNS if name != "tenure_years"]


def test_industry_and_tenure_are_told_only_beyond_chance():
    members = _members((1000, 20, 30), (10, 2, 10))
    ours = ["Telecom"] * 20 + ["bank", "care"] * 5
    theirs = ["tele-com"] * 3 + ["bank"] * 14 + ["care"] * 13
    tenure = np.concatenate([np.linspace(5, 9, 30), np.linspace(0, 4, 30)])
    described = cluster_profile(members.assign(industry=[*ours, *theirs], tenure_years=tenure))["description"]

    assert described[0].startswith("Telecom 1.7 times as common as in the base (20 of 30)")
    assert described[0].endswith("clients for 7.0 years in the median, longer than others")
    assert described[1].endswith("clients for 2.0 years in the median, shorter than others") or "Clients for" in described[1]

    alike = members.assign(industry=["bank", "care"] * 30, tenure_years=np.tile(np.linspace(0, 9, 30), 2))
    assert cluster_profile(alike)["description"].tolist() == [UNREMARKABLE] * 2


def test_names_are_unique_and_one_cluster_is_everybody():
    twice = cluster_profile(_members((1000, 20, 30), (1100, 20, 33), (10, 2, 10), each=10))
    thrice = cluster_profile(_members((1000, 20, 30), (1000, 20, 30), (1000, 20, 30), (10, 2, 10), (11, 2, 10), (9, 2, 10)))

    assert [name.rpartition(" (")[2] for name in twice["name"][:2]] == ["the smaller)", "the larger)"]
    assert thrice["name"].is_unique
    assert cluster_profile(_members((1000, 20, 30)))["name"].tolist() == ["All clients that bought"]


def test_without_cost_or_variation_a_profile_remains():
    members = _members((100, 2, 10), (100, 2, 10), each=5).assign(revenue=1e12, deals=1, cost_to_serve=np.nan)
    profile = cluster_profile(members)

    assert profile["name"].tolist() == ["Mid-sized (1)", "Mid-sized (2)"]
    assert "cost_to_serve" not in profile


def test_spellings_that_differ_in_case_and_punctuation_are_one():
    values = pd.Series(["Tele-com", "telecom", "telecom", None, "Health care"])

    assert one_spelling(values).fillna("").tolist() == ["telecom", "telecom", "telecom", "", "Health care"]
