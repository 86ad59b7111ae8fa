"""What stage 2 leaves behind: tables, checks, headlines and the decision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company.answers import Answer
from crm_methods.stages.segments_summary import conclusion
from crm_methods.stages.segments_tables import tables
from crm_methods.stages.segments_trust import Trust, TrustCheck
from tests.conftest import MakeCompany
from tests.stages.small_companies import contacts_of, deals_of, loyal_and_costly
from tests.stages.stage_two import run_stage


def test_every_check_reconciles_and_each_table_is_unique_in_its_key(make_company: MakeCompany, tmp_path: Path):
    made = loyal_and_costly(make_company)
    found = run_stage(made.data, made.settings, tmp_path)
    ended = conclusion(made.settings, found)

    reconciling = [check for check in ended.checks if "model" not in check.name]
    assert [check.name for check in reconciling] == [
        "Every client has one segment and one strategy",
        "Cost to serve reconciles to the ledger and to the clients",
    ]
    assert all(check.passed for check in reconciling)

    written = tables(found)
    assert set(written) >= {"segment_matrix", "activity_rates", "whale_curve", "lifetime_value_models", "customer_equity"}
    for name, result in written.items():
        assert not result.table.duplicated(list(result.key)).any(), name


def test_headlines_are_equity_and_net_margin_and_findings_begin_with_equity(make_company: MakeCompany, tmp_path: Path):
    made = loyal_and_costly(make_company)
    found = run_stage(made.data, made.settings, tmp_path)
    ended = conclusion(made.settings, found)
    headlines = {headline.key: headline for headline in ended.headlines}

    assert list(headlines) == ["customer_equity", "net_margin"]
    assert headlines["net_margin"].value == pytest.approx(found.matrix.summary["contribution"].sum())
    assert isinstance(found.equity, Answer)
    assert headlines["customer_equity"].value == pytest.approx(found.equity.table.set_index("segment").loc["all", "equity"])
    assert ended.findings[0].startswith(found.equity.sentence)
    assert "Of the model of purchases: " in ended.findings[0]
    assert found.matrix.sentence.startswith(ended.findings[1])
    assert all(finding.endswith((".", "?", "!")) for finding in ended.findings)


def test_findings_are_the_first_two_sentences_of_an_answer_and_a_failed_check_of_the_model_is_one_to_read(
    make_company: MakeCompany, tmp_path: Path
):
    made = loyal_and_costly(make_company)
    found = run_stage(made.data, made.settings, tmp_path)
    assert isinstance(found.whale, Answer)
    assert isinstance(found.trust, Trust)
    said = "It cost €1.3M. Of 2.5 in 10 it is “sure”. “The rest” is not said. Nor this."
    whale = replace(found.whale, sentence=said)
    failed = TrustCheck(about="ranking", name="ranks clients", result="no", passed=False)
    trust = replace(found.trust, checks=(*found.trust.checks, failed))
    ended = conclusion(made.settings, replace(found, whale=whale, trust=trust))

    assert "It cost €1.3M. Of 2.5 in 10 it is “sure”." in ended.findings
    (check,) = [check for check in ended.checks if check.name == "The purchase model fails none of its checks"]
    assert not check.passed
    assert "ranks clients" in check.detail


@pytest.mark.parametrize(
    ("given", "headlines"),
    [
        ({"deals": deals_of({"a": 10.0})}, ["customer_equity"]),
        ({"deals": deals_of({"a": -10.0})}, []),
        ({"interactions": contacts_of({"a": 10.0})}, []),
    ],
    ids=["one deal", "one return", "one contact"],
)
def test_a_base_of_one_client_is_concluded_without_a_headline_it_can_not_have(
    make_company: MakeCompany, tmp_path: Path, given: dict[str, pd.DataFrame], headlines: list[str]
):
    made = make_company(given)
    found = run_stage(made.data, made.settings, tmp_path)
    ended = conclusion(made.settings, found)

    assert "segment_matrix" in tables(found)
    assert "1 client" in ended.decision
    # Of one deal little can be expected, and its interval says how little is known.
    assert [headline.key for headline in ended.headlines] == headlines
    assert all(headline.interval for headline in ended.headlines)
    assert "nan" not in " ".join([*ended.findings, ended.decision]).lower().split()
