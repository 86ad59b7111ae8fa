from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import narwhals as nw
import openpyxl
import pandas as pd
import pytest
import xlsxwriter

from crm_methods.company.privacy import Pseudonyms
from crm_methods.engine import collect
from crm_methods.errors import StageError
from crm_methods.reports import exports

MakeFrame = Callable[[pd.DataFrame], "nw.LazyFrame[Any]"]


class _Masked:
    """Pseudonyms of one client."""

    def text(self, text: str) -> str:
        return text.replace("Acme & Co", "Client 1")

    def frame(self, df: pd.DataFrame) -> pd.DataFrame:
        texts = {name: df[name].map(lambda v: self.text(v) if isinstance(v, str) else v) for name in df.columns}
        covered = {"client_name": df["client_name"].map(lambda _: "Client 1")} if "client_name" in df.columns else {}
        return df.assign(**(texts | covered))


def _read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def facts() -> pd.DataFrame:
    return pd.DataFrame({"client_id": ["b", "a", "c"], "name": ["Bo", "Al", None], "owner": ["x", "y", "z"]})


def test_the_client_list_keeps_every_client_once(frames: MakeFrame, facts: pd.DataFrame) -> None:
    calendar = pd.DataFrame(
        {
            "client_id": ["a", "a", "b"],
            "contact_on": pd.to_datetime(["2026-03-01", "2026-02-01", "2026-05-01"]),
            "channel": ["visit", "phone", "e-mail"],
            "occasion": ["review", "renewal", "review"],
        }
    )
    segments = pd.DataFrame({"client_id": ["a", "b"], "segment": ["high_low", "low_low"], "clv": [10.0, 20.0]})
    tables = {"client_facts": frames(facts), "client_segments": frames(segments), "contact_calendar": frames(calendar)}
    listed = exports.client_list(tables)
    assert listed is not None
    found = collect(listed).astype(object)
    assert list(found.columns) == [
        "client_id", "name", "owner", "segment", "segment_name", "clv",
        "next_contact_on", "next_contact_channel", "next_contact_occasion",
    ]  # fmt: skip
    assert list(found["client_id"]) == ["a", "b", "c"]
    assert list(found["next_contact_channel"])[:2] == ["phone", "e-mail"]
    assert pd.isna(found["segment"].iloc[2])


def test_whom_to_call_first_stands_first_with_names_a_person_reads(frames: MakeFrame, facts: pd.DataFrame) -> None:
    segments = pd.DataFrame(
        {
            "client_id": ["a", "b", "c"],
            "segment": ["cluster_1", "low_high", None],
            "strategy": ["raise_loyalty", "cut_costs", None],
            "p_cell": [0.9, 0.6, 0.5],
            "previous_segment": ["high_low", "new", "inactive"],
        }
    )
    calls = pd.DataFrame({"client_id": ["b", "a"], "call_rank": [1, 2], "call_reason": ["x", "y"], "at_stake": [9.0, 0.0]})
    profile = pd.DataFrame({"cluster": [1], "name": ["Large, frequent"]})
    certainty = pd.DataFrame({"client_id": ["a", "b", "c"], "p_cell": [0.0, 0.0, 0.0]})
    tables = {
        "client_facts": frames(facts), "client_segments": frames(segments), "client_calls": frames(calls),
        "cluster_profile": frames(profile), "client_certainty": frames(certainty),
    }  # fmt: skip
    listed = exports.client_list(tables)
    assert listed is not None
    found = collect(listed)
    assert list(found["client_id"]) == ["b", "a", "c"]
    assert list(found["segment_name"].fillna("")) == ["Low revenue, high cost", "Cluster 1: Large, frequent", ""]
    assert list(found["strategy_name"].fillna("")) == ["Cut costs", "Raise loyalty", ""]
    assert list(found["p_cell"]) == [0.6, 0.9, 0.5]
    assert list(found["previous_segment_name"]) == ["New", "High revenue, low cost", "Inactive"]


def test_a_day_that_has_passed_announces_an_order_only_where_it_is_overdue(frames: MakeFrame, facts: pd.DataFrame) -> None:
    states = {"a": "late", "b": "overdue", "c": "soon"}
    orders = pd.DataFrame({"client_id": list(states), "order_state": list(states.values()), "days_overdue": [0.0, 9.0, 0.0]})
    orders["next_order_on"] = pd.to_datetime(["2025-12-01", "2025-10-01", "2026-01-09"])
    listed = exports.client_list({"client_facts": frames(facts), "next_orders": frames(orders)})
    assert listed is not None
    days = collect(listed).set_index("client_id")["next_order_on"]
    assert pd.isna(days["a"])
    assert days[["b", "c"]].notna().all()


