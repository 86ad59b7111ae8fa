from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from crm_methods.company.containers import expect_kind, without_wildcards
from crm_methods.errors import IntakeError

from .conftest import BringIn

HEADER = "deal_id,client_id,closed_on,amount\n"


GOOD = "".join(f"{i},a,2025-01-01,5\n" for i in range(10, 20))


def test_a_zip_with_the_wrong_ending_is_refused(bring: BringIn):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x.txt", HEADER + GOOD)
    for name in ("deals.csv", "deals.xlsx", "deals.parquet"):
        with pytest.raises(IntakeError, match=name):
            bring({name: out.getvalue()}, {"deals": {"file": name}})


@pytest.mark.parametrize("content", [b"PK,client\n", b"PARIS,client\n", b"html,client\n", b"\xff\xfea\0", b"P"])
def test_a_text_may_begin_as_it_likes(tmp_path: Path, content: bytes):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    expect_kind(path)


def test_a_name_with_wildcards_gets_another_one_for_the_same_file(tmp_path: Path):
    odd, plain = tmp_path / "a[1]*.csv", tmp_path / "a.csv"
    for path in (odd, plain):
        path.write_text("x")
    assert without_wildcards(plain, tmp_path) == plain
    assert without_wildcards(odd, tmp_path).resolve() == odd.resolve()
    assert not set("*?[") & set(without_wildcards(odd, tmp_path).name)
