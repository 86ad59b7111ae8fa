from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company import intake
from crm_methods.company.contracts import TABLES
from crm_methods.company.settings import load_company
from crm_methods.engine import collect
from crm_methods.errors import IntakeError

from .conftest import BringIn, write_company

HEADER = "deal_id,client_id,closed_on,amount\n"


def deals(*rows: str) -> dict[str, str]:
    return {"deals.csv": HEADER + "\n".join(rows) + "\n"}


def test_every_table_and_column_of_the_contract_is_there_whatever_came_in(bring: BringIn):
    data = bring(deals("1,a,2025-03-01,10"))
    for table in TABLES.values():
        assert set(table.names) <= set(data.scan(table.name).collect_schema().names())
    assert len(collect(data.scan("surveys"))) == 0


def test_every_client_seen_anywhere_is_a_client(bring: BringIn):
    data = bring(
        {
            **deals("1,a,2025-03-01,10"),
            "clients.csv": "client_id,name\nz,Zeta\n",
            "interactions.csv": "interaction_id,client_id,started_at\n1,b,2025-03-01 10:00\n",
        }
    )
    clients = collect(data.scan("clients").sort("client_id"), ["client_id", "name"])
    assert clients["client_id"].tolist() == ["a", "b", "z"]
    assert clients["name"].dropna().tolist() == ["Zeta"]


def test_only_what_the_source_has_counts_as_supplied(bring: BringIn):
    data = bring({"deals.csv": "deal_id,client_id,closed_on,amount,owner\n1,a,2025-03-01,10,\n"})
    assert data.has("deals", "amount", "closed_on")
    assert not data.has("deals", "status")
    assert not data.has("deals", "owner")
    assert not data.has("clients")
    assert collect(data.scan("deals"))["status"].tolist() == ["won"]


def test_columns_and_values_are_translated(bring: BringIn):
    data = bring(
        {"o.csv": "Opportunity ID;Konto;Datum;Wert;Stufe\n1;a;2025-03-01;10;Closed Won\n2;a;2025-04-01;20;verloren \n"},
        {
            "deals": {
                "file": "o.csv",
                "columns": {
                    "deal_id": "Opportunity ID",
                    "client_id": "konto",
                    "closed_on": "Datum",
                    "amount": "Wert",
                    "status": "Stufe",
                },
                "values": {"status": {"Closed Won": "won", "verloren": "lost"}},
            }
        },
    )
    assert collect(data.scan("deals").sort("deal_id"))["status"].tolist() == ["won", "lost"]


def test_open_deals_need_no_closing_day_and_closed_ones_do(bring: BringIn):
    data = bring({"deals.csv": "deal_id,client_id,closed_on,amount,status\n1,a,,10,open\n2,a,,10,won\n3,a,2025-01-01,10,lost\n"})
    assert sorted(collect(data.scan("deals"))["deal_id"]) == ["1", "3"]
    assert data.rejects[["record", "column", "found", "expected"]].values.tolist() == [[3, "closed_on", "", "a value"]]


def test_rows_without_an_identifier_are_numbered_on_request(bring: BringIn):
    files = {"deals.csv": "client_id,closed_on,amount\na,2025-01-01,1\na,2025-01-01,1\n"}
    data = bring(files, {"deals": {"file": "deals.csv", "generate": "row"}})
    assert collect(data.scan("deals"))["deal_id"].nunique() == 2


def test_a_wide_table_becomes_deals_and_lines(bring: BringIn):
    files = {"spend.csv": "client_id,Fresh,Milk,Region\na,10,5,N\nb,7,,S\nc,x,1,S\n"}
    data = bring(files, {"deals": {"file": "spend.csv", "reshape": {"unpivot": ["Fresh", "Milk"]}}})
    sold = collect(data.scan("deals").sort("deal_id"))
    lines = collect(data.scan("deal_lines").sort("deal_id", "product_id"))
    assert sold["amount"].tolist() == [10, 5, 7, 1]
    assert sold["closed_on"].isna().all()
    assert not data.has("deals", "closed_on")
    assert lines["product_id"].tolist() == ["Fresh", "Milk", "Fresh", "Fresh", "Milk"]
    assert lines["unit_price"].fillna(-1).tolist() == [10, 5, 7, -1, 1]
    bad = data.rejects
    assert set(bad["record"]) == {4}
    assert set(bad["found"]) == {"x"}


