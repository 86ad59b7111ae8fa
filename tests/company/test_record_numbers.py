from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_methods.company.record_numbers import RECORD
from crm_methods.company.settings import Formats, Source
from crm_methods.company.sources import read_raw

KINDS = {"good": '{n},"x"\n', "torn": "{n}\n", "blank": "\n", "quoted": '{n},"x\ny"\n', "foreign": "{n},\udcff\n"}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=12), encoding=st.sampled_from(["utf-8", "cp1251"]))
def test_every_record_keeps_the_line_it_stands_on(tmp_path: Path, kinds: list[str], encoding: str):
    text, line, lines = "n,x\n", 2, {}
    for kind in ["good", *kinds]:
        if not (kind == "foreign" and encoding == "cp1251"):
            text += KINDS[kind].format(n=line)
            lines[line] = kind
            line += 2 if kind == "quoted" else 1
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with duckdb.connect() as sql:
        raw = read_raw(sql, "raw_t", Source(file="t.csv"), Formats(encoding=encoding), path, tmp_path)
        read = sql.execute(f"SELECT {RECORD}, n FROM {raw.numbered} ORDER BY 1").fetchall()
    assert read == [(n, str(n)) for n, kind in lines.items() if kind in {"good", "quoted"}]
    assert sorted(n for n, _, _ in raw.broken) == [n for n, kind in lines.items() if kind in {"torn", "foreign"}]


@pytest.mark.parametrize("bad", [[2], [3], [2, 3], [2, 4], [3, 4, 5], [6]])
def test_undecodable_lines_move_what_follows(tmp_path: Path, bad: list[int]):
    lines = [b"n,x", *(b"%d,\x98" % n if n in bad else b"%d,y" % n for n in range(2, 7))]
    path = tmp_path / "t.csv"
    path.write_bytes(b"\n".join(lines) + b"\n")
    with duckdb.connect() as sql:
        raw = read_raw(sql, "raw_t", Source(file="t.csv"), Formats(encoding="cp1251"), path, tmp_path)
        assert all(int(n) == record for record, n in sql.execute(f"SELECT {RECORD}, n FROM {raw.numbered}").fetchall())
    assert [n for n, _, _ in raw.broken] == bad
