"""A made-up company's stage and run, for the tests of what leaves; one client's name is an attack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from crm_methods.company.vocabulary import STAGES
from crm_methods.reports.html import RunFacts

HOSTILE = '<script>alert(1)</script> =HYPERLINK("x") ../../etc {{ 7*7 }} {% raw %} $x$ </style> https://evil.example/a'

_SETUP = f"""
import pandas as pd
from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered
from crm_methods.reports.charts.bars import horizontal_bars
from crm_methods.reports.charts.intervals import forest
from crm_methods.reports.show import Presenter
show = Presenter("EUR")
hostile = {HOSTILE!r}
margins = pd.DataFrame({{
    "client": ["Acme", "Borealis Networks", hostile], "segment": ["high_low", "high_high", "low_low"],
    "clients": [1204, 310, 12], "margin": [37268.0, 12011.5, -431.2], "margin_share": [0.763, 0.246, -0.009],
}})
euros = lambda x: formats.money_short(x, "EUR")
"""
_MARKDOWN = f"""# The notebook's own title

This stage reads `deals` and lets you **decide** what to do. {HOSTILE}

| reads | writes | decides |
|---|---|---|
| deals | client_segments | strategy |

[outside](https://evil.example/x) [inside](2_segments.html) ![picture](https://evil.example/p.png) [js](javascript:alert(1))

## Where the margin comes from

<img src=x onerror=alert(1)> Margin is revenue less the cost of goods.
"""
_CELLS = (
    ("parameters", "company = '/home/someone/data'\nrun_dir = None"),
    ("", _SETUP.strip()),
    ("markdown", _MARKDOWN),
    (
        "",
        'show.answer(Answer(sentence=f"{hostile} earns the least.", table=margins, caption="Margin by client, 12 months"),'
        '\n  horizontal_bars(margins, label="client", length="margin", form=euros, title="Acme earns most", '
        'alt="Bars of margin by client: Acme leads.", highlight=["Acme"], axis="Margin"))',
    ),
    ("markdown", "## Did it do anything\n\n#### A level too deep\n\nText."),
    (
        "",
        'effects = pd.DataFrame({"method": ["naive", "difference in differences"], "effect": [10.2, 5.1], '
        '"low": [8.0, 2.0], "high": [12.4, 8.2]})\n'
        'show.figure(forest(effects, label="method", estimate="effect", low="low", high="high", '
        'form=lambda x: formats.number(x, 1), title="The naive comparison overstates the effect", '
        'alt="Two estimates with intervals.", highlight=["difference in differences"]))',
    ),
    ("", 'show.answer(Unanswered("segments.whale_curve", "no deal has a margin.", ("deals.margin: margin of a deal",)))'),
    ("", 'import warnings\nwarnings.warn(f"beware of {hostile}", stacklevel=1)\nprint(hostile)'),
    ("", "margins  # a frame that was not shown by show"),
    (
        "",
        'wide = pd.DataFrame({"segment": ["high_low", "low_high"]} | {f"a_rather_long_column_{i}_share": [0.12, 0.3] '
        'for i in range(14)})\nshow.table(wide, "A wide table")',
    ),
)


def notebook() -> nbformat.NotebookNode:
    """The made-up notebook, not executed."""
    make = nbformat.v4
    cells = [
        make.new_markdown_cell(source, id=f"cell-{i}")
        if kind == "markdown"
        else make.new_code_cell(source, id=f"cell-{i}", metadata={"tags": [kind]} if kind else {})
        for i, (kind, source) in enumerate(_CELLS)
    ]
    return make.new_notebook(cells=cells)


def execute(folder: Path) -> Path:
    """Execute the made-up notebook in a fresh kernel; the path of the result."""
    from nbclient import NotebookClient

    executed = NotebookClient(notebook(), timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    path = folder / "executed.ipynb"
    nbformat.write(executed, path)
    return path


def stage_json(key: str = "segments", **changes: Any) -> dict[str, Any]:
    """Contents of a stage.json."""
    info = STAGES[key]
    return {
        "schema": 1,
        "stage": key,
        "number": info.number,
        "title": info.title,
        "question": info.question,
        "company": "Meridian & Sons",
        "as_of": "2025-12-31",
        "currency": "EUR",
        "seed": 7,
        "versions": {"crm_methods": "0.1.0", "python": "3.11.7", "pandas": "3.1.1"},
        "settings_sha256": "ab" * 32,
        "code_sha256": "cd" * 32,
        "inputs": [{"name": "deals.csv", "sha256": "2d711642b726b044" * 4, "rows": 41203}],
        "parameters": {"horizon_months": 36, "annual_discount_rate": 0.1, "budget": 184000.0, "channels": ["phone", "email"]},
        "tables": {},
        "headlines": [],
        "findings": [
            "High-revenue clients earn 76% of the margin with 31% of the clients.",
            f"{HOSTILE} gives back what 12 others earn.",
        ],
        "decisions": ["Give the 310 costly large clients an owner and find what drives their cost."],
        "checks": [
            {"name": "Totals reconcile", "passed": True, "detail": "€1,204,331 in and out."},
            {"name": "Holdout", "passed": False, "detail": f"The forecast is 14% too high for {HOSTILE}."},
        ],
        "data_gaps": [
            {
                "question": "segments.whale_curve",
                "reason": "no deal has a margin.",
                "would_help": ["deals.margin: margin of a deal"],
            }
        ],
        "seconds": 3.2,
        "peak_memory_mb": 310,
    } | changes


def headlines() -> list[dict[str, Any]]:
    """Two of the five headline numbers."""
    return [
        {
            "key": "customer_equity",
            "label": "Customer equity, 36 months",
            "text": "€4.2M",
            "value": 4.2e6,
            "interval": "€3.8M to €4.6M",
            "note": "",
        },
        {
            "key": "contact_budget",
            "label": "Contact budget",
            "text": "€184k",
            "value": 184e3,
            "interval": None,
            "note": "16 actions",
        },
    ]


def run_facts(**changes: Any) -> RunFacts:
    """The run's facts."""
    values: dict[str, Any] = {
        "company": "Meridian & Sons",
        "as_of": "2025-12-31",
        "currency": "EUR",
        "generated": "2026-11-23 09:00 UTC",
        "run_id": "demo-01",
        "kit_version": "0.1.0",
        "has_workbook": True,
        "files": ("clients.csv",),
    }
    return RunFacts(**(values | changes))


def all_stages() -> list[dict[str, Any]]:
    """A stage.json for each of the six stages."""
    return [stage_json(key, headlines=headlines() if key == "segments" else []) for key in STAGES]


def segment_matrix() -> pd.DataFrame:
    """The 2 × 2 cells."""
    return pd.DataFrame(
        {
            "segment": ["high_low", "high_high", "low_low", "low_high"],
            "clients": [310, 120, 540, 230],
            "revenue": [1.16e6, 5.2e5, 1.1e5, 9e4],
            "contribution": [4.1e5, 6e4, 2.2e4, -3.1e4],
            "strategy": ["raise_loyalty", "raise_loyalty", "stimulate_sales", "cut_costs"],
        }
    )


def reconciliation() -> pd.DataFrame:
    """Control totals."""
    return pd.DataFrame(
        {"table": ["deals", "interactions"], "source_rows": [41203, 9000], "accepted_rows": [41190, 9000],
         "rejected_rows": [13, 0], "amount": [1880000.25, None]}
    )  # fmt: skip
