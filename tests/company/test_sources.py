from __future__ import annotations

import io

import pandas as pd
import pytest

from crm_methods.company.settings import Source
from crm_methods.company.sources import locate
from crm_methods.engine import collect
from crm_methods.errors import IntakeError

from .conftest import BringIn
from .test_workbook_source import workbook

HEADER = "deal_id,client_id,closed_on,amount\n"


def test_parquet_comes_in_with_its_own_types(bring: BringIn):
    out = io.BytesIO()
    pd.DataFrame(
        {
            "deal_id": [1, 2],
            "client_id": ["a", "b"],
            "closed_on": pd.to_datetime(["2025-01-01 10:00", "2025-02-01 00:00"]).tz_localize("UTC"),
            "amount": [10.25, -3.0],
        }
    ).to_parquet(out)
    for formats in ({}, {"decimal": ",", "date": "%d.%m.%Y", "thousands": "."}):
        data = bring({"deals.parquet": out.getvalue()}, formats=formats)
        sold = collect(data.scan("deals").sort("deal_id"))
        assert sold["amount"].tolist() == [10.25, -3.0]
        assert sold["closed_on"].dt.strftime("%d.%m.%Y").tolist() == ["01.01.2025", "01.02.2025"]


GOOD = "".join(f"{i},a,2025-01-01,5\n" for i in range(10, 20))


@pytest.mark.parametrize(
    ("name", "content", "source", "said"),
    [
        ("deals.csv", "", {}, "found an empty file"),
        ("deals.csv", HEADER, {}, "found a header and no rows"),
        ("deals.csv", "\n\n", {}, "found blank lines only"),
        ("deals.csv", HEADER + GOOD, {"formats": {"encoding": "cp12511"}}, 'found the encoding "cp12511".*Did you mean "cp1251"'),
        ("deals.csv", HEADER + GOOD, {"formats": {"encoding": "rot13"}}, 'found the encoding "rot13"'),
        ("deals.csv", HEADER + GOOD, {"formats": {"delimiter": ";"}}, r'found no ";" in the first line.*{delimiter: ","}'),
        ("deals.csv", HEADER.replace("deal_id", "Сделка").encode("cp1251") + GOOD.encode(), {}, "Declare its encoding"),
        ("deals.csv", (HEADER + GOOD).encode("utf-16"), {}, "Declare its encoding"),
        ("deals.csv", (HEADER + GOOD).encode("utf-8"), {"formats": {"encoding": "utf-16"}}, "found bytes that are not utf-16"),
        ("deals.csv", HEADER.replace("closed_on", "amount") + GOOD, {}, r'the header "amount" 2 times.*amount \(1\)'),
        ("deals.xlsx", b"PK\x03\x04 broken", {}, "not an Excel workbook"),
        ("deals.xls", b"\xd0\xcf\x11\xe0", {}, "Save it as .xlsx"),
        ("deals.xlsx", workbook([]), {}, "found an empty sheet"),
        ("deals.xlsx", workbook([["deal_id", "client_id", "closed_on", "amount"]]), {}, "found a header and no rows"),
        ("deals.parquet", b"nothing of the kind at all", {}, "not Parquet"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_one_clear_fault(bring: BringIn, name: str, content: str | bytes, source: dict, said: str):
    with pytest.raises(IntakeError, match=said):
        bring({name: content}, {"deals": {"file": name, **source}})


@pytest.mark.parametrize(
    "inside",
    [
        "lifetimes/../pandas/__init__.py",
        "lifetimes/datasets/../../../../etc/passwd",
        "lifetimes//etc/passwd",
        "lifetimes/no.txt",
        "lifetimes",
    ],
)
def test_a_package_file_stays_inside_its_package(inside: str, tmp_path):
    with pytest.raises(IntakeError, match="found no file"):
        locate(Source(package=inside), tmp_path)


@pytest.mark.parametrize("package", ["no_such_package/x.txt", "../etc/passwd", "/etc/passwd", "a.b/c", "json", ""])
def test_a_package_that_is_not_one_is_refused(package: str, tmp_path):
    with pytest.raises(IntakeError, match=r"package|no file"):
        locate(Source(package=package), tmp_path)
