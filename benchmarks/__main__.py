"""The kit beside its peers on the same generated purchases, in one run: ``make bench``.

    python -m benchmarks --transactions 10000000 --clients 1000000

Every piece of work is done twice, each time in a process of its own with two threads, so that its peak memory can be told;
the faster run counts. Absolute times depend on the machine; the ratios are what to read, and the bars they are held to are
printed with them.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.work import alone

BARS = (
    ("summary, at least 2.5 × faster than lifetimes", ("summary_lifetimes", "summary_ours"), "seconds", 2.5),
    ("summary, at most 2.5 × hand-written SQL", ("summary_by_hand", "summary_ours"), "seconds", 1 / 2.5),
    ("peak memory of the summary, at most half of lifetimes'", ("summary_lifetimes", "summary_ours"), "megabytes", 2.0),
    ("fit by weeks, at least 50 × faster than lifetimes", ("fit_lifetimes week", "fit_ours week"), "seconds", 50.0),
    ("fit by days, at least 10 × faster than lifetimes", ("fit_lifetimes day", "fit_ours day"), "seconds", 10.0),
    ("value of 12 months, at least 10 × faster than lifetimes", ("score_lifetimes", "score_ours"), "seconds", 10.0),
    ("the same written to Parquet, at least 10 × faster", ("score_lifetimes", "score_ours parquet"), "seconds", 10.0),
)
"""Each bar: its words, the peer's and our work, what is compared, and the least ratio of the two."""

ROWS = (
    ("Summary, one row per client", None),
    ("kit, to Parquet", "summary_ours"),
    ("DuckDB SQL by hand, to Parquet", "summary_by_hand"),
    ("DuckDB, bare scan", "scan"),
    ("lifetimes, from and to memory", "summary_lifetimes"),
    ("pymc-marketing, from and to memory", "summary_pymc_marketing"),
    ("Fit of BG/NBD by weeks", None),
    ("kit, counting distinct histories", "compress week"),
    ("kit, fit", "fit_ours week"),
    ("lifetimes, a row per client", "fit_lifetimes week"),
    ("Fit of BG/NBD by days", None),
    ("kit, counting distinct histories", "compress day"),
    ("kit, fit", "fit_ours day"),
    ("lifetimes, a row per client", "fit_lifetimes day"),
    ("Value of the next 12 months", None),
    ("kit, a row per client into memory", "score_ours"),
    ("kit, to Parquet", "score_ours parquet"),
    ("lifetimes, from and to memory", "score_lifetimes"),
)
ORDER = (
    "scan", "summary_ours", "summary_by_hand", "summary_lifetimes", "summary_pymc_marketing", "summary_ours week",
    "compress week", "compress day", "fit_ours week", "fit_lifetimes week", "fit_ours day", "fit_lifetimes day",
    "score_ours", "score_ours parquet", "score_lifetimes",
)  # fmt: skip
OPTIONAL = {"summary_pymc_marketing": "pymc_marketing"}
"""Work of peers that may be missing, with the name by which they are imported."""


def main() -> None:
    """Do all the work, print a table of it, and say which bars were passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=10_000_000)
    parser.add_argument("--clients", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crm_bench_") as made:
        folder = Path(made)
        rows = alone("make", folder, given.transactions, given.clients, given.seed)["rows"]
        print(f"{rows:,} purchases of {given.clients:,} clients, seed {given.seed}; two threads, the faster of two runs\n")
        missing = {work for work, package in OPTIONAL.items() if importlib.util.find_spec(package) is None}
        done = {work: _faster_of_two(work, folder) for work in ORDER if work not in missing}
    _print_table(done)
    _print_agreement(done)
    _print_bars(done)


def _faster_of_two(work: str, folder: Path) -> dict[str, Any]:
    """A piece of work done twice: what the faster run tells, with the higher peak of memory of the two."""
    runs = [alone(work.split()[0], folder, *work.split()[1:]) for _ in range(2)]
    faster = min(runs, key=lambda told: told["seconds"])
    return {**faster, "megabytes": max(told["megabytes"] for told in runs)}


def _print_table(done: Mapping[str, Mapping[str, Any]]) -> None:
    print(f"{'':<46}{'seconds':>10}{'peak MB':>10}")
    for name, work in ROWS:
        if work is None:
            print(name)
            continue
        if work not in done:
            print(f"{'  ' + name:<46}{'not measured: it is not installed':>20}")
            continue
        told = done[work]
        counted = f"  {told['rows']:,} distinct" if work.startswith("compress") else ""
        print(f"{'  ' + name:<46}{told['seconds']:>10.2f}{told['megabytes']:>10,.0f}{counted}")


def _print_agreement(done: Mapping[str, Mapping[str, Any]]) -> None:
    """That the peers did the same work, since a ratio of different results says nothing."""
    print(f"\nsummaries: {done['summary_by_hand']['rows_apart']:,} rows differ from SQL by hand, ", end="")
    print(f"{done['summary_lifetimes']['rows_apart']:,} from lifetimes", end="")
    print(f", {done[third]['rows_apart']:,} from pymc-marketing" if (third := "summary_pymc_marketing") in done else "")
    for unit in ("week", "day"):
        ours, theirs = (done[f"fit_{who} {unit}"]["parameters"] for who in ("ours", "lifetimes"))
        said = ", ".join(f"{name} {ours[name]:.4f} / {theirs[name]:.4f}" for name in ours)
        print(f"parameters by {unit}s, kit / lifetimes: {said}")
    print(f"purchases to come: {done['score_ours']['total']:,.0f} / {done['score_lifetimes']['total']:,.0f}\n")


def _print_bars(done: Mapping[str, Mapping[str, Any]]) -> None:
    for words, (peer, ours), what, least in BARS:
        ratio = done[peer][what] / done[ours][what]
        shown = f"{ratio:.1f} ×" if least > 1 else f"{1 / ratio:.1f} ×"
        print(f"{'PASS' if ratio >= least else 'FAIL'}  {words}: {shown}")


if __name__ == "__main__":
    main()
