"""Reasons for caution: every failed check, and what the models in use can't know."""

from __future__ import annotations

from crm_methods.company.answers import Unanswered
from crm_methods.stages import segments_trust
from crm_methods.stages.segments_limits import limits
from tests.stages.valued import on_days, seen, seen_base, told


def test_failed_checks_and_what_is_not_known_are_reasons() -> None:
    value, found = seen_base("usual")
    checks = segments_trust.trust(found, value)
    assert isinstance(checks, segments_trust.Trust)
    reasons = limits(value, told(), found=found, checks=checks, top_share=0.4)

    assert all(any(check.result in reason for reason in reasons) for check in checks.failed)
    for words in ("No margin is known", "rest on 60 clients", "key accounts hold 40%"):
        assert any(words in reason for reason in reasons)
    assert not any("key accounts" in reason for reason in limits(value, told(), found=found, checks=checks, top_share=0.2))


def test_a_base_younger_than_the_holdout_is_warned_of_first() -> None:
    value, found = seen(on_days({f"c{i}": ["2025-09-01", f"2025-1{i % 3}-20"] for i in range(20)}))
    checks = segments_trust.trust(found, value)

    assert isinstance(checks, Unanswered)
    reasons = limits(value, told(), found=found, checks=checks)
    assert "not tried on months it had not seen" in reasons[0]
    assert any("36 months ahead from a history of 4.0 months" in reason for reason in reasons)


def test_a_history_that_ended_long_ago_or_begins_with_old_clients_is_told() -> None:
    stopped = on_days({f"c{i}": ["2023-02-01", f"2023-0{3 + i % 5}-01", "2024-02-01"] for i in range(12)})
    value, found = seen(stopped)
    reasons = " ".join(limits(value, told(), found=found, checks=segments_trust.trust(found, value)))

    assert "The last purchase lies 699 days before the as-of day" in reasons
    assert "100% of clients appear in the first 61 days" in reasons


def test_what_each_rung_can_not_know_is_told() -> None:
    for name, words in {"identical buyers": "nobody ever leaves", "three clients": "it can't rank them"}.items():
        value, found = seen_base(name)
        reasons = limits(value, told(), found=found, checks=segments_trust.trust(found, value))
        assert any(words in reason for reason in reasons)
