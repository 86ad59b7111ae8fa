from __future__ import annotations

import pytest

from crm_methods.company import dictionary
from crm_methods.company.contracts import TABLES


def test_the_page_in_docs_is_the_one_the_contracts_give():
    assert dictionary.PAGE.read_text(encoding="utf-8") == dictionary.data_dictionary(), (
        "run: python -m crm_methods.company.dictionary --write"
    )


def test_every_column_has_a_row_of_four_cells():
    page = dictionary.data_dictionary()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == sum(len(table.columns) for table in TABLES.values())
    assert {row.replace("\\|", "").count("|") for row in rows} == {5}


def test_it_is_printed_or_written(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    dictionary.main([])
    assert capsys.readouterr().out == dictionary.data_dictionary()
    monkeypatch.setattr(dictionary, "PAGE", tmp_path / "page.md")
    dictionary.main(["--write"])
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == dictionary.data_dictionary()
