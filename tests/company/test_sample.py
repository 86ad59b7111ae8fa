"""The sample company: rewritten byte for byte, and everything that its truth claims is really there."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods.company import sample, sample_world
from crm_methods.company.contracts import TABLES
from crm_methods.company.settings import load_company

MERIDIAN = Path(__file__).parents[2] / "data" / "meridian"
FIRST_WAVE = pd.Timestamp("2024-07-01")


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return {path.stem: pd.read_csv(path, dtype=str, keep_default_na=False) for path in sorted(MERIDIAN.glob("*.csv"))}


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((MERIDIAN / "truth.json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def won(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Won deals whose row is sound, once each, under the ids of the files."""
    deals = tables["deals"].query("status == 'won'").drop_duplicates("deal_id")
    deals = deals.assign(
        closed_on=pd.to_datetime(deals["closed_on"], errors="coerce"),
        amount=pd.to_numeric(deals["amount"], errors="coerce"),
        cost=pd.to_numeric(deals["cost"], errors="coerce"),
    )
    deals = deals[(deals["closed_on"] <= "2025-12-31") & deals["amount"].notna()]
    return deals.assign(margin=(deals["amount"] - deals["cost"]).fillna(0.37 * deals["amount"]))


@pytest.fixture(scope="module")
def joined(tables: dict[str, pd.DataFrame]) -> pd.Series:
    plus = tables["programme_members"].query("programme_id == 'meridian_plus' and joined_on != ''")
    return pd.to_datetime(plus.set_index("client_id")["joined_on"])


@pytest.fixture(scope="module")
def monthly(tables: dict[str, pd.DataFrame], won: pd.DataFrame) -> pd.DataFrame:
    """Margin by client (rows) and month (columns); clients that were entered twice count twice, as in the files."""
    month = won["closed_on"].dt.to_period("M")
    return (
        won.groupby(["client_id", month])["margin"].sum().unstack(fill_value=0.0)
        .reindex(index=tables["clients"]["client_id"], fill_value=0.0)
    )  # fmt: skip


def sound(tables: dict[str, pd.DataFrame], name: str) -> pd.DataFrame:
    return tables[name].drop_duplicates()


def test_rewriting_the_sample_gives_the_same_files(tmp_path: Path, tables: dict[str, pd.DataFrame]) -> None:
    sample.write_sample(tmp_path)
    written = {path.name: path for path in tmp_path.iterdir()}
    assert set(written) == {path.name for path in MERIDIAN.iterdir() if path.suffix in {".csv", ".json"}}
    if sys.version_info[:2] == (3, 11):
        assert [name for name, path in sorted(written.items()) if path.read_bytes() != (MERIDIAN / name).read_bytes()] == []
    else:
        for name, table in tables.items():
            again = pd.read_csv(tmp_path / f"{name}.csv", dtype=str, keep_default_na=False)
            assert len(again) == len(table)
            if "amount" in table:
                totals = [pd.to_numeric(frame["amount"], errors="coerce").sum() for frame in (again, table)]
                assert totals[0] == pytest.approx(totals[1], rel=1e-9)


def test_the_folder_stays_below_four_megabytes() -> None:
    assert sum(path.stat().st_size for path in MERIDIAN.iterdir()) < 4_000_000


def test_every_canonical_table_is_there_with_canonical_columns_only(tables: dict[str, pd.DataFrame]) -> None:
    assert set(tables) == set(TABLES)
    assert set(load_company(MERIDIAN).tables) == set(TABLES)
    strange = [f"{name}.{column}" for name, table in tables.items() for column in table if TABLES[name].column(column) is None]
    assert strange == []


def test_a_stream_of_random_numbers_depends_on_its_own_name_only() -> None:
    first = sample_world.stream("deals").random(3)
    sample_world.stream("clients").random(1_000)
    assert np.array_equal(first, sample_world.stream("deals").random(3))
    assert not np.array_equal(first, sample_world.stream("clients").random(3))