def test_what_no_client_has_is_no_column_and_counts_are_whole(tmp_path: Path, frames: MakeFrame) -> None:
    rows = {"client_id": ["a", "b"], "call_rank": [1.0, None], "clv": [5.0, 6.0], "p_alive": [0.5, 1.0], "owner": [None, None]}
    exports.write_client_list(frames(pd.DataFrame(rows).astype({"owner": "string"})), tmp_path / "x.csv")
    assert _read(tmp_path / "x.csv") == [
        ["client_id", "call_rank", "clv", "p_alive"],
        ["a", "1", "5.0", "0.5"],
        ["b", "", "6.0", "1.0"],
    ]
    exports.write_client_list(frames(pd.DataFrame(rows).astype({"owner": "string"}).head(0)), tmp_path / "y.csv")
    assert _read(tmp_path / "y.csv") == [list(rows)]


def test_two_contacts_on_one_day_give_one_row(frames: MakeFrame, facts: pd.DataFrame) -> None:
    day = pd.to_datetime(["2026-03-01", "2026-03-01"])
    calendar = pd.DataFrame({"client_id": ["a", "a"], "contact_on": day, "channel": ["visit", "phone"], "occasion": ["x", "x"]})
    listed = exports.client_list({"client_facts": frames(facts), "contact_calendar": frames(calendar)})
    assert listed is not None
    assert list(collect(listed)["next_contact_channel"].fillna("")) == ["phone", "", ""]


def test_without_a_table_of_clients_there_is_no_list() -> None:
    assert exports.client_list({}) is None


def test_a_calendar_without_a_day_is_refused(frames: MakeFrame, facts: pd.DataFrame) -> None:
    with pytest.raises(StageError, match="contact_on"):
        exports.client_list({"client_facts": frames(facts), "contact_calendar": frames(facts)})


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\n=1", "＝1", "\r=1", "\x00=1"])
def test_no_text_leaves_as_a_formula(text: str) -> None:
    assert exports.inert(text)[0] == "'"


@pytest.mark.parametrize("text", ["", "Acme", "a=1", "1-2", "O'Neil", "Ёлка"])
def test_plain_text_leaves_as_it_is(text: str) -> None:
    assert exports.inert(text) == text


def test_numbers_days_and_gaps_are_written_so_that_programs_read_them(tmp_path: Path) -> None:
    data = pd.DataFrame(
        {
            "name": ['He said "no"; so, so', "-x"],
            "revenue": [-1234.567, float("nan")],
            "p_alive": [0.123456, 1.0],
            "next_contact_on": [dt.datetime(2026, 2, 1), pd.NaT],
            "deals": [3, 4],
        }
    )
    before = data.copy(deep=True)
    exports.write_csv(data, tmp_path / "x.csv")
    assert _read(tmp_path / "x.csv")[1:] == [
        ['He said "no"; so, so', "-1234.57", "0.1235", "2026-02-01", "3"],
        ["'-x", "", "1.0", "", "4"],
    ]
    pd.testing.assert_frame_equal(data, before)


def test_an_empty_frame_is_a_header(tmp_path: Path) -> None:
    exports.write_csv(pd.DataFrame({"file": pd.Series(dtype=object)}), tmp_path / "x.csv")
    assert _read(tmp_path / "x.csv") == [["file"]]


def test_under_pseudonyms_a_clients_name_leaves_in_no_table_with_clients() -> None:
    data = pd.DataFrame({"client_id": ["a"], "name": ["AB"], "note": ["of Acme & Co"]})
    masked = exports.with_pseudonyms(data, _Masked())
    assert masked.to_dict("records") == [{"client_id": "a", "name": "Client 1", "note": "of Client 1"}]
    products = pd.DataFrame({"product_id": ["p"], "name": ["Router"]})
    assert exports.with_pseudonyms(products, _Masked())["name"].iloc[0] == "Router"


def test_under_pseudonyms_whoever_is_responsible_leaves_under_none_of_his_names(tmp_path: Path) -> None:
    names = {"Acme & Co": "name", "Nowak": "person"}
    pseudonyms = Pseudonyms(b"0" * 32, names, {"Acme": ("Acme & Co",), "Nowak": ("Nowak",)})
    listed = pd.DataFrame({"client_id": ["a", "b"], "name": ["Acme & Co", "Bo"], "owner": ["Nowak", "New Colleague"]})
    exports.write_csv(exports.with_pseudonyms(listed, pseudonyms), tmp_path / "x.csv")
    rows = _read(tmp_path / "x.csv")
    assert [row[0] for row in rows] == ["client_id", "a", "b"]
    assert all(row[1].startswith("Client ") and row[2].startswith("Person ") for row in rows[1:])


