"""Any bytes whatever, written into a sound file: a message for the user, or records that are accounted for line by line."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_methods.company.raw_table import RawTable
from crm_methods.company.record_numbers import RECORD
from crm_methods.company.settings import Formats, Source
from crm_methods.company.sources import read_raw
from crm_methods.errors import CrmError

from .test_damaged_input import HEADER, SOUND, TABLE, parquet, text, workbook

LATE = "".join(f"{n},a,2025-01-01,5\n" for n in range(20, 100_000))


def test_one_open_quote_does_not_swallow_the_rest_of_a_large_file(tmp_path: Path):
    raw, sql = load(tmp_path, text('1,"a,2025-01-01,5\n', LATE))
    ((rows, first, last),) = sql.execute(f"SELECT count(*), min({RECORD}), max({RECORD}) FROM {raw.numbered}").fetchall()
    assert [(line, line_text) for line, line_text, _ in raw.broken] == [(12, '1,"a,2025-01-01,5')]
    assert (rows, first, last) == (99_990, 2, 99_992)


def test_quotes_left_open_everywhere_are_told_with_the_setting_for_texts_without_quotes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("crm_methods.company.text_source._ROUNDS", 1)
    with pytest.raises(CrmError, match=r'not closed, such as on line 12 .*`formats: \{quote: ""\}`'):
        load(tmp_path, text('1,"a,2025-01-01,5\n', "2,a,2025-01-01,5\n"))


def test_a_sound_text_is_read_from_its_file_and_a_damaged_one_is_stored(tmp_path: Path):
    assert load(tmp_path, text())[0].first == 2
    assert load(tmp_path, text("1,a\n"))[0].first is None


def load(folder: Path, content: bytes) -> tuple[RawTable, duckdb.DuckDBPyConnection]:
    path = folder / "deals.csv"
    path.write_bytes(content)
    sql = duckdb.connect()
    return read_raw(sql, "raw_deals", Source(file="deals.csv"), Formats(), path, folder), sql


def lines_of(raw: RawTable, sql: duckdb.DuckDBPyConnection) -> dict[int, tuple[str, ...]]:
    found = sql.execute(f"SELECT {RECORD}, * EXCLUDE ({RECORD}) FROM {raw.numbered}").fetchall()
    assert len({record for record, *_ in found}) == len(found)
    return {record: tuple(cells) for record, *cells in found}


FAST = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
CONTAINERS = {"xlsx": workbook(TABLE), "parquet": parquet(50), "csv.gz": gzip.compress(text())}
INSIDE = st.tuples(st.integers(len(HEADER), len(HEADER + SOUND) - 1), st.binary(min_size=1, max_size=3))


@FAST
@given(changes=st.lists(INSIDE, min_size=1, max_size=6), cut=st.booleans())
def test_any_bytes_written_into_a_sound_file_give_a_message_or_accounted_records(
    tmp_path: Path, changes: list[tuple[int, bytes]], cut: bool
):
    content = bytearray(text())
    for place, written in changes:
        content[place : place + len(written)] = written
    if cut:
        del content[changes[0][0] :]
    try:
        raw, sql = load(tmp_path, bytes(content))
    except CrmError:
        return
    there = lines_of(raw, sql)
    sql.close()
    broken = [line for line, *_ in raw.broken]
    assert not set(there) & set(broken)
    assert len(set(broken)) == len(broken)
    # Line by line, where no quote and no newline was written or overwritten, nothing is lost and nothing is moved.
    old, new = text().split(b"\n"), bytes(content).split(b"\n")
    if len(old) == len(new) and not set(b'"\r') & set(content):
        assert set(there) | set(broken) == {n for n, line in enumerate(new, 1) if n > 1 and line.strip(b", \t\x0b\x0c")}
        untouched = {n for n, (a, b) in enumerate(zip(old, new, strict=True), 1) if a == b and n > 1 and a}
        assert {n: ",".join(there[n]).encode() for n in untouched} == {n: old[n - 1] for n in untouched}


@FAST
@given(
    place=st.integers(0, 3_000), written=st.binary(min_size=1, max_size=40), kind=st.sampled_from(["xlsx", "parquet", "csv.gz"])
)
def test_any_bytes_written_into_a_container_give_a_message_or_records(tmp_path: Path, place: int, written: bytes, kind: str):
    content = bytearray(CONTAINERS[kind])
    place %= len(content)
    content[place : place + len(written)] = written
    path = tmp_path / f"deals.{kind}"
    path.write_bytes(content)
    # Any other error than one with a message for the user fails the test.
    with duckdb.connect() as sql, contextlib.suppress(CrmError):
        lines_of(read_raw(sql, "raw_deals", Source(file=path.name), Formats(), path, tmp_path), sql)


def test_a_text_of_two_line_ends_keeps_its_sound_records_beside_a_torn_one(tmp_path: Path):
    whole = text('1,"a b"c,2025-01\n-01,5\n').replace(b"\n", b"\r\n").replace(b"-01\r\n-", b"-01\n-")
    raw, sql = load(tmp_path, whole)
    assert sorted(lines_of(raw, sql)) == list(range(2, 12))
    assert [line for line, *_ in raw.broken] == [12, 13]