def test_the_base_has_six_hundred_true_clients(truth: dict[str, Any], tables: dict[str, pd.DataFrame]) -> None:
    twice = {**truth["duplicates"]["exact"], **truth["duplicates"]["variants"]}
    assert len(truth["clients"]["group"]) == 600
    assert set(tables["clients"]["client_id"]) == set(truth["clients"]["group"]) | set(twice)


def test_lines_add_up_to_the_amount_of_their_deal(tables: dict[str, pd.DataFrame], won: pd.DataFrame) -> None:
    lines = tables["deal_lines"]
    totals = (lines["quantity"].astype(float) * lines["unit_price"].astype(float)).groupby(lines["deal_id"]).sum()
    billed = won[won["kind"] != "return"].set_index("deal_id")["amount"]
    assert (totals.loc[billed.index] - billed).abs().max() < 0.005


def test_the_gross_margin_is_that_of_a_vendor(won: pd.DataFrame) -> None:
    costed = won[won["cost"].notna()]
    assert 0.30 < (costed["amount"] - costed["cost"]).sum() / costed["amount"].sum() < 0.45


def test_core_clients_order_at_their_stated_rate(won: pd.DataFrame, truth: dict[str, Any]) -> None:
    core = [client for client, group in truth["clients"]["group"].items() if group == "core"]
    twice = {**truth["duplicates"]["exact"], **truth["duplicates"]["variants"]}
    orders = won[won["client_id"].replace(twice).isin(core) & (won["kind"] != "return")]
    law = truth["purchase_process"]["groups"]["core"]
    per_month = len(orders) / len(core) / 48
    # The standard error of a mean of gamma rates and Poisson counts; 4 of them, and 1 % for spoilt rows.
    mean = law["mean_orders_per_month"]
    error = np.sqrt((mean**2 / law["r"] + mean / 48) / len(core))
    assert per_month == pytest.approx(mean, abs=4 * error + 0.01 * mean)


def test_project_clients_drop_out_as_often_as_stated(truth: dict[str, Any]) -> None:
    world = sample_world.build_world()
    law = truth["purchase_process"]["groups"]["project"]
    early = world.clients.query("group == 'project' and start < 700")
    gone_at_once = ((early["end"] < sample_world.DAYS) & (world.orders.groupby("client").size().loc[early.index] == 1)).mean()
    dies = law["a"] / (law["a"] + law["b"])
    assert gone_at_once == pytest.approx(dies, abs=4 * np.sqrt(dies * (1 - dies) / len(early)))


def test_planted_pairs_are_bought_together_by_the_stated_factor(tables: dict[str, pd.DataFrame], truth: dict[str, Any]) -> None:
    twice = {**truth["duplicates"]["exact"], **truth["duplicates"]["variants"]}
    owner = sound(tables, "deals").set_index("deal_id")["client_id"].replace(twice)
    lines = tables["deal_lines"]
    bought = pd.crosstab(lines["deal_id"].map(owner), lines["product_id"]) > 0
    together = bought.astype(float).T @ bought.astype(float)
    lift = len(bought) * together / np.outer(bought.sum(), bought.sum())
    strongest = lift.where((together >= 15) & ~np.eye(len(lift), dtype=bool)).stack().idxmax()
    assert set(strongest) == {truth["co_purchases"]["pairs"][0][k] for k in ("first", "second")}
    for pair in truth["co_purchases"]["pairs"]:
        found = lift.loc[pair["first"], pair["second"]]
        # Poisson error of the clients that bought both.
        assert found == pytest.approx(pair["lift"], abs=3 * pair["lift"] / np.sqrt(pair["clients"]))


