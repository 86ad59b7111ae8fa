"""The checks of trust: each has its verdict, and the sentence counts them and says what may be built on them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm_methods.stages import segments_trust
from tests.stages.valued import BASES, is_said_in_full, seen_base


@pytest.mark.parametrize("name", BASES)
def test_every_check_has_a_verdict_and_the_sentence_counts_them(name: str) -> None:
    value, found = seen_base(name)
    checks = segments_trust.trust(found, value)

    assert isinstance(checks, segments_trust.Trust)
    is_said_in_full(checks)
    passed, failed = ((checks.table["verdict"] == verdict).sum() for verdict in ("passed", "failed"))
    assert checks.sentence.startswith(f"{passed} of {passed + failed} check")
    assert all(check.name[1:] in checks.sentence for check in checks.failed)


def test_a_total_is_planned_with_where_it_was_met_and_not_where_it_was_missed() -> None:
    value, found = seen_base("usual")
    met = replace(found, foresight=replace(found.foresight, actual=100.0, expected=105.0, low=90.0, high=120.0))
    narrow = replace(found, foresight=replace(met.foresight, low=104.0))
    missed = replace(found, foresight=replace(met.foresight, expected=300.0, low=280.0, high=320.0))
    by_chance = replace(found, foresight=replace(met.foresight, actual=3.0, expected=6.0, low=1.0, high=11.0))
    trusts = [segments_trust.trust(one, value) for one in (met, narrow, missed, by_chance)]
    said = [one.sentence for one in trusts]

    assert "may be planned with, within its interval" in said[0]
    assert "its interval is too narrow" in said[1]
    assert "should not be planned with" in said[2]
    assert "Too little was bought" in said[3]
    verdicts = [one.verdict for one in trusts if isinstance(one, segments_trust.Trust)]
    assert verdicts[0] == "its holdout was missed by no more than 5%, so it may be planned with"
    assert verdicts[2] == "its holdout was missed by 200%, so don't plan with it"
    assert "too narrow" in verdicts[1]
    assert "too little was bought" in verdicts[3]
