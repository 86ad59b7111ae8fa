"""The contact calendar as a file that every calendar program opens (iCalendar).

Each contact is a whole-day event whose identity never changes, so that opening next quarter's
calendar updates the events instead of doubling them.

References
----------
Desruisseaux (ed., 2009), RFC 5545, "Internet Calendaring and Scheduling Core Object Specification".
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crm_methods.reports.markup import plain

_LINE_OCTETS = 75
_PRODUCT = "-//crm-methods//contact calendar//EN"


@dataclass(frozen=True, slots=True)
class Event:
    """One planned contact: what identifies it (``key``), its day, and what to read in the calendar."""

    key: tuple[str, ...]
    on: dt.date
    title: str
    description: str = ""
    category: str = ""


def calendar_text(events: Iterable[Event], *, name: str, stamped_on: dt.date) -> str:
    """Events as the text of an .ics file.

    Parameters
    ----------
    events
        In the order in which they should stand.
    name
        Name of the calendar.
    stamped_on
        The as-of day of the run; the same run gives the same file whenever it is made.
    """
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:{_PRODUCT}",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        f"X-WR-CALNAME:{_text(name)}",
    ]
    for event in events:
        lines += _event_lines(event, stamped_on)
    lines.append("END:VCALENDAR")
    return "".join(f"{part}\r\n" for line in lines for part in folded(line))


def write_calendar(path: Path, events: Iterable[Event], *, name: str, stamped_on: dt.date) -> None:
    """Write an .ics file (``calendar_text``)."""
    path.write_bytes(calendar_text(events, name=name, stamped_on=stamped_on).encode("utf-8"))


def uid(key: Sequence[str]) -> str:
    """Identity of an event: the same for the same client, occasion and number in every run, and silent on who it is."""
    return f"{hashlib.sha256(chr(31).join(key).encode()).hexdigest()[:32]}@crm-methods"


def folded(line: str) -> list[str]:
    """A content line cut into pieces of at most 75 octets, never inside a character; all but the first begin with a space."""
    pieces, current, size = [], "", 0
    for character in line:
        octets = len(character.encode("utf-8"))
        if size + octets > _LINE_OCTETS:
            pieces.append(current)
            current, size = " ", 1
        current, size = current + character, size + octets
    return [*pieces, current]


def _event_lines(event: Event, stamped_on: dt.date) -> list[str]:
    lines = [
        "BEGIN:VEVENT", f"UID:{uid(event.key)}", f"DTSTAMP:{stamped_on:%Y%m%d}T000000Z", f"DTSTART;VALUE=DATE:{event.on:%Y%m%d}",
        f"DTEND;VALUE=DATE:{event.on + dt.timedelta(days=1):%Y%m%d}", f"SUMMARY:{_text(event.title)}",
    ]  # fmt: skip
    if event.description:
        lines.append(f"DESCRIPTION:{_text(event.description)}")
    if event.category:
        lines.append(f"CATEGORIES:{_text(event.category)}")
    return [*lines, "TRANSP:TRANSPARENT", "END:VEVENT"]


def _text(text: str) -> str:
    """Text as a property's value: no client's name can end its line or begin another property."""
    escaped = plain(text).replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\t", " ")
    return escaped.replace("\n", "\\n")
