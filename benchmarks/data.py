"""Generated purchases of clients who buy at their own rate and leave after a while, as Parquet."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import duckdb

AS_OF = dt.date(2025, 12, 31)
DAYS = 1_460
_LIFE_DAYS = 500
_SHAPE = 0.6


def write_purchases(path: Path, transactions: int, clients: int, seed: int, memory_limit: str = "2GB") -> int:
    """Write about ``transactions`` purchases (client_id, closed_on, revenue) in order of days; the number of rows.

    Every client joins on a day of the first half, stays for an exponential time and buys at a gamma distributed rate in
    between; its first purchase is on the day it joins. Chance comes from hashes of client and purchase, so that the same
    seed gives the same rows whatever the threads.
    """
    spill = path.with_name(f"{path.name}.spill")
    sql = duckdb.connect(config={"threads": 2, "memory_limit": memory_limit, "temp_directory": str(spill)})
    sql.execute(f"CREATE MACRO chance(a, b) AS ((hash(a, b, {seed}) % 1000000007) + 0.5) / 1000000007.0")
    sql.execute("CREATE MACRO normal(a, b) AS sqrt(-2 * ln(chance(a, b))) * cos(2 * pi() * chance(a, b + 1))")
    # A gamma distribution by Wilson & Hilferty's cube: close enough for a load, and one normal number each.
    cube = f"pow(greatest(0, 1 - 1 / (9 * {_SHAPE}) + normal(c, 10) / (3 * sqrt({_SHAPE}))), 3) * {_SHAPE}"
    sql.execute(
        f"CREATE VIEW joined AS SELECT c, (chance(c, 1) * {DAYS // 2})::INTEGER AS first, {cube} AS pace, "
        f"least(-ln(chance(c, 2)) * {_LIFE_DAYS}, {DAYS} - (chance(c, 1) * {DAYS // 2})::INTEGER - 1) AS stays "
        f"FROM range({clients}) t(c)"
    )
    ((exposure,),) = sql.execute("SELECT sum(pace * stays) FROM joined").fetchall()
    per_unit = max(0.0, (transactions - clients) / float(exposure))
    sql.execute(
        f"COPY (SELECT c AS client_id, DATE '{AS_OF}' - {DAYS - 1} + first + CASE WHEN k = 0 THEN 0 ELSE "
        "(chance(c, 100 + k) * stays)::INTEGER END AS closed_on, round(exp(4 + normal(c, 1000000 + 2 * k)), 2) AS revenue "
        f"FROM (SELECT *, unnest(range(1 + floor(pace * stays * {per_unit} + chance(c, 3))::BIGINT)) AS k FROM joined) "
        f"ORDER BY closed_on) TO '{path}' (FORMAT parquet)"
    )
    ((rows,),) = sql.execute(f"SELECT count(*) FROM read_parquet('{path}')").fetchall()
    sql.close()
    shutil.rmtree(spill, ignore_errors=True)
    return int(rows)
