"""Everything that is wrong with a company's settings and files, told at once and without running a stage."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from crm_methods import formats
from crm_methods.company.contracts import missing_for
from crm_methods.company.databases import pull
from crm_methods.company.intake import Canonical, bring_in
from crm_methods.company.questions import QUESTIONS
from crm_methods.company.settings import Company, usable_part
from crm_methods.company.vocabulary import STAGES
from crm_methods.engine import open_engine
from crm_methods.errors import CrmError
from crm_methods.runs.request import read_request

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check came to: ``faults`` keep the company from being run, ``lines`` are worth knowing."""

    faults: tuple[str, ...]
    lines: tuple[str, ...]


def check(folder: Path) -> Checked:
    """Read a company's settings, plans and files as a run would, and leave nothing behind.

    Where company.yml itself has faults, the tables that it describes soundly are read all the same, so that the
    faults of files come together with those of settings.

    Parameters
    ----------
    folder
        The company's folder.
    """
    faults: list[str] = []
    company: Company | None
    try:
        company = read_request(folder).settings
    except CrmError as error:
        faults.append(str(error))
        company = usable_part(folder)
    if company is None or not company.tables:
        return Checked(tuple(faults), ())
    try:
        lines = _read(company, folder)
    except CrmError as error:
        return Checked((*faults, str(error)), ())
    return Checked(tuple(faults), tuple(lines))


def _read(company: Company, folder: Path) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="crm_check_") as aside:
        engine = open_engine(company.engine.model_copy(update={"kind": "duckdb"}), Path(aside) / "spill")
        try:
            pull(company, Path(aside))
            data = bring_in(company, folder, engine, Path(aside) / "canonical", Path(aside))
            return [*_totals(data), *_rejects(data.rejects), *_resolved(data.resolved), *_unanswered(data.supplied)]
        finally:
            engine.close()


def _totals(data: Canonical) -> list[str]:
    lines = ["What came in:"]
    for row in data.totals.to_dict("records"):
        parts = [
            f"{formats.number(row[f'{fate}_rows'])} {word}"
            for fate, word in (("rejected", "rejected"), ("later", "later than the as-of day"), ("duplicate", "exact duplicates"))
            if row[f"{fate}_rows"]
        ]
        rows = formats.plural(int(row["source_rows"]), "row")
        lines.append(f"  {row['table']} ({row['file']}): {rows}{'; ' if parts else ', all accepted'}{', '.join(parts)}")
    return lines


def _rejects(rejects: pd.DataFrame) -> list[str]:
    if rejects.empty:
        return []
    groups = rejects.groupby(["file", "column", "expected", "done"], dropna=False)
    found = groups.agg(cells=("found", "size"), record=("record", "min"), example=("found", "first")).reset_index()
    found = found.sort_values(["cells", "file", "column"], ascending=[False, True, True])
    lines = ["Cells that can't be used:"]
    for row in found.head(_SHOWN).to_dict("records"):
        column = f', "{row["column"]}"' if row["column"] else ""
        lines.append(
            f"  {row['file']}{column}: {formats.plural(int(row['cells']), 'cell')} such as {str(row['example'])[:60]!r} "
            f"(line {row['record']}), expected {row['expected']}: {row['done']}"
        )
    return [*lines, *_more(len(found))]


def _resolved(resolved: pd.DataFrame) -> list[str]:
    if resolved.empty:
        return []
    groups = resolved.groupby(["table", "column", "kind", "rule"])
    found = groups.agg(values=("written", "size"), rows=("rows", "sum"), example=("written", "first")).reset_index()
    lines = ["What is decided by a rule:"]
    for row in found.sort_values("rows", ascending=False).head(_SHOWN).to_dict("records"):
        lines.append(
            f"  {row['table']}.{row['column']}, {formats.plural(int(row['rows']), 'row')} such as "
            f"{str(row['example'])[:60]!r}: {row['rule']}"
        )
    return [*lines, *_more(len(found))]


def _unanswered(supplied: Mapping[str, frozenset[str]]) -> list[str]:
    asked = [q for q in QUESTIONS.values() if not q.planned]
    lacking = {q.key: missing_for(q.key, supplied) for q in asked}
    open_questions = [q for q in asked if lacking[q.key]]
    if not open_questions:
        return ["Every question can be answered."]
    answered = len(asked) - len(open_questions)
    lines = [f"{answered} of {formats.plural(len(asked), 'question')} can be answered. The others lack data:"]
    for question in open_questions:
        lines.append(f"  {STAGES[question.stage].number} {question.text} It takes {'; '.join(lacking[question.key])}.")
    return lines


def _more(count: int) -> list[str]:
    return [f"  … and {formats.plural(count - _SHOWN, 'other kind')}"] if count > _SHOWN else []