def test_contacts_take_the_stated_minutes(tables: dict[str, pd.DataFrame], truth: dict[str, Any]) -> None:
    contacts = sound(tables, "interactions")
    contacts = contacts[contacts["handling_minutes"] != ""].astype({"handling_minutes": float})
    cv = truth["handling_minutes"]["coefficient_of_variation"]
    for activity in truth["handling_minutes"]["activities"]:
        same = contacts[["department", "channel", "kind", "skill"]] == [
            activity[k] for k in ("department", "channel", "kind", "skill")
        ]
        minutes = contacts.loc[same.all(axis=1), "handling_minutes"]
        assert len(minutes) > 20
        assert minutes.mean() == pytest.approx(activity["minutes"], rel=4 * cv / np.sqrt(len(minutes)))


def test_staff_is_neither_idle_nor_overrun(tables: dict[str, pd.DataFrame]) -> None:
    contacts = sound(tables, "interactions")
    minutes = pd.to_numeric(contacts["handling_minutes"].where(contacts["started_at"].str.startswith("2025"))).fillna(0)
    used = minutes.groupby(contacts["skill"]).sum() / 12
    staff = tables["staff"].set_index("skill").drop(columns="department").astype(float)
    practical = staff["people"] * staff["hours_per_month"] * 60 * load_company(MERIDIAN).costs.practical_share
    assert (used / practical).between(0.45, 0.90).all()


def test_the_ledger_holds_what_staff_costs_and_one_pool_that_nothing_explains(tables: dict[str, pd.DataFrame]) -> None:
    ledger = tables["cost_ledger"].astype({"amount": float})
    last = ledger[ledger["month"].str.startswith("2025")].groupby("pool")["amount"].mean()
    staff = tables["staff"].assign(
        paid=lambda s: s["people"].astype(float) * s["hours_per_month"].astype(float) * s["cost_per_hour"].astype(float)
    )
    overhead = last.drop("administration") / staff.groupby("department")["paid"].sum()
    assert overhead.between(1.10, 1.40).all()
    assert "administration" not in set(tables["interactions"]["department"])


def test_every_cell_of_the_matrix_is_inhabited(truth: dict[str, Any]) -> None:
    cells = pd.Series(truth["clients"]["segment"]).value_counts()
    assert set(cells.index) == {"high_low", "high_high", "low_low", "low_high"}
    assert cells.min() >= 60


def test_requests_are_handled_at_the_true_rates(tables: dict[str, pd.DataFrame], truth: dict[str, Any]) -> None:
    twice = {**truth["duplicates"]["exact"], **truth["duplicates"]["variants"]}
    requests = sound(tables, "interactions").query("initiative == 'theirs' and kind in ['service', 'complaint']")
    begun = pd.to_datetime(requests["started_at"], errors="coerce")
    client = requests["client_id"].replace(twice)
    cell = client.map(truth["clients"]["segment"])
    distances = []
    for rate in truth["service_levels"]["rates"]:
        column, target = ("first_response_at", 4) if rate["metric"] == "first_response" else ("resolved_at", 24)
        hours = (pd.to_datetime(requests[column]) - begun).dt.total_seconds() / 3600
        inside = (hours <= target)[(cell == rate["segment"]) & begun.notna()].astype(float)
        residuals = (inside - inside.mean()).groupby(client.loc[inside.index]).sum()
        error = np.sqrt((residuals**2).sum()) / len(inside)
        distances.append(abs(inside.mean() - rate["share_within_hours"][str(target)]) / error)
    assert max(distances) < 3.3
    assert np.mean(np.array(distances) < 1.96) >= 0.75


def test_members_were_larger_before_the_programme_began(monthly: pd.DataFrame, joined: pd.Series) -> None:
    before = monthly.loc[:, monthly.columns < FIRST_WAVE.to_period("M")].mean(axis=1)
    is_member = before.index.isin(joined.index)
    assert before[is_member].mean() > 3 * before[~is_member].mean()


