"""Bringing in a large, dirty export beside DuckDB's own typed read of the clean one, in one run.

    python -m benchmarks.intake --rows 10000000

The kit reads a CSV with decimal commas, ``dd.mm.yyyy`` and 1 % bad cells as text, types it, accounts for every bad cell
by its line, and writes canonical Parquet. The peer reads the clean file with types declared and writes it to Parquet.
Each works in a process of its own, so that peak memory can be told; both use two threads.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

BAD_ONE_IN = 100
_COMPANY = """company: Large
as_of: 2025-12-31
currency: EUR
formats: {{delimiter: ";", decimal: ",", date: "%d.%m.%Y"}}
tables: {{deals: {{file: deals.csv}}}}
engine: {{memory_limit: {memory}, threads: 2}}
"""
_OURS = """
import json, resource, sys, time
from pathlib import Path
from crm_methods.company.intake import bring_in
from crm_methods.company.settings import load_company
from crm_methods.engine import open_engine
folder = Path(sys.argv[1])
company = load_company(folder)
engine = open_engine(company.engine, folder / "spill")
started = time.perf_counter()
data = bring_in(company, folder, engine, folder / "canonical")
seconds = time.perf_counter() - started
bad = data.engine.sql.execute("SELECT count(*), count(DISTINCT record) FROM read_parquet(?)",
                              [str(folder / "canonical" / "rejects.parquet")]).fetchone()
print(json.dumps({"seconds": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                  "totals": data.totals.to_dict("records")[0], "rejects": bad}))
"""
_PEER = """
import json, resource, sys, time
import duckdb
sql = duckdb.connect(config={"threads": 2, "memory_limit": sys.argv[2], "temp_directory": sys.argv[1] + "/peer_spill"})
started = time.perf_counter()
sql.execute(f"COPY (FROM read_csv('{sys.argv[1]}/clean.csv', delim=';', header=true, auto_detect=false, decimal_separator=',', "
            "dateformat='%d.%m.%Y', columns={'deal_id': 'VARCHAR', 'client_id': 'VARCHAR', 'closed_on': 'DATE', "
            f"'amount': 'DECIMAL(18,4)', 'status': 'VARCHAR'}})) TO '{sys.argv[1]}/peer.parquet' (FORMAT parquet)")
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def write_files(folder: Path, rows: int, *, shuffled: bool) -> int:
    """Write ``clean.csv`` and ``deals.csv``; how many cells of the latter are bad. With ``shuffled`` ids come in no order."""
    sql = duckdb.connect(config={"threads": 2, "memory_limit": "2GB", "temp_directory": str(folder / "made")})
    number = f"(hash(i) % {10 * rows})" if shuffled else "i"
    sql.execute(
        f"CREATE VIEW made AS SELECT i, printf('D%010d', {number}) || '-' || i AS deal_id, printf('C%06d', hash(i + 1) % 400000) "
        "AS client_id, strftime(DATE '2020-01-01' + (hash(i + 2) % 2190)::INTEGER, '%d.%m.%Y') AS closed_on, "
        "replace(printf('%.2f', (hash(i + 3) % 500000) / 100.0), '.', ',') AS amount, "
        f"['won', 'lost'][1 + (hash(i + 4) % 2)::INTEGER] AS status, hash(i + 5) % {BAD_ONE_IN} = 0 AS is_bad, "
        f"hash(i + 6) % 4 AS which FROM range({rows}) r(i)"
    )
    columns = "deal_id, client_id, closed_on, amount, status"
    spoilt = (
        "CASE WHEN is_bad AND which = 0 THEN '' ELSE client_id END AS client_id, "
        "CASE WHEN is_bad AND which = 1 THEN '31.02.2024' ELSE closed_on END AS closed_on, "
        "CASE WHEN is_bad AND which = 2 THEN 'n/a' ELSE amount END AS amount, "
        "CASE WHEN is_bad AND which = 3 THEN 'perhaps' ELSE status END AS status"
    )
    sql.execute(f"COPY (SELECT {columns} FROM made) TO '{folder}/clean.csv' (HEADER, DELIMITER ';')")
    sql.execute(f"COPY (SELECT deal_id, {spoilt} FROM made) TO '{folder}/deals.csv' (HEADER, DELIMITER ';')")
    ((bad,),) = sql.execute("SELECT count(*) FROM made WHERE is_bad").fetchall()
    return int(bad)


def run_alone(script: str, *arguments: str) -> dict[str, object]:
    """What a script prints as JSON, run in a process of its own."""
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print time and peak memory of both, and whether every record and every bad cell is accounted for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--memory", default="1400MB", help="DuckDB's memory limit, for both")
    parser.add_argument("--shuffled", action="store_true", help="write the deals in no order of their ids")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crm_bench_") as made:
        folder = Path(made)
        bad = write_files(folder, given.rows, shuffled=given.shuffled)
        (folder / "company.yml").write_text(_COMPANY.format(memory=given.memory), encoding="utf-8")
        first = run_alone(_PEER, str(folder), given.memory)
        ours = run_alone(_OURS, str(folder))
        again = run_alone(_PEER, str(folder), given.memory)
    peer = min(float(first["seconds"]), float(again["seconds"]))  # type: ignore[arg-type]
    totals, rejects = ours["totals"], ours["rejects"]
    print(
        f"{given.rows:,} deals, {bad:,} bad cells{', in no order' if given.shuffled else ''}; two threads, limit {given.memory}\n"
    )
    print(f"{'':<42}{'seconds':>10}{'peak MB':>10}")
    print(f"{'DuckDB, clean file, typed, to Parquet':<42}{peer:>10.1f}{max(first['megabytes'], again['megabytes']):>10,.0f}")
    print(f"{'kit, dirty file, to canonical Parquet':<42}{ours['seconds']:>10.1f}{ours['megabytes']:>10,.0f}")
    print(f"{'ratio':<42}{ours['seconds'] / peer:>10.1f}\n")
    fates = {name: int(totals[f"{name}_rows"]) for name in ("source", "accepted", "rejected", "later", "duplicate")}
    print(", ".join(f"{name} {count:,}" for name, count in fates.items()))
    print(f"bad cells listed: {rejects[0]:,} on {rejects[1]:,} lines, of {bad:,} planted")


if __name__ == "__main__":
    main()
