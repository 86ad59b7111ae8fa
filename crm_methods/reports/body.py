"""An executed notebook as the middle of a report: markdown, folded code, and marked outputs.

Three sources, three degrees of trust: outputs that ``show.py`` has marked are taken over;
markdown is rendered without raw HTML, scripts or outside addresses; all else is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mistune
from markupsafe import Markup

from crm_methods.reports.markup import NoPseudonyms, Pseudonyms, anchor, escape, plain
from crm_methods.reports.show import MARK

TEMPLATES = Path(__file__).parent / "template"

_HIDDEN_TAGS = frozenset({"parameters", "injected-parameters", "hide"})
_OUTSIDE = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:|//|\\)", re.IGNORECASE)
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_KERNEL_FILE = re.compile(r"\S*ipykernel_\d+[/\\]\d+\.py")
_FOLDER = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:)?[/\\][^\s:'\"]*[/\\](?=[^\s/\\:]+\.\w+)")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of the report, for its contents."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Body:
    """The middle of a report and its headings in order."""

    html: Markup
    headings: tuple[Heading, ...]


def notebook_body(notebook: Any, title: str, pseudonyms: Pseudonyms | None = None) -> Body:
    """Render an executed notebook for a report.

    Parameters
    ----------
    notebook
        ``nbformat.NotebookNode`` of version 4. It is left as it is.
    title
        The report's title; the notebook's own first heading gives way to it.
    pseudonyms
        Replaces names in markdown and printed text (marked outputs have had theirs replaced).
    """
    markdown = _Markdown(pseudonyms or NoPseudonyms())
    exporter = _exporter()
    exporter.register_filter("inert_markdown", markdown)
    exporter.register_filter("printed", lambda text: _printed(text, pseudonyms or NoPseudonyms()))
    html, _ = exporter.from_notebook_node(notebook)
    return Body(Markup(html), tuple(markdown.headings))


@cache
def _exporter_class() -> Any:
    # nbconvert takes half a second to import
    from nbconvert.exporters import TemplateExporter
    from nbconvert.filters import Highlight2HTML
    from traitlets.config import Config

    class ReportExporter(TemplateExporter):
        """nbconvert with the kit's own template on ``base``; everything is escaped unless marked safe."""

        file_extension = ".html"
        output_mimetype = "text/html"

        def default_filters(self) -> Iterator[tuple[str, Any]]:
            yield from super().default_filters()  # type: ignore[no-untyped-call]
            yield "highlight", Highlight2HTML(pygments_lexer="ipython3")  # type: ignore[no-untyped-call]
            yield "is_marked", lambda output: MARK in output.metadata
            yield "is_hidden", lambda cell: bool(_HIDDEN_TAGS & set(cell.metadata.get("tags", [])))

        def _create_environment(self) -> Any:
            environment = super()._create_environment()  # type: ignore[no-untyped-call]
            environment.autoescape = True
            return environment

    def build() -> Any:
        # a rich output of unknown origin falls back to its text
        config = Config({"NbConvertBase": {"display_data_priority": ["text/html", "text/plain"]}})
        where: dict[str, Any] = {"template_name": "crm_report", "extra_template_basedirs": [str(TEMPLATES)]}
        return ReportExporter(config=config, **where)  # type: ignore[no-untyped-call]

    return build


def _exporter() -> Any:
    return _exporter_class()()


def _printed(text: str, pseudonyms: Pseudonyms) -> str:
    """Printed text without colours and folders, so that it is the same on every machine."""
    clean = _KERNEL_FILE.sub("notebook", _ANSI.sub("", text))
    return pseudonyms.text(plain(_FOLDER.sub("", clean)))


class _Markdown:
    """Markdown → inert HTML for all cells of one notebook, with headings in order."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self.headings: list[Heading] = []
        self._title_seen = False
        self._pseudonyms = pseudonyms
        self._render = mistune.create_markdown(renderer=_Renderer(self), plugins=["table", "strikethrough"])

    def __call__(self, source: str) -> Markup:
        return Markup(self._render(plain(self._pseudonyms.text(source))))

    def heading(self, html: str, level: int) -> str:
        if level == 1 and not self._title_seen:
            self._title_seen = True
            return ""
        level = max(2, min(level, 4, self.headings[-1].level + 1 if self.headings else 2))
        text = Markup(html).striptags()
        taken = {heading.anchor for heading in self.headings}
        name = next(n for n in _numbered(anchor(text)) if n not in taken)
        self.headings.append(Heading(level, text, name))
        return f'<h{level} id="{name}">{html}</h{level}>\n'


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


class _Renderer(mistune.HTMLRenderer):
    """mistune's HTML without raw HTML, pictures or links that leave the run's folder."""

    def __init__(self, document: _Markdown) -> None:
        super().__init__(escape=True)
        self._document = document

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        return self._document.heading(text, level)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return text if _OUTSIDE.match(url) else f'<a href="{escape(url)}">{text}</a>'

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return f"<em>{text}</em>"

    def table(self, text: str) -> str:
        # no name is known for a table of prose but that it is one
        return f'<div class="scroll" role="group" aria-label="Table" tabindex="0"><table class="prose">{text}</table></div>\n'

    def table_head(self, text: str) -> str:
        # an empty heading row would be read out as blank columns
        return f"<thead><tr>{text}</tr></thead>\n" if Markup(text).striptags() else ""

    def table_cell(self, text: str, align: str | None = None, head: bool = False) -> str:
        kind = ' class="number"' if align == "right" else ""
        return f'<th scope="col"{kind}>{text}</th>' if head else f"<td{kind}>{text}</td>"