def test_comparing_members_with_others_misses_the_effect(monthly: pd.DataFrame, joined: pd.Series, truth: dict[str, Any]) -> None:
    after = monthly.loc[:, monthly.columns >= FIRST_WAVE.to_period("M")].mean(axis=1)
    is_member = after.index.isin(joined.index)
    members, others = after[is_member], after[~is_member]
    error = np.sqrt(members.var() / len(members) + others.var() / len(others))
    low = members.mean() - others.mean() - 1.96 * error
    assert low > truth["programmes"]["meridian_plus"]["att_margin_per_month"]
    assert low > truth["programmes"]["meridian_plus"]["realised_att_margin_per_month"]


@pytest.mark.parametrize("months", [1, 3])
def test_differences_in_differences_hold_the_effect(
    monthly: pd.DataFrame, joined: pd.Series, truth: dict[str, Any], months: int
) -> None:
    diff_diff = pytest.importorskip("diff_diff")
    first = monthly.columns.min()
    period = np.array([(month - first).n // months + 1 for month in monthly.columns])
    panel = monthly.T.groupby(period).mean().T.stack().rename("margin").rename_axis(["client", "period"]).reset_index()
    treated = {client: (day.to_period("M") - first).n // months + 1 for client, day in joined.items()}
    panel = panel.assign(first_treat=panel["client"].map(treated).fillna(0).astype(int), client=pd.factorize(panel["client"])[0])
    found = diff_diff.CallawaySantAnna().fit(panel, outcome="margin", unit="client", time="period", first_treat="first_treat")
    low, high = found.overall_att - 1.96 * found.overall_se, found.overall_att + 1.96 * found.overall_se
    programme = truth["programmes"]["meridian_plus"]
    assert low < programme["att_margin_per_month"] < high
    assert low < programme["realised_att_margin_per_month"] < high
    assert low > 0


def test_randomised_campaigns_have_balanced_arms(
    tables: dict[str, pd.DataFrame], monthly: pd.DataFrame, truth: dict[str, Any]
) -> None:
    arms = tables["assignments"].merge(tables["campaigns"], on="campaign_id")
    for campaign_id, effect in truth["campaigns"]["effects"].items():
        of_campaign = arms[arms["campaign_id"] == campaign_id]
        if not effect["randomised"]:
            assert set(of_campaign["arm"]) == {"treatment"}
            continue
        start = pd.Period(of_campaign["started_on"].iloc[0], "M")
        before = monthly.loc[of_campaign["client_id"], monthly.columns < start].sum(axis=1)
        groups = before.groupby(of_campaign["arm"].to_numpy())
        error = np.sqrt((groups.var() / groups.size()).sum())
        assert abs(groups.mean()["treatment"] - groups.mean()["control"]) < 3 * error


def test_satisfaction_follows_the_stated_drivers(tables: dict[str, pd.DataFrame], truth: dict[str, Any]) -> None:
    drivers = truth["satisfaction"]["drivers"]
    answers = tables["surveys"].replace("", np.nan).dropna(subset=[f"rating_{c}" for c in drivers])
    ratings = answers[[f"rating_{c}" for c in drivers]].astype(float)
    design = np.column_stack([np.ones(len(ratings)), ratings])
    slopes = np.linalg.lstsq(design, answers["csat"].astype(float), rcond=None)[0][1:]
    # Rounding to 1–5 and its ends flatten the slopes alike, so shares are compared.
    assert slopes / slopes.sum() == pytest.approx(np.array(list(drivers.values())), abs=0.06)


def normalised(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def test_exact_duplicates_share_name_and_tax_number(tables: dict[str, pd.DataFrame], truth: dict[str, Any]) -> None:
    clients = tables["clients"].set_index("client_id")
    assert len(truth["duplicates"]["exact"]) == 10
    for twin, original in truth["duplicates"]["exact"].items():
        assert normalised(clients.loc[twin, "name"]) == normalised(clients.loc[original, "name"])
        assert clients.loc[twin, "tax_id"] == clients.loc[original, "tax_id"] != ""


def test_variants_are_spelt_differently_and_share_a_domain_or_a_phone(
    tables: dict[str, pd.DataFrame], truth: dict[str, Any]
) -> None:
    clients = tables["clients"].set_index("client_id")
    assert len(truth["duplicates"]["variants"]) == 8
    for twin, original in truth["duplicates"]["variants"].items():
        twice, once = clients.loc[twin], clients.loc[original]
        assert normalised(twice["name"]) != normalised(once["name"])
        assert twice["email"].split("@")[-1] == once["email"].split("@")[-1] or twice["phone"] == once["phone"]


def test_no_two_other_clients_share_a_name(tables: dict[str, pd.DataFrame], truth: dict[str, Any]) -> None:
    clients = tables["clients"].query("client_id not in @truth['duplicates']['exact']")
    assert not clients["name"].map(normalised).duplicated().any()


def test_both_entries_of_a_duplicate_have_deals(tables: dict[str, pd.DataFrame], truth: dict[str, Any]) -> None:
    twice = {**truth["duplicates"]["exact"], **truth["duplicates"]["variants"]}
    assert set(twice) | set(twice.values()) <= set(tables["deals"]["client_id"])


def spoilt(truth: dict[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    for table, faults in truth["bad_values"].items():
        for fault, ids in faults.items():
            yield table, fault, ids


def test_every_spoilt_row_is_in_its_file_and_they_are_few(tables: dict[str, pd.DataFrame], truth: dict[str, Any]) -> None:
    for table, fault, ids in spoilt(truth):
        frame = tables[table]
        key = TABLES[table].key[0]
        rows = frame[frame[key].isin(ids)]
        assert 0 < len(ids) < 0.03 * len(frame)
        if fault == "repeated_rows":
            assert rows.duplicated().sum() == len(ids)
        elif fault == "unknown_clients":
            assert set(rows["client_id"]).isdisjoint(tables["clients"]["client_id"])
        elif fault == "unparsable_amount":
            assert pd.to_numeric(rows["amount"], errors="coerce").isna().all()
        elif fault.startswith("impossible"):
            dates = pd.to_datetime(rows[fault.removeprefix("impossible_")], errors="coerce", format="mixed")
            assert (dates.isna() | (dates > "2026-01-01")).all()
    assert {fault for _, fault, _ in spoilt(truth)} >= {
        "impossible_closed_on",
        "unparsable_amount",
        "repeated_rows",
        "unknown_clients",
    }


def test_gaps_are_larger_where_revenue_is_low(tables: dict[str, pd.DataFrame], truth: dict[str, Any]) -> None:
    clients = tables["clients"][tables["clients"]["client_id"].isin(truth["clients"]["segment"])]
    high = clients["client_id"].map(truth["clients"]["segment"]).str.startswith("high")
    for column in ("employees", "turnover", "complementary_solutions"):
        missing = (clients[column] == "").groupby(high).mean()
        assert missing[False] > missing[True] > 0


def test_industries_are_spelt_in_more_ways_than_there_are(tables: dict[str, pd.DataFrame]) -> None:
    spellings = set(tables["clients"]["industry"]) - {""}
    assert set(sample_world.INDUSTRIES) < spellings


def test_the_simulator_and_the_estimators_know_nothing_of_each_other() -> None:
    package = Path(sample.__file__).parents[1]
    rooms = [*package.glob("models/**/*.py"), *package.glob("stages/**/*.py")]
    assert [room.name for room in rooms if re.search(r"truth\.json|company\.sample|import sample", room.read_text("utf-8"))] == []
    simulator = "".join(room.read_text("utf-8") for room in package.glob("company/sample*.py"))
    assert set(re.findall(r"from crm_methods\.([\w.]+) import|import crm_methods\.([\w.]+)", simulator)) == {
        (name, "") for name in re.findall(r"from crm_methods\.(company(?:\.sample_\w+)?) import", simulator)
    }