def test_source_is_accepted_plus_rejected_plus_later_plus_duplicate(bring: BringIn):
    dice = random.Random(5)
    ids = [dice.randint(1, 150) for _ in range(200)]
    days = ["2025-01-05", "2026-02-01", "2025-13-01", ""]
    rows = [
        f"{i},{dice.choice('abc')},{dice.choices(days, [8, 1, 1, 1])[0]},{dice.choice(['10.10', '-3.05', '0.01', 'ten'])}"
        for i in ids
    ]
    data = bring(deals(*rows, *rows[:20], "1,2", "1,2,3,4,5"))
    total = data.totals.iloc[0]
    fates = ["accepted", "rejected", "later", "duplicate"]
    assert total["source_rows"] == 222 == sum(total[f"{fate}_rows"] for fate in fates)
    assert (total[[f"{fate}_rows" for fate in fates]] > 0).all()
    assert total["source_amount"] == pytest.approx(sum(total[f"{fate}_amount"] for fate in fates), abs=1e-9)
    accepted = collect(data.scan("deals"))
    assert len(accepted) == total["accepted_rows"]
    assert accepted["amount"].sum() == pytest.approx(total["accepted_amount"])
    left_out = data.rejects.query("done == 'row left out'")
    assert left_out["record"].nunique() == total["rejected_rows"]


def test_three_per_cent_bad_rows_run_and_each_is_accounted_for(bring: BringIn):
    rows = [f"{i},c{i % 7},{'31.02.2025' if i % 33 == 5 else '2025-02-03'},{i}.5" for i in range(1, 101)]
    data = bring(deals(*rows), intake={"max_rejected_share": 0.1})
    bad = [i for i in range(1, 101) if i % 33 == 5]
    assert data.rejects["record"].tolist() == [i + 1 for i in bad]
    assert set(data.rejects["found"]) == {"31.02.2025"}
    assert data.totals.loc[0, "rejected_rows"] == len(bad) == 3


def test_forty_per_cent_bad_rows_stop_and_say_which_columns(bring: BringIn, tmp_path: Path):
    rows = [f"{i},a,2025-02-03,{'n/a' if i % 5 < 2 else i}" for i in range(100)]
    with pytest.raises(IntakeError) as stop:
        bring(deals(*rows), intake={"max_rejected_share": 0.1})
    said = str(stop.value)
    for part in ("deals.csv", "40 of 100 rows (40%)", '"amount"', '"n/a"', "at most 10%"):
        assert part in said
    assert not (tmp_path / "canonical").exists()


def test_optional_cells_are_emptied_and_required_ones_cost_the_row(bring: BringIn):
    data = bring(
        {"deals.csv": "deal_id,client_id,closed_on,amount,opened_on\n1,a,2025-02-01,5,never\n2,a,2025-02-01,five,2025-01-01\n"}
    )
    kept = collect(data.scan("deals"))
    assert kept["deal_id"].tolist() == ["1"]
    assert kept["opened_on"].isna().all()
    assert data.rejects[["record", "column", "done"]].values.tolist() == [
        [2, "opened_on", "cell emptied"],
        [3, "amount", "row left out"],
    ]


def test_all_faults_of_all_files_come_together(bring: BringIn):
    with pytest.raises(IntakeError) as stop:
        bring(
            {
                "deals.csv": "deal_id,client_id,closed_on,amout\n1,a,2025-01-01,3\n",
                "clients.csv": "",
                "surveys.csv": "response_id,client_id,answered_on\n",
                "staff.xlsx": b"not a workbook",
                "products.parquet": b"PAR1 not parquet",
            },
        )
    said = str(stop.value)
    for part in (
        "no column for deals.amount",
        'Did you mean "amout"?',
        "clients.csv: found an empty file",
        "surveys.csv: found a header and no rows",
        "staff.xlsx: found something that is not an Excel workbook",
        "products.parquet: found something that is not Parquet",
    ):
        assert part in said
    assert said.count("\n  - ") == 5


def test_a_mapped_column_that_is_not_there_is_named_with_the_nearest(bring: BringIn):
    with pytest.raises(IntakeError, match=r'no column "Betrag", expected one of .*Did you mean "Betrga"'):
        bring(
            {"d.csv": "deal_id,client_id,closed_on,Betrga\n1,a,2025-01-01,3\n"},
            {"deals": {"file": "d.csv", "columns": {"amount": "Betrag"}}},
        )


def test_a_date_format_that_does_not_fit_stops_with_an_example(bring: BringIn):
    rows = [f"{i},a,03/25/2025,{i}" for i in range(20)]
    with pytest.raises(IntakeError, match=r'20 in "closed_on" such as "03/25/2025", expected a date as %d/%m/%Y'):
        bring(deals(*rows), formats={"date": "%d/%m/%Y"}, intake={"max_rejected_share": 0.1})


