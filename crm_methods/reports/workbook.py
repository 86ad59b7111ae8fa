"""The contact budget as an Excel workbook whose formulas stay alive.

The consultant changes a unit cost, a number of contacts or the hours of preparation, and the budget follows:
Budget ← Contacts, Actions ← Assumptions. Every formula is written with its value, so that programs that
do not compute show the same numbers. Text is always text: what looks like a formula in a client's name stays a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from crm_methods import formats
from crm_methods.reports.markup import NoPseudonyms, Pseudonyms, plain

MAX_CALENDAR_ROWS = 5_000
_MAX_TEXT = 32_000
_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}
_INK, _BAND, _INPUT = "#0b4f6c", "#f2f6fa", "#fff7e0"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BudgetBook:
    """Everything the workbook shows.

    Parameters
    ----------
    company, period, origin, currency
        Whose plan it is, over which days, where the plan comes from, and the ISO code of its money.
    assumptions
        One row per occasion and channel in use: ``action``, ``occasion``, ``title``, ``channel``, ``minutes``,
        ``minute_cost``, ``unit_cash_cost``,
        ``basis`` (where the figures come from).
    actions
        One row per action: ``action``, ``title``, ``preparation_hours``, ``minute_cost``, ``preparation_cash_cost``.
    contacts
        One row per kind of contact: ``segment_label``, ``action``, ``occasion``, ``title``, ``role``, ``channel``,
        ``clients``, ``contacts_per_client``.
    matrix
        The contact matrix as the report shows it, any columns.
    calendar
        The first contacts, any columns; ``calendar_rows`` is how many there are in all.
    limit, covers
        The given budget, if any, and whether it limits ``full_cost`` or ``cash``.
    """

    company: str
    period: str
    origin: str
    currency: str
    assumptions: pd.DataFrame
    actions: pd.DataFrame
    contacts: pd.DataFrame
    matrix: pd.DataFrame
    calendar: pd.DataFrame
    calendar_rows: int
    limit: float | None = None
    covers: str = "full_cost"


def write_budget_book(path: Path, book: BudgetBook, pseudonyms: Pseudonyms | None = None) -> None:
    """Write the workbook; every frame passes the pseudonyms first, if there are any."""
    # Loaded where it is used: most stages write no workbook.
    import xlsxwriter

    mask = pseudonyms or NoPseudonyms()
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False, "nan_inf_to_errors": False}
    with xlsxwriter.Workbook(str(path), options) as workbook:
        # Without a fixed day the same run would give other bytes tomorrow.
        workbook.set_properties(
            {"title": f"Contact budget of {book.company}", "created": pd.Timestamp("2000-01-01").to_pydatetime()}
        )
        _Book(workbook, book, mask).write()


class _Book:
    """Writes the sheets one after the other; keeps where the inputs stand, so that formulas can point there."""

    def __init__(self, workbook: Any, book: BudgetBook, mask: Pseudonyms) -> None:
        self._workbook, self._book, self._mask = workbook, book, mask
        symbol = _SYMBOLS.get(book.currency)
        money = f'"{symbol}"#,##0.00;[Red]-"{symbol}"#,##0.00' if symbol else f'#,##0.00" {book.currency}"'
        plain_format: dict[str, Any] = {"valign": "top", "font_name": "Arial", "font_size": 10}
        own: dict[str, dict[str, Any]] = {
            "text": {"text_wrap": True},
            "head": {"bold": True, "bg_color": _BAND, "bottom": 1, "text_wrap": True, "font_color": _INK},
            "title": {"bold": True, "font_size": 14, "font_color": _INK},
            "number": {"num_format": "#,##0.00"},
            "whole": {"num_format": "#,##0"},
            "money": {"num_format": money},
            "date": {"num_format": "d mmm yyyy", "align": "left"},
            "input_number": {"num_format": "#,##0.00", "bg_color": _INPUT},
            "input_money": {"num_format": money, "bg_color": _INPUT},
            "input_whole": {"num_format": "#,##0", "bg_color": _INPUT},
            "total_money": {"num_format": money, "bold": True, "top": 1},
            "total_text": {"bold": True, "top": 1},
            "total_whole": {"num_format": "#,##0", "bold": True, "top": 1},
        }
        self._formats = {name: workbook.add_format({**plain_format, **more}) for name, more in own.items()}

    def write(self) -> None:
        sheets = {
            name: self._workbook.add_worksheet(name)
            for name in ("Read me", "Budget", "Actions", "Contacts", "Assumptions", "Matrix", "Calendar")
        }
        units = self._assumptions(sheets["Assumptions"])
        preparation = self._actions(sheets["Actions"])
        kinds = self._contacts(sheets["Contacts"], units)
        self._budget(sheets["Budget"], preparation, kinds)
        self._read_me(sheets["Read me"])
        self._values(sheets["Matrix"], self._book.matrix, "The contact matrix", "")
        more = self._book.calendar_rows - len(self._book.calendar)
        note = (
            f"The first {formats.number(len(self._book.calendar))} of {formats.plural(self._book.calendar_rows, 'contact')}."
            if more > 0
            else ""
        )
        self._values(sheets["Calendar"], self._book.calendar, "The contact calendar", note)

    def _read_me(self, sheet: Any) -> None:
        book = self._book
        covers = "full cost" if book.covers == "full_cost" else "cash"
        lines = [
            f"Period: {book.period}. Plan: {book.origin}. Currency: {book.currency}.",
            "Yellow cells are yours to change; everything else follows from them.",
            "Budget: per action, unit cost × clients × contacts per client, added up over the kinds of contact; then "
            "the preparation, once.",
            "Full cost is our time (minutes × cost of a minute) and cash. Cash is only what is paid out. The two are "
            "never mixed.",
            "Assumptions: minutes, cost of a minute and cash of one contact, for each occasion and channel, with where "
            "each comes from.",
            "Actions: hours and cash for preparing each action; an action without contacts is not prepared.",
            "Contacts: one row per segment, occasion, role and channel.",
            f"The given budget is held against {covers}."
            if book.limit is not None
            else f"No budget is given; put one into the sheet Budget. It is held against {covers}.",
            "Matrix and Calendar are the plan as it was computed: they do not follow changes made here.",
        ]
        sheet.set_column(0, 0, 110)
        self._text(sheet, 0, 0, f"Contact budget of {book.company}", "title")
        for row, line in enumerate(lines, 2):
            self._text(sheet, row, 0, line)

    def _assumptions(self, sheet: Any) -> dict[tuple[str, str], tuple[int, float, float, float]]:
        """Write the unit costs; returns per occasion and channel the row (from 1), unit cost, cash and minutes."""
        heads = [
            "Occasion",
            "Channel",
            "Minutes",
            "Cost of a minute",
            "Cash of one contact",
            "Full cost of one contact",
            "Where the figures come from",
        ]
        self._head(sheet, "What one contact costs", heads, [34, 12, 12, 14, 14, 16, 60])
        found = {}
        for line, row in enumerate(self._frame(self._book.assumptions).to_dict("records"), 3):
            unit = row["minutes"] * row["minute_cost"] + row["unit_cash_cost"]
            self._text(sheet, line, 0, row["title"])
            self._text(sheet, line, 1, row["channel"])
            self._number(sheet, line, 2, row["minutes"], "input_number")
            self._number(sheet, line, 3, row["minute_cost"], "input_money")
            self._number(sheet, line, 4, row["unit_cash_cost"], "input_money")
            self._formula(sheet, line, 5, f"=C{line + 1}*D{line + 1}+E{line + 1}", unit, "money")
            self._text(sheet, line, 6, row["basis"])
            found[row["occasion"], row["channel"]] = (line + 1, float(unit), float(row["unit_cash_cost"]), float(row["minutes"]))
        return found

    def _actions(self, sheet: Any) -> list[tuple[str, str, int, float, float]]:
        """Write the preparation; returns per action id, title, row, preparation in full and in cash."""
        heads = ["Action", "Title", "Hours of preparation", "Cost of a minute", "Cash of preparation", "Preparation, full cost"]
        self._head(sheet, "Preparing each action, once", heads, [22, 34, 14, 14, 16, 18])
        found = []
        for line, row in enumerate(self._frame(self._book.actions).to_dict("records"), 3):
            full = row["preparation_hours"] * 60 * row["minute_cost"] + row["preparation_cash_cost"]
            self._text(sheet, line, 0, row["action"])
            self._text(sheet, line, 1, row["title"])
            self._number(sheet, line, 2, row["preparation_hours"], "input_number")
            self._number(sheet, line, 3, row["minute_cost"], "input_money")
            self._number(sheet, line, 4, row["preparation_cash_cost"], "input_money")
            self._formula(sheet, line, 5, f"=C{line + 1}*60*D{line + 1}+E{line + 1}", full, "money")
            found.append((row["action"], row["title"], line + 1, float(full), float(row["preparation_cash_cost"])))
        return found

    def _contacts(self, sheet: Any, units: dict[tuple[str, str], tuple[int, float, float, float]]) -> pd.DataFrame:
        """Write the kinds of contact; returns them with the values of their formulas."""
        heads = [
            "Segment",
            "Action",
            "Occasion",
            "To (role)",
            "Channel",
            "Clients",
            "Contacts per client",
            "Contacts",
            "Full cost of one",
            "Cash of one",
            "Full cost",
            "Cash",
            "Hours",
        ]
        self._head(
            sheet,
            "Kinds of contact: unit cost × clients × contacts per client",
            heads,
            [26, 18, 30, 18, 10, 9, 11, 10, 13, 12, 15, 14, 10],
        )
        values = []
        for line, row in enumerate(self._frame(self._book.contacts).to_dict("records"), 3):
            at, unit, cash, minutes = units[row["occasion"], row["channel"]]
            number = row["clients"] * row["contacts_per_client"]
            here = line + 1
            for column, name in enumerate(("segment_label", "action", "title", "role", "channel")):
                self._text(sheet, line, column, row[name])
            self._number(sheet, line, 5, row["clients"], "input_whole")
            self._number(sheet, line, 6, row["contacts_per_client"], "input_number")
            self._formula(sheet, line, 7, f"=F{here}*G{here}", number, "whole")
            self._formula(sheet, line, 8, f"=Assumptions!$F${at}", unit, "money")
            self._formula(sheet, line, 9, f"=Assumptions!$E${at}", cash, "money")
            self._formula(sheet, line, 10, f"=I{here}*H{here}", unit * number, "money")
            self._formula(sheet, line, 11, f"=J{here}*H{here}", cash * number, "money")
            self._formula(sheet, line, 12, f"=Assumptions!$C${at}*H{here}/60", minutes * number / 60, "number")
            values.append((row["action"], number, unit * number, cash * number, minutes * number / 60))
        return pd.DataFrame(values, columns=["action", "contacts", "cost", "cash", "hours"])

    def _budget(self, sheet: Any, preparation: Sequence[tuple[str, str, int, float, float]], kinds: pd.DataFrame) -> None:
        heads = [
            "Action",
            "Title",
            "Contacts",
            "Hours",
            "Contacts, full cost",
            "Preparation, once",
            "Full cost",
            "Contacts, cash",
            "Preparation, cash",
            "Cash",
        ]
        self._head(sheet, "Budget by action", heads, [22, 34, 11, 11, 16, 16, 16, 16, 16, 16])
        last = 3 + max(1, len(kinds))
        sums = kinds.groupby("action")[["contacts", "hours", "cost", "cash"]].sum()
        columns = {
            "contacts": ("C", "H", "whole"),
            "hours": ("D", "M", "whole"),
            "cost": ("E", "K", "money"),
            "cash": ("H", "L", "money"),
        }
        totals = dict.fromkeys("CDEFGHIJ", 0.0)
        for line, (action, title, at, full, cash) in enumerate(preparation, 3):
            here = line + 1
            self._text(sheet, line, 0, action)
            self._text(sheet, line, 1, title)
            own = {name: float(sums[name].get(action, 0.0)) for name in columns}
            for name, (target, source, form) in columns.items():
                formula = f"=SUMIFS(Contacts!${source}$4:${source}${last},Contacts!$B$4:$B${last},$A{here})"
                self._formula(sheet, line, ord(target) - ord("A"), formula, own[name], form)
            held = own["contacts"] > 0
            values = {
                "F": (f"=IF(C{here}>0,Actions!$F${at},0)", full if held else 0.0),
                "I": (f"=IF(C{here}>0,Actions!$E${at},0)", cash if held else 0.0),
            }
            values["G"] = (f"=E{here}+F{here}", own["cost"] + values["F"][1])
            values["J"] = (f"=H{here}+I{here}", own["cash"] + values["I"][1])
            for letter, (formula, value) in values.items():
                self._formula(sheet, line, ord(letter) - ord("A"), formula, value, "money")
            written = {
                "C": own["contacts"],
                "D": own["hours"],
                "E": own["cost"],
                "H": own["cash"],
                **{k: v for k, (_, v) in values.items()},
            }
            totals = {letter: totals[letter] + written[letter] for letter in totals}
        self._totals(sheet, 3 + len(preparation), totals)

    def _totals(self, sheet: Any, line: int, totals: dict[str, float]) -> None:
        self._text(sheet, line, 0, "All actions", "total_text")
        self._text(sheet, line, 1, "", "total_text")
        for letter, value in totals.items():
            form = "total_whole" if letter in "CD" else "total_money"
            self._formula(sheet, line, ord(letter) - ord("A"), f"=SUM({letter}4:{letter}{line})", value, form)
        letter, word = ("G", "full cost") if self._book.covers == "full_cost" else ("J", "cash")
        limit = self._book.limit
        self._text(sheet, line + 2, 1, f"Given budget (held against {word})")
        if limit is None:
            sheet.write_blank(line + 2, 6, None, self._formats["input_money"])
        else:
            self._number(sheet, line + 2, 6, limit, "input_money")
        self._text(sheet, line + 3, 1, "Left of it (negative: missing)")
        left = "" if limit is None else limit - totals[letter]
        self._formula(sheet, line + 3, 6, f'=IF(G{line + 3}="","",G{line + 3}-{letter}{line + 1})', left, "money")

    def _values(self, sheet: Any, frame: pd.DataFrame, title: str, note: str) -> None:
        """A frame as it is, without formulas."""
        shown = self._frame(frame)
        heads = [formats.heading(str(column)) for column in shown.columns]
        self._head(sheet, title if not note else f"{title}. {note}", heads, [_width(shown[column]) for column in shown.columns])
        for line, row in enumerate(shown.itertuples(index=False), 3):
            for column, (name, value) in enumerate(zip(shown.columns, row, strict=True)):
                if isinstance(value, pd.Timestamp):
                    sheet.write_datetime(line, column, value.to_pydatetime(), self._formats["date"])
                elif isinstance(value, (int, float)) and not isinstance(value, bool) and pd.notna(value):
                    self._number(
                        sheet,
                        line,
                        column,
                        float(value),
                        "money" if formats.is_money_column(str(name)) else "whole" if float(value).is_integer() else "number",
                    )
                elif not pd.isna(value):
                    self._text(sheet, line, column, str(value))

    def _head(self, sheet: Any, title: str, heads: Sequence[str], widths: Sequence[float]) -> None:
        self._text(sheet, 0, 0, title, "title")
        for column, (head, width) in enumerate(zip(heads, widths, strict=True)):
            self._text(sheet, 2, column, head, "head")
            sheet.set_column(column, column, width)
        sheet.freeze_panes(3, 1)
        # One page wide on paper, the heads on every page.
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(2)

    def _frame(self, frame: pd.DataFrame) -> pd.DataFrame:
        return self._mask.frame(frame)

    def _text(self, sheet: Any, row: int, column: int, value: str, form: str = "text") -> None:
        # A title must not be wrapped into its narrow first column.
        sheet.write_string(row, column, plain(self._mask.text(str(value)))[:_MAX_TEXT], self._formats[form])

    def _number(self, sheet: Any, row: int, column: int, value: float, form: str) -> None:
        sheet.write_number(row, column, float(value), self._formats[form])

    def _formula(self, sheet: Any, row: int, column: int, formula: str, value: float | str, form: str) -> None:
        sheet.write_formula(row, column, formula, self._formats[form], value)


def _width(column: pd.Series[Any]) -> float:
    longest = max((len(str(value)) for value in column.head(200)), default=0)
    return float(min(60, max(11, longest + 1)))