def test_under_pseudonyms_rejects_withhold_what_may_be_a_name(tmp_path: Path) -> None:
    rejects = pd.DataFrame(
        {
            "file": ["deals.csv"] * 3,
            "column": ["amount", "name", ""],
            "found": ["12,5o", "Unknown Ltd", "torn;line;of;Unknown Ltd"],
        }
    )
    exports.write_rejects(rejects, tmp_path / "x.csv", _Masked())
    assert [row[2] for row in _read(tmp_path / "x.csv")[1:]] == ["12,5o", "(withheld)", "(withheld)"]
    exports.write_rejects(rejects, tmp_path / "x.csv")
    assert [row[2] for row in _read(tmp_path / "x.csv")[1:]] == list(rejects["found"])


def test_a_workbook_under_pseudonyms_keeps_its_formulas_and_their_values(tmp_path: Path) -> None:
    source, target = tmp_path / "a.xlsx", tmp_path / "out" / "b.xlsx"
    with xlsxwriter.Workbook(source, {"strings_to_formulas": False}) as book:
        sheet = book.add_worksheet("Plan")
        sheet.write_string(0, 0, "Visit Acme & Co <soon>")
        sheet.write_number(1, 0, 5)
        sheet.write_formula(2, 0, "=A2*2", None, 10)
        sheet.write_formula(3, 0, '=A1&""', None, "Visit Acme & Co <soon>")
        sheet.write_rich_string(4, 0, "to ", book.add_format({"bold": True}), "Acme & Co")
    exports.copy_out(source, target, _Masked())
    formulas, values = (openpyxl.load_workbook(target, data_only=only)["Plan"] for only in (False, True))
    assert (formulas["A1"].value, formulas["A3"].value) == ("Visit Client 1 <soon>", "=A2*2")
    assert (values["A3"].value, values["A4"].value, values["A5"].value) == (10, "Visit Client 1 <soon>", "to Client 1")


def test_text_files_under_pseudonyms_name_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.ics").write_bytes(b"SUMMARY:Visit Acme\r\n  & Co\r\nEND:VEVENT\r\n")
    (tmp_path / "a.csv").write_text('id,name\n1,"Acme & Co, Berlin"\n', encoding="utf-8")
    for name in ("a.ics", "a.csv"):
        exports.copy_out(tmp_path / name, tmp_path / "out" / name, _Masked())
    assert (tmp_path / "out" / "a.ics").read_bytes() == b"SUMMARY:Visit Client 1\r\nEND:VEVENT\r\n"
    assert _read(tmp_path / "out" / "a.csv") == [["id", "name"], ["1", "Client 1, Berlin"]]


def test_an_unknown_kind_of_file_leaves_only_without_pseudonyms(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\x00\x01")
    exports.copy_out(tmp_path / "a.bin", tmp_path / "out" / "a.bin")
    assert (tmp_path / "out" / "a.bin").read_bytes() == b"\x00\x01"
    with pytest.raises(StageError, match="can't be replaced"):
        exports.copy_out(tmp_path / "a.bin", tmp_path / "out" / "b.bin", _Masked())


def test_the_segment_matrix_counts_every_client_of_a_segment(frames: MakeFrame) -> None:
    clients = pd.DataFrame(
        {
            "client_id": ["a", "b", "c"],
            "segment": ["low_low", "high_low", "low_low"],
            "strategy": ["cut_costs", "raise_loyalty", "cut_costs"],
            "revenue": [1.0, 5.0, 2.0],
        }
    )
    matrix = exports.segment_matrix(frames(clients))
    assert list(matrix["segment"]) == ["high_low", "low_low"]
    assert list(matrix["clients"]) == [1, 2]
    assert list(matrix["revenue"]) == [5.0, 3.0]
    assert matrix["contribution"].isna().all()
    assert list(matrix["strategy"]) == ["raise_loyalty", "cut_costs"]


def test_a_contribution_that_no_client_has_is_not_zero(frames: MakeFrame) -> None:
    clients = pd.DataFrame({"client_id": ["a", "b"], "segment": ["high_unknown", "low_unknown"], "revenue": [5.0, 1.0]})
    matrix = exports.segment_matrix(frames(clients.assign(contribution=pd.Series([float("nan")] * 2, dtype="float64"))))
    assert list(matrix["revenue"]) == [5.0, 1.0]
    assert matrix["contribution"].isna().all()
