from __future__ import annotations

import datetime as dt
from pathlib import Path

import pydantic
import pytest

from crm_methods.company.settings import KNOBS, Company, Formats, Segments, knob_faults, load_company, with_knobs
from crm_methods.company.vocabulary import STAGES
from crm_methods.errors import Faults, SettingsError

GOOD = """company: Acme
as_of: 2025-12-31
currency: EUR
tables:
  deals: {file: deals.csv}
"""


def load(folder: Path, text: str | bytes = GOOD) -> Company:
    (folder / "deals.csv").write_text("deal_id\n")
    (folder / "company.yml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_company(folder)


def fault(folder: Path, text: str | bytes) -> str:
    with pytest.raises(SettingsError) as stop:
        load(folder, text)
    return str(stop.value)


def test_a_short_file_is_enough(tmp_path: Path):
    company = load(tmp_path)
    assert company.as_of == dt.date(2025, 12, 31)
    assert company.segments.strategies["low_high"] == "cut_costs"


def test_a_byte_order_mark_is_no_fault(tmp_path: Path):
    assert load(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()).company == "Acme"


def test_all_faults_come_in_one_message_each_with_its_line(tmp_path: Path):
    said = fault(
        tmp_path,
        """company: Acme
as_of: 2025-02-30
curency: EUR
tables:
  deals: {file: deels.csv, columns: {amout: Betrag}}
  client: {file: deals.csv}
segments:
  period_months: twelve
  by: clusterz
  strategies: {high_hihg: raise_loyalty}
costs:
  pools: [{name: support, cost_per_month: 1e3}]
""",
    )
    for part in (
        "company.yml, line 2: as_of: found '2025-02-30' (text)",
        'company.yml, line 3: curency: found an unknown key, expected one of company, as_of',
        'Did you mean "currency"?',
        "currency: found nothing, expected a value. This key is required.",
        'company.yml, line 5: tables.deals.file: found no file "deels.csv"',
        'Did you mean "deals.csv"?',
        "company.yml, line 5: tables.deals.columns.amout: found an unknown column, expected a column of deals. "
        'Did you mean "amount"?',
        'company.yml, line 6: tables.client: found an unknown table',
        'Did you mean "clients"?',
        "company.yml, line 8: segments.period_months: found 'twelve' (text), expected a whole number.",
        "company.yml, line 9: segments.by: found 'clusterz' (text)",
        'Did you mean "clusters"?',
        "company.yml, line 10: segments.strategies.high_hihg",
        'Did you mean "high_high"?',
        "company.yml, line 12: costs.pools.0.cost_per_month: found '1e3' (text), expected a number. Write digits only",
    ):  # fmt: skip
        assert part in said
    assert said.count("\n  - ") == 10


@pytest.mark.parametrize("value", ["1984", "yes", "2025-01-01", "3.5"])
def test_a_name_that_yaml_takes_for_something_else_is_to_be_quoted(tmp_path: Path, value: str):
    assert "expected text. Put it in quotes." in fault(tmp_path, GOOD.replace("Acme", value))


@pytest.mark.parametrize("as_of", ["0001-01-01", "9999-12-31", "2025-01-01 10:00:00", "20251231"])
def test_the_as_of_day_is_a_sensible_day(tmp_path: Path, as_of: str):
    assert "as_of" in fault(tmp_path, GOOD.replace("2025-12-31", as_of))


@pytest.mark.parametrize("file", ["../outside.csv", "/etc/passwd", "sub/../../outside.csv", "link.csv", "loop.csv"])
def test_a_path_never_leaves_the_companys_folder(tmp_path: Path, file: str):
    folder = tmp_path / "company"
    folder.mkdir()
    (tmp_path / "outside.csv").write_text("x\n")
    (folder / "link.csv").symlink_to(tmp_path / "outside.csv")
    (folder / "loop.csv").symlink_to(folder / "loop.csv")
    said = fault(folder, GOOD.replace("deals.csv", file))
    assert "expected a path inside the company's folder" in said or (file == "loop.csv" and "found no file" in said)


@pytest.mark.parametrize("file", ['"a\\0b"', "x" * 5000, ".", "https://example.com/deals.csv"])
def test_a_name_that_no_file_has_is_a_fault(tmp_path: Path, file: str):
    assert "tables.deals.file: found no file" in fault(tmp_path, GOOD.replace("deals.csv", file))


@pytest.mark.parametrize(
    ("tables", "part"),
    [
        ("{}", "found no table, expected at least one of deals and interactions"),
        ("{clients: {file: deals.csv}}", "found clients, expected at least one of deals and interactions"),
        ("{deals: {}}", "neither `file` nor `package`"),
        ("{deals: {file: deals.csv, package: x/y}}", "both `file` and `package`"),
        ("{deals: deals.csv}", "expected a block of keys"),
        (
            "{deals: {file: deals.csv, values: {status: {Won: wonn}}}}",
            'found "wonn", expected one of won, lost, open, cancelled. Did you mean "won"?',
        ),
        ("{deals: {file: deals.csv}, clients: {file: deals.csv, reshape: {unpivot: [a]}}}", "expected it for deals only"),
        ("{deals: {file: deals.csv, colums: {}}}", 'Did you mean "columns"?'),
    ],
)
def test_tables_are_checked(tmp_path: Path, tables: str, part: str):
    assert part in fault(tmp_path, f"company: A\nas_of: 2025-12-31\ncurrency: EUR\ntables: {tables}\n")


@pytest.mark.parametrize("date", ["%d.%m.%Y", "%Y%m%d", "%-d/%-m/%y", "%d %b %Y", "%Y-%m", "%Y-%j", "%d.%m.%Y %H:%M:%S"])
def test_date_formats_that_can_be_read(date: str):
    assert Formats(date=date).date == date


@pytest.mark.parametrize("date", ["dd.mm.yyyy", "%d.%m.", "%Q.%m.%Y", "%d.%m.%Y %z", "", "%", "%Y-%m-%d %"])
def test_date_formats_that_cannot(tmp_path: Path, date: str):
    said = fault(tmp_path, GOOD + f'formats: {{date: "{date}"}}\n')
    assert 'expected a format with %d for the day, %m for the month and %Y for the year, such as "%d.%m.%Y"' in said


@pytest.mark.parametrize(
    "formats",
    ["decimal: ';'", "thousands: ','\n  decimal: ','", "thousands: '.'", "delimiter: ';;'", "quote: ab", "delimiter: '\"'"],
)
def test_marks_that_cannot_be_told_apart_are_faults(tmp_path: Path, formats: str):
    assert "formats" in fault(tmp_path, GOOD + f"formats:\n  {formats}\n")


def test_a_missing_company_names_the_nearest(tmp_path: Path):
    (tmp_path / "meridian").mkdir()
    load(tmp_path / "meridian")
    with pytest.raises(SettingsError, match='Did you mean "meridian"'):
        load_company(tmp_path / "meridiam")


def test_settings_are_frozen(tmp_path: Path):
    company = load(tmp_path)
    with pytest.raises(pydantic.ValidationError):
        company.seed = 8
    with pytest.raises(pydantic.ValidationError):
        company.segments.period_months = 6


def test_every_knob_stands_for_a_setting_of_a_known_stage():
    assert list(KNOBS) == list(STAGES)
    for knobs in KNOBS.values():
        for room, key in knobs.values():
            model = Company.model_fields[room].annotation
            assert model is not None
            assert key in model.model_fields  # type: ignore[attr-defined]


def test_knobs_replace_the_settings_they_stand_for_and_leave_the_rest(tmp_path: Path):
    company = load(tmp_path)
    turned = with_knobs(company, "segments", {"horizon_months": 24, "period_months": None})
    assert turned.lifetime_value.horizon_months == 24
    assert turned.segments == company.segments
    assert company.lifetime_value.horizon_months == 36


def test_all_bad_knobs_are_noted_with_the_nearest_name():
    faults = Faults()
    knob_faults(
        "segments", {"horizn_months": 3, "period_months": "12", "annual_discount_rate": 7.0, "holdout_months": True}, faults
    )
    assert [str(f) for f in faults.items] == [
        "segments.horizn_months: found an unknown parameter, expected one of period_months, horizon_months, "
        'annual_discount_rate, holdout_months. Did you mean "horizon_months"?',
        "segments.period_months: found '12' (text), expected a whole number.",
        "segments.annual_discount_rate: found 7.0 (a number), expected less than or equal to 1.",
        "segments.holdout_months: found True (yes/no), expected a whole number.",
    ]


def test_default_strategies_are_not_shared_between_companies():
    one, other = Segments(), Segments()
    one.strategies["low_low"] = "cut_costs"
    assert other.strategies["low_low"] == "stimulate_sales"


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("engine: {memory_limit: lots}\n", "found 'lots' (text), expected an amount of memory such as 4GB"),
        ("currency: eur\n", "expected a currency as three capital letters"),
    ],
)
def test_a_pattern_is_told_in_words(tmp_path: Path, line: str, part: str):
    assert part in fault(tmp_path, GOOD.replace("currency: EUR\n", "") + line)


def test_decisions_saved_by_a_spreadsheet_in_its_own_code_page_are_read(tmp_path: Path):
    from crm_methods.company.settings import load_company

    (tmp_path / "deals.csv").write_text("x\n")
    (tmp_path / "company.yml").write_text("company: A\nas_of: 2025-12-31\ncurrency: EUR\ntables: {deals: {file: deals.csv}}\n")
    (tmp_path / "merges.csv").write_bytes("client_id;into;decision;decided_by\n1;2;same;Jürgen\n".encode("cp1252"))
    merges = load_company(tmp_path).tables["merges"]
    assert (merges.formats.encoding, merges.formats.delimiter) == ("cp1252", ";")
