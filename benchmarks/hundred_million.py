"""The summary of a hundred million purchases under a memory limit, with the memory it really took. Run by hand:

    python -m benchmarks.hundred_million --folder /tmp

It needs about 5 GB of disk while it runs, and removes what it made.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.work import alone

MOST_MEGABYTES = 4_000


def main() -> None:
    """Make the purchases, summarise them in a process of its own, and hold its peak memory to the bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=100_000_000)
    parser.add_argument("--clients", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory", default="3GB", help="DuckDB's memory limit")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crm_bench_", dir=given.folder) as made:
        folder = Path(made)
        rows = alone("make", folder, given.transactions, given.clients, given.seed)["rows"]
        size = (folder / "purchases.parquet").stat().st_size / 1e9
        print(f"{rows:,} purchases of {given.clients:,} clients, seed {given.seed}, {size:.1f} GB of Parquet; two threads")
        told = alone("summary_ours", folder, "day", given.memory)
        written = (folder / "summary_day.parquet").stat().st_size / 1e9
    print(f"summary: {told['rows']:,} clients in {told['seconds']:.0f} s, {written:.1f} GB of Parquet")
    verdict = "PASS" if told["megabytes"] < MOST_MEGABYTES else "FAIL"
    bar = f"peak resident memory below {MOST_MEGABYTES:,} MB under a limit of {given.memory}"
    print(f"{verdict}  {bar}: {told['megabytes']:,.0f} MB")


if __name__ == "__main__":
    main()
