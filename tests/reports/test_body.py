"""Laws of the notebook's way into a report."""

from __future__ import annotations

from typing import Any

import nbformat
import pandas as pd
import pytest

from crm_methods.reports.body import notebook_body
from crm_methods.reports.show import MARK

make = nbformat.v4


def _body(*cells: Any) -> Any:
    return notebook_body(make.new_notebook(cells=list(cells)), "Title")


def _outputs(*outputs: Any) -> str:
    return str(_body(make.new_code_cell("call()", outputs=list(outputs))).html)


def test_only_marked_html_is_taken_over() -> None:
    data = {"text/html": "<b>rich</b>", "text/plain": "<plain>"}
    assert "<b>rich</b>" in _outputs(make.new_output("display_data", data, metadata={MARK: {}}))
    foreign = _outputs(make.new_output("display_data", data))
    assert "rich" not in foreign
    assert "&lt;plain&gt;" in foreign


def test_the_last_expression_of_a_cell_is_shown() -> None:
    output = make.new_output("execute_result", {"text/plain": "42 clients"}, execution_count=1)
    assert "42 clients" in _outputs(output)


@pytest.mark.parametrize("kind", ["image/svg+xml", "image/png", "application/javascript", "text/latex"])
def test_other_rich_outputs_fall_back_to_text(kind: str) -> None:
    html = _outputs(make.new_output("display_data", {kind: "<svg onload=alert(1)>", "text/plain": "as text"}))
    assert "as text" in html
    assert "onload" not in html


def test_warnings_are_folded_under_messages_and_name_no_folder() -> None:
    text = (
        "\x1b[31m/home/someone/lib/x.py:3: UserWarning: <odd>\n/tmp/ipykernel_12/345.py:1: UserWarning: b see https://a.b/c.html"
    )
    html = _outputs(make.new_output("stream", name="stderr", text=text))
    assert "<summary>Messages</summary><pre>x.py:3: UserWarning: &lt;odd&gt;\nnotebook:1:" in html
    assert "https://a.b/c.html" in html


def test_code_is_folded_and_parameter_cells_are_left_out() -> None:
    html = str(
        _body(
            make.new_code_cell("company = '/home/x'", metadata={"tags": ["injected-parameters"]}),
            make.new_code_cell("a < b  # '{{ 7*7 }}'"),
        ).html
    )
    assert "/home/x" not in html
    assert html.count("<details") == 1
    assert "&lt;" in html
    assert "{{ 7*7 }}" in html


@pytest.mark.parametrize(
    "source",
    [
        "<script>alert(1)</script>",
        "text <img src=x onerror=alert(1)> text",
        "[a](javascript:alert(1))",
        "[a](https://evil.example)",
        "[a](//evil.example)",
        "![a](https://evil.example/p.png)",
        "<https://evil.example>",
        "[a][1]\n\n[1]: data:text/html,x",
    ],
)
def test_markdown_brings_no_live_html_and_no_way_out(source: str) -> None:
    html = str(_body(make.new_markdown_cell(source)).html)
    assert "<script" not in html
    assert "<img" not in html
    assert "href=" not in html
    assert "src=" not in html.replace("src=x onerror=alert(1)&gt;", "")


def test_links_within_the_run_stay() -> None:
    assert '<a href="2_segments.html#matrix">' in str(_body(make.new_markdown_cell("[a](2_segments.html#matrix)")).html)


def test_headings_come_in_order_with_ids_of_their_own() -> None:
    body = _body(make.new_markdown_cell("# Own title\n\n#### Deep\n\n## Twice\n\n#### Deeper\n\n# Late\n\n## Twice"))
    assert [(h.level, h.text, h.anchor) for h in body.headings] == [
        (2, "Deep", "deep"),
        (2, "Twice", "twice"),
        (3, "Deeper", "deeper"),
        (2, "Late", "late"),
        (2, "Twice", "twice-2"),
    ]
    assert "Own title" not in body.html


def test_tables_of_prose_scroll_in_their_own_box_and_have_scopes() -> None:
    html = str(_body(make.new_markdown_cell("| reads | n |\n|---|--:|\n| deals | 3 |")).html)
    assert '<div class="scroll"' in html
    assert '<th scope="col">reads</th>' in html
    assert '<td class="number">3</td>' in html


def test_pseudonyms_reach_markdown_and_printed_text() -> None:
    class Hidden:
        def frame(self, df: pd.DataFrame) -> pd.DataFrame:
            return df

        def text(self, text: str) -> str:
            return text.replace("Acme", "Client 7")

    notebook = make.new_notebook(
        cells=[
            make.new_markdown_cell("## Acme"),
            make.new_code_cell("f()", outputs=[make.new_output("stream", name="stdout", text="Acme")]),
        ]
    )
    body = notebook_body(notebook, "Title", Hidden())
    assert "Acme" not in body.html
    assert body.headings[0].text == "Client 7"
