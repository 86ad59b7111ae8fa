"""What leaves: a report per stage and the index, each one HTML file that needs nothing else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import pandas as pd
from markupsafe import Markup

from crm_methods import formats
from crm_methods.company.questions import QUESTIONS
from crm_methods.company.vocabulary import SEGMENT_LABELS, STAGES, STRATEGY_LABELS, StageInfo, segment_label
from crm_methods.reports.body import TEMPLATES, Heading, notebook_body
from crm_methods.reports.markup import NoPseudonyms, Pseudonyms, css_string, plain
from crm_methods.reports.show import table_html

WORKBOOK = "contact_budget.xlsx"

HEADLINES: dict[str, tuple[str, tuple[str, ...]]] = {
    "satisfaction_top_segment": ("Satisfaction of the most valuable segment", ("relationships.satisfaction",)),
    "customer_equity": ("Customer equity", ("segments.customer_equity", "segments.lifetime_value")),
    "net_margin": ("Net margin after cost to serve", ("segments.whale_curve", "segments.cost_to_serve")),
    "contact_budget": ("Contact budget", ("contacts.budget", "contacts.matrix")),
    "programme_effect": ("Programme effect", ("relationships.programme_effect",)),
}
"""The index's five numbers: key → label, and the questions that leave it without a number."""

_IDENTIFIERS = frozenset({"stage", "currency", "key", "sha256", "versions"})
_DURATIONS = ("months", "weeks", "days", "hours", "minutes")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RunFacts:
    """What a report must know of the run it belongs to.

    Parameters
    ----------
    company, as_of, currency
        Name, the day the analysis looks from (ISO text or date), ISO code of the currency.
    generated
        When the run was made, as text with its time zone.
    run_id, kit_version
        Identify the run and the code.
    pages
        Keys of the stages that have a report in this run; the others are not linked.
    has_workbook
        Whether ``contact_budget.xlsx`` lies beside the reports.
    files
        Names of other files beside the reports that a reader may open.
    reason
        Why this part of the cycle was repeated and for what scope; empty for a whole run.
    """

    company: str
    as_of: str | dt.date
    currency: str
    generated: str
    run_id: str
    kit_version: str
    pages: tuple[str, ...] = tuple(STAGES)
    has_workbook: bool = False
    files: tuple[str, ...] = ()
    reason: str = ""

    @property
    def downloads(self) -> tuple[str, ...]:
        """Names of the files to link, the workbook first."""
        books = (WORKBOOK,) if self.has_workbook else ()
        return tuple(dict.fromkeys((*books, *self.files)))


def render_stage(
    executed_notebook: Path,
    stage_json: Mapping[str, Any],
    facts: RunFacts,
    pseudonyms: Pseudonyms | None = None,
) -> str:
    """The report of one stage.

    Parameters
    ----------
    executed_notebook
        Notebook with its outputs, as papermill left it.
    stage_json
        Contents of the stage's stage.json.
    facts
        The run it belongs to.
    pseudonyms
        Replaces names in sentences, markdown and printed text.

    Returns
    -------
    str
        HTML that loads nothing, runs nothing and names no outside address.
    """
    import nbformat  # only here, and slow to import

    notebook = nbformat.read(executed_notebook, as_version=4)  # type: ignore[no-untyped-call]
    stage = _masked(stage_json, pseudonyms or NoPseudonyms())
    body = notebook_body(notebook, stage["title"], pseudonyms)
    return _page(
        "stage.html.j2",
        facts,
        pseudonyms or NoPseudonyms(),
        stage=stage,
        info=STAGES[stage["stage"]],
        body=body.html,
        contents=_contents(body.headings, stage),
        neighbours=_neighbours(stage["stage"], facts),
        made=_made_of([stage], facts),
        parameters=[_parameter(name, value, stage["currency"]) for name, value in stage.get("parameters", {}).items()],
    )


def render_index(
    stage_jsons: Sequence[Mapping[str, Any]],
    facts: RunFacts,
    segment_matrix: pd.DataFrame | None,
    reconciliation: pd.DataFrame | None,
    pseudonyms: Pseudonyms | None = None,
) -> str:
    """The page that opens a run.

    Parameters
    ----------
    stage_jsons
        Contents of the stages' stage.json.
    facts
        The run.
    segment_matrix
        One row per segment: ``segment``, ``clients``, ``revenue``, ``contribution`` (may be
        missing or empty) and ``strategy``.
    reconciliation
        Control totals as they should be read, one row per source table.
    pseudonyms
        Replaces names.
    """
    mask = pseudonyms or NoPseudonyms()
    stages = sorted((_masked(stage, mask) for stage in stage_jsons), key=lambda stage: stage["number"])
    return _page(
        "index.html.j2",
        facts,
        mask,
        stages=stages,
        infos=STAGES,
        headlines=[_headline(key, stages) for key in HEADLINES],
        matrix=_matrix(segment_matrix, facts.currency) if segment_matrix is not None else None,
        reconciliation=Markup(
            table_html(
                mask.frame(reconciliation),
                "Rows and amounts: source = accepted + rejected + later than the as-of day + exact repetitions",
                facts.currency,
            )
        )
        if reconciliation is not None
        else None,
        passed=sum(check["passed"] for stage in stages for check in stage["checks"]),
        failed=[(stage, check) for stage in stages for check in stage["checks"] if not check["passed"]],
        gaps=[{**gap, "stage_number": stage["number"]} for stage in stages for gap in stage["data_gaps"]],
        made=_made_of(stages, facts),
    )


