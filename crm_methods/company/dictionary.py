"""The data dictionary: the contracts as a page that people read.

``python -m crm_methods.company.dictionary`` prints it; with ``--write`` it goes to ``docs/data_dictionary.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from crm_methods.company.contracts import TABLES, Column, Table
from crm_methods.company.questions import QUESTIONS
from crm_methods.company.vocabulary import STAGES

PAGE = Path(__file__).parents[2] / "docs" / "data_dictionary.md"
_PREFACE = """# Data dictionary

The canonical tables, as `crm_methods/company/contracts.py` declares them; this page is generated from there
(`python -m crm_methods.company.dictionary --write`), and a test holds the two together.

A run needs `deals` or `interactions`; everything else makes the reports richer, and a question whose columns are missing says
so. ★ marks the columns without which a table can't be used. A name that ends in `*` is a family: every column that begins so
belongs to it. Money is in company currency, shares are 0–1. *Personal* columns leave a run as pseudonyms when
`privacy: {pseudonymise: true}` is set. The numbers of the questions are the stages that ask them.
"""


def data_dictionary() -> str:
    """The whole page as Markdown."""
    contents = "\n".join(f"- [{name}](#{name}): a row is {table.grain}" for name, table in TABLES.items())
    return "\n".join([_PREFACE, contents, "", *map(_section, TABLES.values())])


def _section(table: Table) -> str:
    key = ", ".join(f"`{column}`" for column in table.key) or "none"
    rows = "\n".join(map(_row, table.columns))
    return (
        f"## {table.name}\n\nA row is {table.grain}. Key: {key}. Block: {table.block}.\n\n"
        f"| column | type | meaning | serves |\n|---|---|---|---|\n{rows}\n"
    )


def _row(column: Column) -> str:
    star = " ★" if column.required else ""
    cells = (f"`{column.name}`{star}", _kind(column), _cell(column.meaning), _serves(column))
    return f"| {' | '.join(cells)} |"


def _kind(column: Column) -> str:
    bounds = [f"{side} {bound:g}" for side, bound in (("≥", column.minimum), ("≤", column.maximum)) if bound is not None]
    parts = [column.type, " · ".join(column.values), " ".join(bounds), "personal" if column.personal else ""]
    return ", ".join(filter(None, parts))


def _serves(column: Column) -> str:
    asked = [QUESTIONS[key] for key in column.questions]
    return "<br>".join(f"{STAGES[question.stage].number} {_cell(question.text)}" for question in asked)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the page, or write it with ``--write``."""
    if "--write" in (sys.argv[1:] if arguments is None else arguments):
        PAGE.write_text(data_dictionary(), encoding="utf-8")
    else:
        print(data_dictionary(), end="")


if __name__ == "__main__":
    main()
