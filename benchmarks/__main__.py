"""The kit beside its peers on the same generated purchases, in one run: ``make bench``.

Absolute times depend on the machine; the ratios are what to read.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods.engine import EngineSettings, open_engine
from crm_methods.models.btyd_fit import fit_purchases
from crm_methods.models.purchase_history import purchase_summary, unique_triples

AS_OF = dt.date(2025, 12, 31)
DAYS = 1_460


def purchases(clients: int, seed: int) -> pd.DataFrame:
    """Purchases of clients who buy at their own rate and leave after a while: client_id, closed_on, revenue."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, DAYS // 2, clients)
    alive = np.minimum(rng.exponential(500, clients), DAYS - first)
    counts = 1 + rng.poisson(rng.gamma(0.6, 1 / 40, clients) * alive)
    client = np.repeat(np.arange(clients), counts)
    day = np.minimum(first[client] + (rng.random(len(client)) * alive[client]).astype(int), DAYS - 1)
    # The first purchase is on the first day.
    day[np.concatenate([[0], counts.cumsum()[:-1]])] = first
    start = np.datetime64(AS_OF) - DAYS + 1
    return pd.DataFrame({"client_id": client, "closed_on": start + day, "revenue": rng.lognormal(4, 1, len(client)).round(2)})


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of wall clock, and what the work returned."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def main() -> None:
    """Print a row per piece of work: ours, the peer's, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    from lifetimes import BetaGeoFitter
    from lifetimes.utils import summary_data_from_transaction_data

    data = purchases(given.clients, given.seed)
    print(f"{len(data):,} purchases of {given.clients:,} clients, seed {given.seed}\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "purchases.parquet"
        data.to_parquet(path, index=False)
        engine = open_engine(EngineSettings(threads=2), Path(folder))
        dated = engine.scan(path).with_columns(nw.col("closed_on").cast(nw.Date))
        out = Path(folder) / "summary.parquet"
        ours_summary, _ = timed(lambda: engine.write(purchase_summary(dated, AS_OF, money="revenue"), out, ["client_id"]))
        theirs_summary, summary = timed(
            lambda: summary_data_from_transaction_data(data, "client_id", "closed_on", "revenue", observation_period_end=AS_OF)
        )
        compress, triples = timed(lambda: unique_triples(engine.scan(out)))
    ours_fit, _ = timed(lambda: fit_purchases("bg_nbd", triples, "week", "ml"))
    weeks = summary[["frequency", "recency", "T"]].to_numpy() / np.array([1, 7, 7])
    theirs = BetaGeoFitter()
    theirs_fit, _ = timed(lambda: theirs.fit(*weeks.T))
    rows = [
        ("purchase summary", ours_summary, theirs_summary),
        ("BG/NBD fit, weeks", ours_fit, theirs_fit),
        ("… with compression to unique histories", ours_fit + compress, theirs_fit),
    ]
    print(f"{'work':<42}{'kit, s':>10}{'lifetimes, s':>14}{'ratio':>8}")
    for name, ours, peer in rows:
        print(f"{name:<42}{ours:>10.2f}{peer:>14.2f}{peer / ours:>8.1f}")


if __name__ == "__main__":
    main()