def test_a_company_whose_deals_all_lie_after_its_day_is_stopped(bring: BringIn):
    with pytest.raises(IntakeError, match=r"2 rows, all after 2025-12-31.*Check `as_of`"):
        bring(deals("1,a,2026-01-01,3", "2,a,2026-01-02,3"))


def test_the_as_of_day_itself_still_counts(bring: BringIn):
    data = bring(
        {
            **deals("1,a,2025-12-31,3", "2,a,2026-01-01,3"),
            "interactions.csv": "interaction_id,client_id,started_at\n1,a,2025-12-31 23:59\n2,a,2026-01-01 00:00\n",
        }
    )
    assert data.totals["accepted_rows"].tolist() == [1, 1]
    assert data.totals["later_rows"].tolist() == [1, 1]


def test_a_second_call_reads_nothing_again_and_a_changed_file_does(
    bring: BringIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = bring(deals("1,a,2025-03-01,10"))
    read: list[str] = []
    real = intake.read_table
    monkeypatch.setattr(intake, "read_table", lambda sql, name, *rest: read.append(name) or real(sql, name, *rest))
    again = bring(deals("1,a,2025-03-01,10"))
    assert read == []
    assert again.supplied == first.supplied
    pd.testing.assert_frame_equal(again.totals, first.totals)
    changed = bring(deals("1,a,2025-03-01,10", "2,a,2025-03-01,10"))
    assert read == ["deals"]
    assert changed.totals.loc[0, "source_rows"] == 2
    bring(deals("1,a,2025-03-01,10", "2,a,2025-03-01,10"), margin_share=0.2)
    assert read == ["deals"] * 2
    (tmp_path / "canonical" / "clients.parquet").unlink()
    bring(deals("1,a,2025-03-01,10", "2,a,2025-03-01,10"), margin_share=0.2)
    assert len(read) == 3


def test_a_failed_intake_leaves_nothing_behind_for_the_next(bring: BringIn):
    with pytest.raises(IntakeError):
        bring({"clients.csv": "client_id,name\nz,Zeta\n", "deals.csv": "deal_id,client_id,closed_on\n1,a,2025-01-01\n"})
    data = bring(deals("1,a,2025-03-01,10"), {"deals": {"file": "deals.csv"}})
    assert collect(data.scan("clients"))["client_id"].tolist() == ["a"]


def test_a_file_that_vanished_after_settings_were_read_is_an_intake_error(tmp_path: Path, engine):
    folder = write_company(tmp_path / "c", deals("1,a,2025-03-01,10"), {"deals": {"file": "deals.csv"}})
    company = load_company(folder)
    (folder / "deals.csv").unlink()
    with pytest.raises(IntakeError, match=r'no readable file "deals.csv"'):
        intake.bring_in(company, folder, engine, tmp_path / "out")


def test_inputs_carry_the_hash_and_rows_of_each_file(bring: BringIn):
    data = bring(deals("1,a,2025-03-01,10", "2,b"))
    assert [(i["name"], i["rows"], len(i["sha256"])) for i in data.inputs] == [("deals.csv", 2, 64)]


def test_cost_pools_count_as_supplied_settings(bring: BringIn):
    pools = {"pools": [{"name": "support", "cost_per_month": 100.0, "practical_minutes_per_month": 1000.0}]}
    assert bring(deals("1,a,2025-03-01,10"), costs=pools).has("settings", "pools")
    assert not bring(deals("1,a,2025-03-01,10")).has("settings", "pools")


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (HEADER + "1,a,2025-01-01,x\n2,a\n3,a,2025-01-01,5\n4,a,2025-01-01,y\n", [2, 3, 5]),
        (HEADER + "\n\n1,a,2025-01-01,x\n\n2,a\n3,a,2025-01-01,5\n4,a,2025-01-01,y\n", [4, 6, 8]),
        (HEADER + '1,"a\nb\nc",2025-01-01,x\n2,a\n3,a,2025-01-01,5\n4,a,2025-01-01,y\n', [2, 5, 7]),
        (HEADER + '1,a,2025-01-01,x\n2,a\n3,"a\nb",2025-01-01,5\n\n4,a,2025-01-01,y\n', [2, 3, 7]),
    ],
    ids=["plain", "blank lines", "quoted newline above", "both between"],
)
def test_a_reject_carries_the_line_that_a_text_editor_shows(bring: BringIn, content: str, records: list[int]):
    for ending in ("\n", "\r\n"):
        data = bring({"deals.csv": content.replace("\n", ending)})
        assert data.rejects["record"].tolist() == records
