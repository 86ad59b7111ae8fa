"""One piece of work in a process of its own, so that its time and its peak memory can be told.

    python -m benchmarks.work <task> <folder>

``folder`` holds ``purchases.parquet`` (``benchmarks.data``) and, for fits and scores, what ``summary_ours`` and
``compress`` left there. The last line printed is JSON: seconds, megabytes, and what else the task tells.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.data import AS_OF, write_purchases

MEMORY_LIMIT = "4GB"
HORIZON_MONTHS = 12
YEARLY_RATE = 0.1
DAYS_PER = {"day": 1.0, "week": 7.0}
SPEND = {"p": 6.25, "q": 3.75, "v": 40.0}
BY_HAND = """
COPY (
    WITH days AS (SELECT client_id, closed_on, sum(revenue) AS revenue FROM read_parquet('{source}')
                  WHERE closed_on <= DATE '{as_of}' GROUP BY ALL),
         clients AS (SELECT client_id, count(*) - 1 AS x, min(closed_on) AS first_on, max(closed_on) AS last_on,
                            sum(revenue) AS revenue, arg_min(revenue, closed_on) AS first_revenue FROM days GROUP BY client_id)
    SELECT client_id, x, last_on - first_on AS t_x, DATE '{as_of}' - first_on AS T,
           CASE WHEN x > 0 THEN (revenue - first_revenue) / x ELSE 0 END AS mean_revenue, revenue, first_on, last_on
    FROM clients ORDER BY client_id
) TO '{target}' (FORMAT parquet)
"""


@contextmanager
def timed(told: dict[str, Any]) -> Iterator[None]:
    """Seconds of wall clock and of the processors for what is done inside, noted in ``told``."""
    started, worked = time.perf_counter(), time.process_time()
    yield
    told["seconds"], told["processor_seconds"] = time.perf_counter() - started, time.process_time() - worked


def _engine(folder: Path, memory_limit: str = MEMORY_LIMIT) -> Any:
    from crm_methods.engine import EngineSettings, open_engine

    return open_engine(EngineSettings(threads=2, memory_limit=memory_limit), folder / "spill")


def _duckdb(folder: Path) -> Any:
    import duckdb

    return duckdb.connect(config={"threads": 2, "memory_limit": MEMORY_LIMIT, "temp_directory": str(folder / "by_hand_spill")})


def summary_ours(folder: Path, told: dict[str, Any], merge: Any = "day", memory_limit: str = MEMORY_LIMIT) -> None:
    from crm_methods.models.purchase_history import purchase_summary

    engine = _engine(folder, memory_limit)
    with timed(told):
        summary = purchase_summary(engine.scan(folder / "purchases.parquet"), AS_OF, merge, money="revenue")
        told["rows"] = engine.write(summary, folder / f"summary_{merge}.parquet", ["client_id"])


def summary_by_hand(folder: Path, told: dict[str, Any]) -> None:
    sql = _duckdb(folder)
    with timed(told):
        sql.execute(BY_HAND.format(source=folder / "purchases.parquet", target=folder / "by_hand.parquet", as_of=AS_OF))
    ((apart,),) = sql.execute(
        f"SELECT count(*) FROM '{folder}/summary_day.parquet' o FULL JOIN '{folder}/by_hand.parquet' h USING (client_id) "
        "WHERE (o.x, o.t_x, o.T, o.first_on, o.last_on) IS DISTINCT FROM (h.x, h.t_x, h.T, h.first_on, h.last_on) "
        "OR abs(o.revenue - h.revenue) > .001 OR abs(o.mean_revenue - h.mean_revenue) > .001"
    ).fetchall()
    told["rows_apart"] = apart


def scan(folder: Path, told: dict[str, Any]) -> None:
    sql = _duckdb(folder)
    with timed(told):
        sql.execute(f"SELECT count(*), max(client_id), max(closed_on), sum(revenue) FROM '{folder}/purchases.parquet'").fetchall()


def summary_lifetimes(folder: Path, told: dict[str, Any]) -> None:
    import pandas as pd
    from lifetimes.utils import summary_data_from_transaction_data

    purchases = pd.read_parquet(folder / "purchases.parquet")
    purchases["closed_on"] = pd.to_datetime(purchases["closed_on"])
    with timed(told):
        summary = summary_data_from_transaction_data(
            purchases, "client_id", "closed_on", "revenue", observation_period_end=pd.Timestamp(AS_OF)
        )
    told["rows"], told["rows_apart"] = len(summary), _rows_apart(summary, folder)


def summary_pymc_marketing(folder: Path, told: dict[str, Any]) -> None:
    import pandas as pd
    from pymc_marketing.clv.utils import rfm_summary

    purchases = pd.read_parquet(folder / "purchases.parquet")
    purchases["closed_on"] = pd.to_datetime(purchases["closed_on"])
    with timed(told):
        summary = rfm_summary(purchases, "client_id", "closed_on", "revenue", observation_period_end=pd.Timestamp(AS_OF))
    told["rows"], told["rows_apart"] = len(summary), _rows_apart(summary.set_index("customer_id"), folder)


def compress(folder: Path, told: dict[str, Any], merge: str) -> None:
    from crm_methods.models.purchase_history import unique_triples

    engine = _engine(folder)
    with timed(told):
        triples = unique_triples(engine.scan(folder / f"summary_{merge}.parquet"))
    triples.to_parquet(folder / f"triples_{merge}.parquet", index=False)
    told["rows"] = len(triples)


def fit_ours(folder: Path, told: dict[str, Any], unit: Any) -> None:
    import pandas as pd

    from crm_methods.models.btyd_fit import PurchaseFit, fit_purchases

    triples = pd.read_parquet(folder / f"triples_{unit}.parquet")
    with timed(told):
        fit = fit_purchases("bg_nbd", triples, unit, "ml")
    assert isinstance(fit, PurchaseFit)
    told["parameters"] = dict(fit.parameters)


def fit_lifetimes(folder: Path, told: dict[str, Any], unit: str) -> None:
    from lifetimes import BetaGeoFitter

    x, t_x, age = _raw_rows(folder, unit)
    fitter = BetaGeoFitter()
    with timed(told):
        fitter.fit(x, t_x, age)
    told["parameters"] = {name: float(value) for name, value in fitter.params_.items()}


def score_ours(folder: Path, told: dict[str, Any], to_parquet: str = "") -> None:
    import narwhals as nw
    import pandas as pd

    from crm_methods.engine import collect
    from crm_methods.models.btyd_fit import PurchaseFit, SpendFit, fit_purchases
    from crm_methods.models.lifetime_value import client_values, score_triples

    engine, triples = _engine(folder), pd.read_parquet(folder / "triples_day.parquet")
    fit = fit_purchases("bg_nbd", triples, "day", "ml")
    assert isinstance(fit, PurchaseFit)
    (folder / "parameters.json").write_text(json.dumps(dict(fit.parameters)), encoding="utf-8")
    p, q, v = SPEND.values()
    spend = SpendFit(
        family="gamma_gamma", level=p * v / (q - 1), weight=(q - 1) / p, parameters=SPEND, log_likelihood=0.0, repeat_buyers=1
    )
    with timed(told):
        scores = engine.frame(score_triples(fit, triples, HORIZON_MONTHS, YEARLY_RATE))
        values = client_values(engine.scan(folder / "summary_day.parquet"), scores, spend, money="revenue")
        if to_parquet:
            told["rows"] = engine.write(values, folder / "values.parquet", ["client_id"])
        else:
            told["rows"] = len(collect(values, ["client_id", "p_alive", "expected_purchases", "clv_revenue"]))
    told["total"] = float(collect(values.select(nw.col("expected_purchases").sum())).iloc[0, 0])


def score_lifetimes(folder: Path, told: dict[str, Any]) -> None:
    import pandas as pd
    from lifetimes import BetaGeoFitter, GammaGammaFitter

    from crm_methods.models.lifetime_value import DAYS_PER_MONTH, monthly_discount_rate

    summary = pd.read_parquet(folder / "summary_day.parquet")
    x, t_x, age = (summary[name] for name in ("x", "t_x", "T"))
    fitter, spend = BetaGeoFitter(), GammaGammaFitter()
    fitter.params_ = pd.Series(json.loads((folder / "parameters.json").read_text(encoding="utf-8")))
    fitter.predict = fitter.conditional_expected_number_of_purchases_up_to_time
    spend.params_ = pd.Series(SPEND)
    with timed(told):
        fitter.conditional_probability_alive(x, t_x, age)
        spend.customer_lifetime_value(
            fitter, x, t_x, age, summary["mean_revenue"], HORIZON_MONTHS, monthly_discount_rate(YEARLY_RATE), "D"
        )
    # The same horizon as ours, so that the totals can be compared; lifetimes' own months have 30 days.
    ahead = fitter.predict(HORIZON_MONTHS * DAYS_PER_MONTH, x, t_x, age)
    told["rows"], told["total"] = len(summary), float(ahead.sum())


def make(folder: Path, told: dict[str, Any], transactions: str, clients: str, seed: str) -> None:
    with timed(told):
        told["rows"] = write_purchases(folder / "purchases.parquet", int(transactions), int(clients), int(seed))


def _rows_apart(summary: Any, folder: Path) -> int:
    """Clients whose history a peer tells otherwise than we do."""
    import pandas as pd

    ours = pd.read_parquet(folder / "summary_day.parquet").set_index("client_id")
    same = summary[["frequency", "recency", "T"]].to_numpy() == ours.loc[summary.index, ["x", "t_x", "T"]].to_numpy()
    return int((~same.all(axis=1)).sum())


def _raw_rows(folder: Path, unit: str) -> Any:
    import numpy as np
    import pandas as pd

    rows = pd.read_parquet(folder / f"summary_{unit}.parquet", columns=["x", "t_x", "T"]).to_numpy(dtype=np.float64)
    return (rows / np.array([1.0, DAYS_PER[unit], DAYS_PER[unit]])).T


TASKS: dict[str, Callable[..., None]] = {
    task.__name__: task
    for task in (
        make, scan, summary_ours, summary_by_hand, summary_lifetimes, summary_pymc_marketing, compress, fit_ours, fit_lifetimes,
        score_ours, score_lifetimes,
    )
}  # fmt: skip


def alone(task: str, folder: Path, *arguments: object) -> dict[str, Any]:
    """What a task tells, done in a process of its own.

    Raises
    ------
    RuntimeError
        The task failed; its last words are passed on.
    """
    command = [sys.executable, "-m", "benchmarks.work", task, str(folder), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{task} ended with {done.returncode}: {done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    """Do the task that the command line names, and print what it tells."""
    task, folder, *arguments = sys.argv[1:]
    told: dict[str, Any] = {}
    TASKS[task](Path(folder), told, *arguments)
    told["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
