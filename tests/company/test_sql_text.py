from __future__ import annotations

from crm_methods.company.sql_text import identifier, literal


def test_names_and_texts_are_quoted_for_sql():
    assert identifier('a"b') == '"a""b"'
    assert literal("O'Hara") == "'O''Hara'"
