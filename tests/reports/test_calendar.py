"""The calendar file: RFC 5545 to the octet, inert text, and the same bytes for the same run."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from crm_methods.reports.calendar import Event, calendar_text, folded, uid, write_calendar

AS_OF = dt.date(2025, 12, 31)


def _event(**more: object) -> Event:
    return Event(**{"key": ("c1", "review", "1", "2026"), "on": dt.date(2026, 3, 2), "title": "Acme: review", **more})  # type: ignore[arg-type]


def _unfolded(text: str) -> list[str]:
    return text.replace("\r\n ", "").split("\r\n")


def test_an_event_is_a_whole_day_stamped_with_the_as_of_day():
    lines = _unfolded(calendar_text([_event()], name="Plan", stamped_on=AS_OF))

    assert lines[0] == "BEGIN:VCALENDAR"
    assert lines[-2:] == ["END:VCALENDAR", ""]
    assert {
        "DTSTAMP:20251231T000000Z",
        "DTSTART;VALUE=DATE:20260302",
        "DTEND;VALUE=DATE:20260303",
        "SUMMARY:Acme: review",
    } <= set(lines)
    assert lines.count("BEGIN:VEVENT") == lines.count("END:VEVENT") == 1


@pytest.mark.parametrize("text", ["x" * 500, "é" * 300, "日本語" * 100, "short", "", "🙂" * 80])
def test_no_line_is_longer_than_75_octets_and_nothing_is_lost(text: str):
    pieces = folded(f"SUMMARY:{text}")

    assert all(len(piece.encode("utf-8")) <= 75 for piece in pieces)
    assert pieces[0] + "".join(piece[1:] for piece in pieces[1:]) == f"SUMMARY:{text}"
    assert all(piece.startswith(" ") for piece in pieces[1:])


@pytest.mark.parametrize(
    "hostile",
    [
        "Acme\r\nEND:VCALENDAR",
        "a\nBEGIN:VALARM",
        "back\\slash; semi, comma",
        "=HYPERLINK(1)",
        "<script>alert(1)</script>",
        "../../etc",
        "\u202egnp.exe",
    ],
)
def test_hostile_names_stay_inside_their_property(hostile: str):
    text = calendar_text([_event(title=hostile, description=hostile, category=hostile)], name=hostile, stamped_on=AS_OF)
    names = [line.split(":")[0].split(";")[0] for line in _unfolded(text) if line]

    assert names.count("END") == names.count("BEGIN") == 2
    assert set(names) <= {
        "BEGIN",
        "END",
        "VERSION",
        "PRODID",
        "CALSCALE",
        "METHOD",
        "X-WR-CALNAME",
        "UID",
        "DTSTAMP",
        "DTSTART",
        "DTEND",
        "SUMMARY",
        "DESCRIPTION",
        "CATEGORIES",
        "TRANSP",
    }
    assert "\u202e" not in text


def test_an_events_identity_is_stable_and_does_not_name_the_client():
    assert uid(("c1", "review", "1")) == uid(("c1", "review", "1"))
    assert len({uid(key) for key in (("c1", "review", "1"), ("c1", "review", "2"), ("c", "1review", "1"))}) == 3
    assert "c1" not in uid(("c1", "review", "1")).split("@")[0] or len("c1") < 3


def test_the_file_holds_the_same_bytes_every_time(tmp_path: Path):
    for name in ("a.ics", "b.ics"):
        write_calendar(tmp_path / name, [_event()], name="Plan", stamped_on=AS_OF)

    assert (tmp_path / "a.ics").read_bytes() == (tmp_path / "b.ics").read_bytes()
    assert b"\r\n" in (tmp_path / "a.ics").read_bytes()
