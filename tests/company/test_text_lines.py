from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from crm_methods.company.text_lines import as_utf8, even_newlines, is_uneven, likely_encoding, without_lines
from crm_methods.engine import collect

from .conftest import BringIn

RUSSIAN = "Номер;Клиент;Дата;Сумма\n1;ООО «Ромашка»;05.03.2025;1234,50\n2;ЗАО Ёлка;31.12.2024;-7,00\n"
RUSSIAN_COLUMNS = {"deal_id": "Номер", "client_id": "Клиент", "closed_on": "Дата", "amount": "Сумма"}


@pytest.mark.parametrize("encoding", ["cp1251", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "koi8-r"])
def test_any_declared_encoding_gives_the_same_table(bring: BringIn, encoding: str):
    data = bring(
        {"сделки.csv": RUSSIAN.replace("«", "").replace("»", "").encode(encoding)},
        {"deals": {"file": "сделки.csv", "columns": RUSSIAN_COLUMNS}},
        formats={"encoding": encoding, "decimal": ",", "date": "%d.%m.%Y", "delimiter": ";"},
    )
    sold = collect(data.scan("deals").sort("deal_id"))
    assert sold["client_id"].tolist() == ["ООО Ромашка", "ЗАО Ёлка"]
    assert sold["amount"].tolist() == [1234.5, -7.0]
    assert sold["closed_on"].dt.strftime("%Y-%m-%d").tolist() == ["2025-03-05", "2024-12-31"]


def test_bytes_outside_a_single_byte_encoding_are_rejects_too(bring: BringIn):
    text = RUSSIAN.replace("«", "").replace("»", "").encode("cp1251")
    damaged = text.replace(b";-7,00", b"\x98;-7,00") + "3;Я;01.01.2025;1\n4;Я;31.02.2025;1\n".encode("cp1251")
    data = bring(
        {"d.csv": damaged},
        {"deals": {"file": "d.csv", "columns": RUSSIAN_COLUMNS}},
        formats={"encoding": "cp1251", "decimal": ",", "date": "%d.%m.%Y", "delimiter": ";"},
    )
    assert collect(data.scan("deals").sort("deal_id"))["deal_id"].tolist() == ["1", "3"]
    assert data.rejects["record"].tolist() == [3, 5]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_lines_are_taken_out_by_a_byte_in_them_and_the_others_stay_as_they_are(tmp_path: Path, newline: bytes):
    path = tmp_path / "t.csv"
    path.write_bytes(newline.join([b"a", b"bb", b"", b"c\xff", b"d"]))
    copy, taken = without_lines(path, tmp_path / "copy.csv", [1 + len(newline), 3 + 3 * len(newline)])
    assert copy.read_bytes() == newline.join([b"a", b"", b"d"])
    assert taken == [(2, "bb"), (4, "c\ufffd")]


@pytest.mark.parametrize(
    ("content", "uneven"),
    [
        (b"a\nb\n", False), (b"a\r\nb\r\n", False), (b"a\rb\r", False), (b"a\r\nb\n", True),
        (b"a\nb\rc\n", True), (b"a\nb\r", True),
    ],
)  # fmt: skip
def test_lines_that_do_not_end_alike_are_seen_and_made_even(tmp_path: Path, content: bytes, uneven: bool):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    assert is_uneven(path) is uneven
    assert not is_uneven(even_newlines(path, tmp_path / "even.csv"))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "cp1251"])
def test_the_encoding_of_a_text_is_told_by_its_zero_bytes(tmp_path: Path, encoding: str):
    path = tmp_path / "t.csv"
    path.write_bytes("Сделка;Client;Amount\n1;a;5\n".encode(encoding))
    assert likely_encoding(path) == encoding
    path.write_bytes(codecs.BOM_UTF16_BE + path.read_bytes())
    assert likely_encoding(path) == "utf-16"


@pytest.mark.parametrize("newline", ["\n", "\r"])
def test_undecodable_lines_are_yielded_by_number_and_not_written(tmp_path: Path, newline: str):
    path = tmp_path / "t.csv"
    path.write_bytes(newline.join(["a", "b", "Я"]).encode("cp1251").replace(b"b", b"\x98"))
    found = list(as_utf8(path, tmp_path / "utf8.csv", "cp1251", split=False))
    assert [number for number, *_ in found] == [2]
    assert (tmp_path / "utf8.csv").read_bytes() == f"a{newline}Я".encode()
