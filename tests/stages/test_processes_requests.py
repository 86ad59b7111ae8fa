"""Service levels: what counts, what is proven, and what is left out."""

from __future__ import annotations

import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from crm_methods.stages.processes_requests import MET, MISSED, NOT_ENOUGH, NOT_PROVEN, ServiceLevel, planned_contacts, status
from tests.conftest import MakeCompany
from tests.stages.made_service import Served, contact, serve

MANY = {f"c{i}": "high_low" for i in range(12)}


def _attained(served: Served) -> pd.DataFrame:
    level = served.level()
    assert isinstance(level, ServiceLevel)
    return level.attained.set_index(["segment", "metric"])


def test_hours_are_elapsed_hours_through_nights_and_weekends(make_company: MakeCompany):
    # From Friday evening to Monday morning: 15 hours of work at most, 61 elapsed.
    served = serve(make_company, {"a": "high_low", "b": "high_low"}, [contact(c, "2025-06-06 20:00", 61, 61) for c in "ab"])

    assert _attained(served)["share"].tolist() == [0.0, 0.0]
    assert collect(served.requests)["resolve_minutes"].tolist() == [61 * 60, 61 * 60]


def test_a_request_on_the_minute_of_its_target_is_in_time(make_company: MakeCompany):
    served = serve(
        make_company,
        {"a": "high_low", "b": "high_low"},
        [contact("a", "2025-06-02 10:00", 4, 24), contact("b", "2025-06-02 10:00", 4.1, 24.1)],
    )

    assert _attained(served)["share"].tolist() == [0.5, 0.5]


def test_an_open_request_past_its_target_is_missed_and_one_not_due_is_left_out(make_company: MakeCompany):
    contacts = [contact("a", "2025-06-02 10:00", 1, 5), contact("b", "2025-06-02 10:00", 1), contact("b", "2025-12-31 20:00", 1)]
    served = serve(make_company, {"a": "high_low", "b": "high_low"}, contacts)
    solved = _attained(served).loc[("high_low", "resolution")]

    assert (solved["trials"], solved["share"]) == (2, 0.5)
    assert served.level().not_due == 1


def test_a_request_not_due_is_left_out_even_when_it_is_solved_already(make_company: MakeCompany):
    """Else quick solutions of the last day would count, and slow ones not yet."""
    contacts = [
        contact("a", "2025-06-02 10:00", 1, 5),
        contact("b", "2025-06-02 10:00", 1, 5),
        contact("b", "2025-12-31 20:00", 1, 2),
    ]

    assert (
        _attained(serve(make_company, {"a": "high_low", "b": "high_low"}, contacts)).loc[("high_low", "resolution"), "trials"]
        == 2
    )


def test_a_request_solved_without_a_recorded_answer_was_answered_when_solved(make_company: MakeCompany):
    contacts = [contact("a", "2025-06-02 10:00", None, 3), contact("b", "2025-06-02 10:00", 1, 3)]

    assert (
        _attained(serve(make_company, {"a": "high_low", "b": "high_low"}, contacts)).loc[("high_low", "first_response"), "share"]
        == 1.0
    )


def test_times_before_the_request_are_left_out_and_counted(make_company: MakeCompany):
    contacts = [
        contact("a", "2025-06-02 10:00", -2, 3),
        contact("a", "2025-06-03 10:00", 1, 3),
        contact("b", "2025-06-02 10:00", 1, 3),
    ]
    served = serve(make_company, {"a": "high_low", "b": "high_low"}, contacts)

    assert _attained(served).loc[("high_low", "first_response"), "trials"] == 2
    assert served.level().left_out == 1


def test_only_requests_of_the_client_and_of_the_period_count(make_company: MakeCompany):
    contacts = [
        contact("a", "2025-06-02 10:00", 1, 5), contact("b", "2025-06-02 10:00", 1, 5), contact("a", "2024-06-02 10:00", 1, 5),
        contact("a", "2025-06-02 10:00", 1, 5, kind="marketing"), contact("a", "2025-06-02 10:00", 1, 5, initiative="ours"),
    ]  # fmt: skip

    assert _attained(serve(make_company, {"a": "high_low", "b": "high_low"}, contacts))["trials"].tolist() == [2, 2]