def _page(template: str, facts: RunFacts, mask: Pseudonyms, **values: Any) -> str:
    company = plain(mask.text(facts.company))
    as_of = formats.date(dt.date.fromisoformat(str(facts.as_of)[:10]))
    return (
        _environment()
        .get_template(template)
        .render(
            facts=facts,
            company=company,
            as_of=as_of,
            style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
            running_foot=Markup(css_string(f"{company} · {as_of}")),
            **values,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"file": quote, "plural": formats.plural, "question": _question_text, "sentence": _sentence}
    return environment


def _masked(value: Any, mask: Pseudonyms) -> Any:
    """A copy of stage.json's contents with every text made plain and pseudonymous; identifiers stay."""
    if isinstance(value, str):
        return plain(mask.text(value))
    if isinstance(value, Mapping):
        return {key: inner if key in _IDENTIFIERS else _masked(inner, mask) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(inner, mask) for inner in value]
    return value


def _question_text(question: str) -> str:
    return QUESTIONS[question].text if question in QUESTIONS else question


def _sentence(text: str) -> str:
    """A reason as a sentence of its own."""
    return text[:1].upper() + text[1:]


def _contents(headings: Sequence[Heading], stage: Mapping[str, Any]) -> list[Heading]:
    before = [Heading(2, "What to take away", "what-to-take-away")] if stage["findings"] else []
    after = [
        Heading(2, text, name)
        for text, name, wanted in (
            ("What to decide", "decision", stage["decisions"]),
            ("What this report could not answer", "open-questions", stage["data_gaps"]),
            ("Checks", "checks", stage["checks"]),
            ("How this report was made", "made", True),
        )
        if wanted
    ]
    return [*before, *(h for h in headings if h.level < 4), *after]


def _neighbours(key: str, facts: RunFacts) -> tuple[StageInfo | None, StageInfo | None]:
    linked = [STAGES[page] for page in STAGES if page in facts.pages]
    place = STAGES[key].number
    before = [stage for stage in linked if stage.number < place]
    after = [stage for stage in linked if stage.number > place]
    return (before[-1] if before else None), (after[0] if after else None)


def _parameter(name: str, value: Any, currency: str) -> tuple[str, str]:
    """A knob's label and its effective value with the unit that its name ends on."""
    stem, _, unit = name.rpartition("_")
    if unit in _DURATIONS and stem and isinstance(value, (int, float)) and not isinstance(value, bool):
        return formats.heading(stem), formats.plural(value, unit.removesuffix("s"))
    if unit in {"rate", "share"} and isinstance(value, (int, float)):
        return formats.heading(stem if unit == "share" else name), formats.share(value, 0 if value * 100 % 1 == 0 else 1)
    if value is None:
        return formats.heading(name), "not set"
    if isinstance(value, (list, tuple)):
        return formats.heading(name), formats.join([str(item) for item in value])
    return formats.heading(name), formats.cell(name, value, currency)


def _made_of(stages: Sequence[Mapping[str, Any]], facts: RunFacts) -> dict[str, Any]:
    """Provenance: inputs (each once), versions and seed."""
    inputs = {entry["name"]: entry for stage in stages for entry in stage.get("inputs", [])}
    versions = {name: text for stage in stages for name, text in stage.get("versions", {}).items()}
    versions = {"crm_methods": facts.kit_version, **versions}
    return {
        "inputs": list(inputs.values()),
        "versions": " · ".join(f"{name.replace('_', '-')} {text}" for name, text in versions.items()),
        "seed": next((stage["seed"] for stage in stages if "seed" in stage), None),
    }


def _headline(key: str, stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One of the five numbers; without a value, why it is missing."""
    label, questions = HEADLINES[key]
    found = next((h for stage in stages for h in stage["headlines"] if h["key"] == key), None)
    if found is not None and found.get("value") is not None:
        return {**found, "missing": ""}
    gaps = [gap for stage in stages for gap in stage["data_gaps"]]
    asked = {*questions, *(QUESTIONS[question].text for question in questions)}
    gap = next((gap for gap in gaps if gap["question"] in asked), None)
    helps = _first_two(gap["would_help"]) if gap else ""
    note = (found or {}).get("note") or (gap["reason"] if gap else "No stage of this run computed it.")
    return {
        "label": (found or {}).get("label") or label,
        "missing": _sentence(f"{note} It could with: {helps}." if helps else note),
    }


def _first_two(helps: Sequence[str]) -> str:
    """What fits on a card; the whole list stands among the open questions."""
    more = f" and {len(helps) - 2} more" if len(helps) > 2 else ""
    return "; ".join(helps[:2]) + more


def _matrix(segments: pd.DataFrame, currency: str) -> dict[str, Any]:
    """The segments as cells of revenue × cost to serve, and those that stand outside it."""
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in segments.to_dict("records")]
    cells = {
        str(row["segment"]): {
            "name": segment_label(str(row["segment"])),
            "clients": formats.plural(float(row["clients"]), "client"),
            "revenue": formats.money_short(_real(row.get("revenue")), currency),
            "contribution": formats.money_short(_real(row.get("contribution")), currency),
            "strategy": STRATEGY_LABELS.get(str(row.get("strategy")), str(row.get("strategy") or formats.NOTHING)),
            "kind": str(row.get("strategy")),
        }
        for row in rows
    }
    costs = [cost for cost in ("low", "high", "unknown") if any(f"{level}_{cost}" in cells for level in ("high", "low"))]
    inside = {f"{level}_{cost}" for level in ("high", "low") for cost in costs}
    return {
        "cells": cells,
        "costs": costs,
        "levels": ["high", "low"] if costs else [],
        "outside": [cells[key] for key in cells if key not in inside],
        "known": SEGMENT_LABELS,
    }


def _real(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)
