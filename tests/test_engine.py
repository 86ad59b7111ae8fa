from __future__ import annotations

import ast
import datetime as dt
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import numpy as np
import pandas as pd
import pydantic
import pytest

import crm_methods
from crm_methods import engine as engines
from crm_methods.engine import (
    Engine,
    EngineSettings,
    collect,
    day_number,
    day_of,
    fingerprint,
    month_number,
    month_of,
    month_start,
    open_engine,
)
from crm_methods.errors import CrmError, TooManyRowsError

from .conftest import MakeFrame

Frame = Any
ROWS = pd.DataFrame(
    {
        "id": [1, 2, 3, 4],
        "group": ["A", "A", "b", "b"],
        "value": [1.0, 4.0, None, 16.0],
        "whole": [7, -7, 3, 0],
        "day": pd.to_datetime(["2024-02-29 23:59", "2024-12-31", "1969-07-20", "2025-01-01"], format="ISO8601"),
    }
)
OTHER = pd.DataFrame({"group": ["A", "c"], "word": ["x", "y"]})
col, none = nw.col, None
FRAME_VERBS: dict[str, tuple[Callable[[Frame, Frame], Frame], list[Any]]] = {
    "select": (lambda f, o: f.select("id"), [1, 2, 3, 4]),
    "with_columns": (lambda f, o: f.with_columns(new=col("id") * 2).select("new"), [2, 4, 6, 8]),
    "filter": (lambda f, o: f.filter(col("value") > 1, col("group") == "A").select("id"), [2]),
    "group_by.agg": (lambda f, o: f.group_by("group").agg(nw.len().alias("n")), [("A", 2), ("b", 2)]),
    "join.inner": (lambda f, o: f.join(o, on="group", how="inner").select("id", "word"), [(1, "x"), (2, "x")]),
    "join.left": (
        lambda f, o: f.join(o, on="group", how="left").select("id", "word"),
        [(1, "x"), (2, "x"), (3, none), (4, none)],
    ),
    "join.anti": (lambda f, o: f.join(o, on="group", how="anti").select("id"), [3, 4]),
    "join.cross": (
        lambda f, o: f.select("id").head(4).join(o.select("word"), how="cross").filter(col("id") < 2),
        [(1, "x"), (1, "y")],
    ),
    "sort": (lambda f, o: f.sort("group", "whole", descending=[True, False]).select("id"), [4, 3, 2, 1]),
    "unique": (lambda f, o: f.select("group").unique(), ["A", "b"]),
    "rename": (lambda f, o: f.rename({"id": "key"}).select("key"), [1, 2, 3, 4]),
    "drop": (lambda f, o: f.drop("group", "value", "whole", "day"), [1, 2, 3, 4]),
    "head": (lambda f, o: f.sort("id").head(2).select("id"), [1, 2]),
    "concat": (lambda f, o: nw.concat([f.select("group"), o.select("group")]), ["A", "A", "A", "b", "b", "c"]),
}
COLUMN_VERBS: dict[str, tuple[Callable[[], nw.Expr], list[Any]]] = {
    "alias": (lambda: col("id").alias("x"), [1, 2, 3, 4]),
    "cast": (lambda: col("whole").cast(nw.Float64) / 2, [3.5, -3.5, 1.5, 0]),
    "fill_null": (lambda: col("value").fill_null(0.0), [1, 4, 0, 16]),
    "is_null": (lambda: col("value").is_null(), [False, False, True, False]),
    "is_in": (lambda: col("group").is_in(["b"]), [False, False, True, True]),
    "is_between": (lambda: col("id").is_between(2, 3), [False, True, True, False]),
    "abs": (lambda: col("whole").abs(), [7, 7, 3, 0]),
    "round": (lambda: (col("value") / 3).round(2), [0.33, 1.33, none, 5.33]),
    "log": (lambda: col("value").log(), [0, math.log(4), none, math.log(16)]),
    "sqrt": (lambda: col("value").sqrt(), [1, 2, none, 4]),
    "floor": (lambda: (col("value") / 3).floor(), [0, 1, none, 5]),
    "floor_div": (lambda: col("id") // 2, [0, 1, 1, 2]),
    "mod": (lambda: col("id") % 2, [1, 0, 1, 0]),
    "lit": (lambda: col("id") + nw.lit(1), [2, 3, 4, 5]),
    "when.then.otherwise": (lambda: nw.when(col("value") > 1).then(nw.lit("x")).otherwise(nw.lit("y")), ["y", "x", "y", "x"]),
    "coalesce": (lambda: nw.coalesce("value", "id"), [1, 4, 3, 16]),
    "max_horizontal": (lambda: nw.max_horizontal("value", "id"), [1, 4, 3, 16]),
    "min_horizontal": (lambda: nw.min_horizontal("whole", "id"), [1, -7, 3, 0]),
    "concat_str": (lambda: nw.concat_str([col("group"), nw.lit("!")], separator="-"), ["A-!", "A-!", "b-!", "b-!"]),
    "str.to_lowercase": (lambda: col("group").str.to_lowercase(), ["a", "a", "b", "b"]),
    "dt.year": (lambda: col("day").dt.year(), [2024, 2024, 1969, 2025]),
    "dt.month": (lambda: col("day").dt.month(), [2, 12, 7, 1]),
    "dt.day": (lambda: col("day").dt.day(), [29, 31, 20, 1]),
    "dt.to_string": (lambda: col("day").dt.to_string("%Y-%m-%d"), ["2024-02-29", "2024-12-31", "1969-07-20", "2025-01-01"]),
    "dt.truncate": (lambda: col("day").dt.truncate("1mo"),
                    list(pd.to_datetime(["2024-02-01", "2024-12-01", "1969-07-01", "2025-01-01"]))),
    "sum.over": (lambda: col("value").sum().over("group"), [5, 5, 16, 16]),
    "min.over": (lambda: col("whole").min().over("group"), [-7, -7, 0, 0]),
    "len.over": (lambda: nw.len().over("group"), [2, 2, 2, 2]),
    "cum_sum.over": (lambda: col("whole").cum_sum().over("group", order_by="id"), [7, 0, 3, 3]),
    "shift.over": (lambda: col("whole").shift(1).over("group", order_by="id"), [none, 7, none, 3]),
    "rank.over": (lambda: col("whole").rank("ordinal").over("group"), [2, 1, 2, 1]),
}  # fmt: skip
GROUP_VERBS: dict[str, tuple[Callable[[], nw.Expr], list[Any]]] = {
    "len": (lambda: nw.len(), [("A", 2), ("b", 2)]),
    "count": (lambda: col("value").count(), [("A", 2), ("b", 1)]),
    "sum": (lambda: col("value").sum(), [("A", 5), ("b", 16)]),
    "mean": (lambda: col("value").mean(), [("A", 2.5), ("b", 16)]),
    "min": (lambda: col("whole").min(), [("A", -7), ("b", 0)]),
    "max": (lambda: col("whole").max(), [("A", 7), ("b", 3)]),
    "median": (lambda: col("whole").cast(nw.Float64).median(), [("A", 0), ("b", 1.5)]),
    "n_unique": (lambda: col("whole").n_unique(), [("A", 2), ("b", 2)]),
}


def listed(frame: Frame, *, ordered: bool = False) -> list[Any]:
    """The rows in plain Python, NULL as None; sorted unless the order is the point."""
    rows = [tuple(None if pd.isna(cell) else cell for cell in row) for row in collect(frame).itertuples(index=False)]
    plain = [row[0] if len(row) == 1 else row for row in rows]
    return plain if ordered else sorted(plain, key=str)


def approximate(rows: list[Any]) -> list[Any]:
    return [pytest.approx(row) if isinstance(row, float) else row for row in rows]


@pytest.mark.parametrize("verb", FRAME_VERBS)
def test_frames_mean_the_same_on_every_engine(frames: MakeFrame, verb: str):
    apply, expected = FRAME_VERBS[verb]
    ordered = verb in {"sort", "head"}
    assert listed(apply(frames(ROWS), frames(OTHER)), ordered=ordered) == (expected if ordered else sorted(expected, key=str))


@pytest.mark.parametrize("verb", COLUMN_VERBS)
def test_columns_mean_the_same_on_every_engine(frames: MakeFrame, verb: str):
    make, expected = COLUMN_VERBS[verb]
    result = frames(ROWS).with_columns(result=make()).sort("id").select("result")
    assert listed(result, ordered=True) == approximate(expected)


@pytest.mark.parametrize("verb", GROUP_VERBS)
def test_groups_mean_the_same_on_every_engine(frames: MakeFrame, verb: str):
    make, expected = GROUP_VERBS[verb]
    assert listed(frames(ROWS).group_by("group").agg(make().alias("result"))) == expected


def test_every_verb_on_the_list_is_tested_and_no_other():
    tested = [*FRAME_VERBS, *COLUMN_VERBS, *GROUP_VERBS]
    assert sorted(tested) == sorted(engines.VERBS)


def narwhals_words(tree: ast.AST) -> Iterator[str]:
    """Every function and method called in a chain that begins with ``nw.``."""
    for node in ast.walk(tree):
        words, base = [], node
        while True:
            if isinstance(base, ast.Call):
                base = base.func
            elif isinstance(base, ast.Attribute):
                words.append(base.attr)
                base = base.value
            elif isinstance(base, ast.BinOp | ast.Compare):
                base = base.left
            elif isinstance(base, ast.UnaryOp):
                base = base.operand
            else:
                break
        if isinstance(base, ast.Name) and base.id == "nw":
            yield from words


def test_the_package_uses_no_verb_that_is_not_on_the_list():
    known = {word for verb in engines.VERBS for word in verb.split(".")} | {
        "col",
        "from_native",
        "to_native",
        "lazy",
        "collect",
        "dtypes",
    }
    used: dict[str, set[str]] = {}
    for room in ("models", "stages", "reports", "runs"):
        for path in (Path(crm_methods.__file__).parent / room).rglob("*.py"):
            for word in narwhals_words(ast.parse(path.read_text(encoding="utf-8"))):
                if word[0].islower() and word not in known:
                    used.setdefault(word, set()).add(path.name)
    assert used == {}


def test_days_are_counted_alike_on_every_engine_from_1950_to_2100(frames: MakeFrame):
    days = pd.date_range("1950-01-01", "2100-12-31", unit="us")
    counted = collect(
        frames(pd.DataFrame({"day": days})).select("day", number=day_number("day"), month=month_number(nw.col("day"))).sort("day")
    )
    epoch = np.datetime64("1970-01-01")
    assert (counted["number"] == (days.to_numpy() - epoch) // np.timedelta64(1, "D")).all()
    assert (counted["month"] == [month_of(day) for day in days]).all()
    assert counted["number"].dtype == "int64"


def test_python_days_count_as_frames_do():
    assert day_of(dt.date(1970, 1, 1)) == 0
    assert day_of(dt.datetime(2025, 12, 31, 23, 59)) == 20453
    for day in (dt.date(1999, 12, 31), dt.date(2000, 1, 1)):
        assert month_start(month_of(day)) == day.replace(day=1)


def test_what_is_collected_looks_the_same_whatever_the_engine(frames: MakeFrame):
    made = frames(ROWS).with_columns(
        small=nw.col("whole").cast(nw.Int32),
        flag=nw.col("id") > 1,
    )
    collected = collect(made.sort("id"))
    kinds = {name: str(kind) for name, kind in collected.dtypes.items()}
    text = str(pd.Series(["x"]).dtype)
    assert kinds == {
        "id": "int64", "group": text, "value": "float64", "whole": "int64", "day": "datetime64[us]", "small": "int64",
        "flag": "bool",
    }  # fmt: skip
    assert collected.index.tolist() == [0, 1, 2, 3]


def test_decimals_become_floats_and_missing_texts_stay_missing():
    plain = engines.plain(pd.DataFrame({"m": [Decimal("1.10"), None], "t": ["a", None], "n": [None, None]}))
    assert plain["m"].tolist()[0] == 1.1
    assert plain["m"].dtype == "float64"
    assert plain["t"].isna().tolist() == [False, True]
    assert plain["t"].tolist()[0] == "a"
    assert plain["n"].isna().all()


def test_collecting_takes_only_the_columns_asked_for_and_keeps_the_order(frames: MakeFrame):
    collected = collect(frames(ROWS).sort("whole"), ["group", "id"])
    assert list(collected.columns) == ["group", "id"]
    assert collected["id"].tolist() == [2, 4, 3, 1]


def test_collecting_stops_at_its_limit(frames: MakeFrame):
    assert len(collect(frames(ROWS), max_rows=4)) == 4
    with pytest.raises(TooManyRowsError, match="more than 3 rows"):
        collect(frames(ROWS), max_rows=3)


@pytest.fixture(params=["duckdb", "spark"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "spark":
        # The session of all tests is taken over, so it is not closed here.
        request.getfixturevalue("spark")
        engine = open_engine(EngineSettings(kind="spark", master="local[1]"), tmp_path / "spill")
        yield engine
        engine.sql.close()
    else:
        engine = open_engine(EngineSettings(memory_limit="512MB", threads=1), tmp_path / "spill")
        yield engine
        engine.close()


def test_what_is_written_is_read_back_ordered_by_its_key(opened: Engine, tmp_path: Path):
    path = tmp_path / "new" / "t.parquet"
    shuffled = ROWS.iloc[[2, 0, 3, 1]]
    for frame in (shuffled, opened.frame(shuffled)):
        assert opened.write(frame, path, order_by=["id"]) == 4
        assert pd.read_parquet(path)["id"].tolist() == [1, 2, 3, 4]
        back = collect(opened.scan(path).sort("id"))
        pd.testing.assert_frame_equal(back, collect(opened.frame(ROWS).sort("id")))
        assert back["day"].tolist() == ROWS["day"].tolist()
    assert [p.name for p in path.parent.iterdir()] == ["t.parquet"]


def test_scanned_and_handed_over_frames_can_be_joined(opened: Engine, tmp_path: Path):
    opened.write(ROWS, tmp_path / "t.parquet", order_by=["id"])
    joined = opened.scan(tmp_path / "t.parquet").join(opened.frame(OTHER), on="group", how="inner")
    assert sorted(collect(joined)["id"]) == [1, 2]


def test_a_frame_may_be_written_over_the_file_it_is_read_from(opened: Engine, tmp_path: Path):
    path = tmp_path / "t.parquet"
    opened.write(ROWS, path, order_by=["id"])
    assert opened.write(opened.scan(path).filter(nw.col("id") > 2), path, order_by=["id"]) == 2
    assert collect(opened.scan(path))["id"].tolist() == [3, 4]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(opened: Engine, tmp_path: Path):
    path = tmp_path / "t.parquet"
    opened.write(ROWS, path, order_by=["id"])
    before = path.read_bytes()
    broken = opened.frame(ROWS).with_columns(nw.col("group").cast(nw.Int64))
    with pytest.raises(Exception):  # noqa: B017 — each engine has an error of its own
        opened.write(broken, path, order_by=["id"])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if "parquet" in p.name] == ["t.parquet"]


def test_an_empty_frame_is_written_and_read(opened: Engine, tmp_path: Path):
    opened.write(opened.frame(ROWS).filter(nw.col("id") > 9), tmp_path / "t.parquet", order_by=["id"])
    assert list(collect(opened.scan(tmp_path / "t.parquet")).columns) == list(ROWS.columns)


def test_a_pandas_lazy_frame_can_be_written_too(tmp_path: Path):
    engine = open_engine(temp_folder=tmp_path / "spill")
    assert engine.write(nw.from_native(ROWS).lazy(), tmp_path / "t.parquet", order_by=["id"]) == 4
    engine.close()


def write(path: Path, data: pd.DataFrame) -> str:
    data.to_parquet(path, index=False)
    return fingerprint(path)


def test_a_fingerprint_knows_the_rows_and_not_their_order(tmp_path: Path):
    path, whole = tmp_path / "t.parquet", write(tmp_path / "t.parquet", ROWS)
    assert write(path, ROWS.iloc[::-1]) == whole
    changes = {
        "a number": ROWS.assign(value=[1.0, 4.0, None, 16.0001]),
        "a gap": ROWS.assign(value=[1.0, 4.0, 0.0, 16.0]),
        "cells swapped": ROWS.assign(group=["b", "A", "A", "b"]),
        "a name": ROWS.rename(columns={"group": "groups"}),
        "a row less": ROWS.head(3),
        "a row twice": pd.concat([ROWS, ROWS.head(1)]),
        "two rows twice": pd.concat([ROWS, ROWS.head(1), ROWS.head(1)]),
        "a day": ROWS.assign(day=ROWS["day"] + pd.Timedelta(days=1)),
    }
    prints = {name: write(path, changed) for name, changed in changes.items()}
    assert len({whole, *prints.values()}) == len(changes) + 1


def test_a_fingerprint_does_not_see_the_last_digits_of_a_float(tmp_path: Path):
    """Nor what is left of them where two sums nearly cancel each other."""
    one, other = (write(tmp_path / "t.parquet", pd.DataFrame({"x": [x, 0.0]})) for x in (0.3 * (1 + 2e-12), 0.3))
    assert one == other
    assert write(tmp_path / "t.parquet", pd.DataFrame({"x": [0.3, -0.0]})) == other


def test_a_fingerprint_does_not_see_in_which_order_half_cents_were_added(tmp_path: Path):
    """Their sums are a decimal away from the next digit, whichever digit is the last one that counts."""
    ends = [(number + 0.5) * 10.0**-place for place in range(-3, 8) for number in (123_456_789, 10_000_000, 999_999_998)]
    more, less = (write(tmp_path / "t.parquet", pd.DataFrame({"x": [x * (1 + e) for x in ends]})) for e in (3e-16, -3e-16))
    assert more == less


def test_an_empty_table_has_a_fingerprint(tmp_path: Path):
    assert write(tmp_path / "t.parquet", ROWS.head(0)) != write(tmp_path / "t.parquet", OTHER.head(0))


def test_no_extension_is_ever_fetched():
    engine = open_engine()
    for setting in ("autoinstall_known_extensions", "autoload_known_extensions"):
        assert engine.sql.execute(f"SELECT current_setting('{setting}')").fetchall() == [(False,)]
    with pytest.raises(duckdb.Error):
        engine.sql.execute("FROM read_csv('https://localhost:1/x.csv')")
    engine.close()


def test_settings_reach_the_engine_and_engines_do_not_share_a_folder(tmp_path: Path):
    engines_ = [open_engine(EngineSettings(memory_limit="100MB", threads=1), tmp_path / "deep" / "spill") for _ in range(2)]
    folders = {e.sql.execute("SELECT current_setting('temp_directory')").fetchall()[0][0] for e in engines_}
    assert len(folders) == 2
    assert engines_[0].sql.execute("SELECT current_setting('threads')").fetchall() == [(1,)]
    engines_[0].sql.execute(
        "CREATE TEMP TABLE t AS SELECT range i, hash(range)::VARCHAR h, hash(range + 1)::VARCHAR g FROM range(3000000)"
    )
    assert any(list(Path(folder).glob("*")) for folder in folders if Path(folder).is_dir())
    for engine in engines_:
        engine.close()
    assert list((tmp_path / "deep").iterdir()) == []


@pytest.mark.parametrize("bad", [{"kind": "polars"}, {"memory_limit": "much"}, {"threads": 0}, {"cores": 2}])
def test_engine_settings_are_strict(bad: dict[str, Any]):
    with pytest.raises(pydantic.ValidationError):
        EngineSettings(**bad)


def test_spark_that_is_not_installed_is_a_clear_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pyspark.sql", None)
    with pytest.raises(CrmError, match=r"pip install 'crm-methods\[spark\]'"):
        open_engine(EngineSettings(kind="spark"))