def test_each_segment_is_judged_by_its_own_target_and_range(make_company: MakeCompany):
    segments = {f"h{i}": "high_low" for i in range(40)} | {f"l{i}": "low_high" for i in range(40)}
    served = serve(make_company, segments, [contact(c, "2025-06-02 10:00", 10, 50) for c in segments])
    rows = _attained(served)

    assert rows["target_hours"].tolist() == [4, 24, 16, 72]
    assert rows["required_share"].tolist() == [0.9, 0.9, 0.7, 0.7]
    assert rows["status"].tolist() == [MISSED, MISSED, MET, MET]


def test_nothing_is_proven_by_a_point_inside_the_range(make_company: MakeCompany):
    served = serve(make_company, MANY, [contact(c, "2025-06-02 10:00", 1, 5) for c in MANY])

    assert _attained(served)["share"].tolist() == [1.0, 1.0]
    assert _attained(served)["status"].tolist() == [NOT_PROVEN, NOT_PROVEN]


def test_one_client_is_not_enough_whatever_its_requests(make_company: MakeCompany):
    served = serve(make_company, {"a": "high_low"}, [contact("a", f"2025-06-{d:02} 10:00", 1, 5) for d in range(1, 29)])

    assert _attained(served)["status"].tolist() == [NOT_ENOUGH, NOT_ENOUGH]


def test_a_segment_without_requests_keeps_its_row(make_company: MakeCompany):
    served = serve(
        make_company, {"a": "high_low", "b": "high_low", "c": "low_low"}, [contact(c, "2025-06-02 10:00", 1, 5) for c in "ab"]
    )

    assert _attained(served).loc[("low_low", "resolution"), "trials"] == 0
    assert _attained(served).loc[("low_low", "resolution"), "status"] == NOT_ENOUGH


def test_requests_of_one_client_count_as_alike(make_company: MakeCompany):
    """The same share on the same requests is less certain when few clients sent them."""
    times = [(f"2025-06-{d:02} 10:00", 1 if d % 2 else 9) for d in range(1, 25)]
    many = serve(
        make_company, {f"c{i}": "high_low" for i in range(24)}, [contact(f"c{i}", t, h, 5) for i, (t, h) in enumerate(times)]
    )
    few = serve(
        make_company,
        {f"c{i}": "high_low" for i in range(4)},
        [contact(f"c{int(h > 1) + 2 * (i % 4 > 1)}", t, h, 5) for i, (t, h) in enumerate(times)],
    )
    widths = [(_attained(s)["high_share"] - _attained(s)["low_share"]).loc[("high_low", "first_response")] for s in (many, few)]

    assert widths[1] > 1.5 * widths[0]


def test_without_any_time_of_answer_or_solution_it_is_not_answered(make_company: MakeCompany):
    served = serve(make_company, {"a": "high_low"}, [contact("a", "2025-06-02 10:00")])

    assert isinstance(served.level(), Unanswered)


def test_without_answers_recorded_the_solution_is_still_measured(make_company: MakeCompany):
    served = serve(make_company, {"a": "high_low", "b": "high_low"}, [contact(c, "2025-06-02 10:00", None, 5) for c in "ab"])

    assert _attained(served).index.tolist() == [("high_low", "resolution")]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.91, 0.97, MET),
        (0.5, 0.89, MISSED),
        (0.85, 0.95, NOT_PROVEN),
        (0.99, 1.0, MISSED),
        (float("nan"), float("nan"), NOT_ENOUGH),
    ],
)
def test_the_verdict_comes_from_the_interval(low: float, high: float, verdict: str):
    assert status(low, high, (0.9, 0.98)) == verdict


def test_contacts_beyond_those_promised_do_not_make_up_for_another_client(make_company: MakeCompany):
    ours = [contact("a", f"2025-{m:02}-03 10:00", kind="sales", initiative="ours") for m in range(1, 11)]
    served = serve(make_company, {"a": "high_low", "b": "high_low"}, ours)
    procedure = served.plan.content.first_of("contacts")
    assert procedure is not None
    rows = collect(planned_contacts(served.made.data, served.made.settings, procedure, served.clients).sort("client_id"))

    assert rows["made"].tolist() == [10, 0]
    assert rows["kept"].tolist() == [6, 0]
    assert rows["missing"].tolist() == [0, 6]
