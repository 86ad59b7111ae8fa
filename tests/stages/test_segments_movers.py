"""Names of the clients that moved, and the cells that were left."""

from __future__ import annotations

from dataclasses import replace

from crm_methods.company.answers import Answer
from crm_methods.stages.segments_movers import leavers, movers
from tests.stages.two_years import steady, steady_migration


def test_the_client_that_grew_is_named_with_what_changed_and_the_cell_it_left_is_told():
    found = steady()
    answer = steady_migration()
    named, left = movers(found.made.data, found.made.settings, answer), leavers(answer)
    assert isinstance(named, Answer)
    assert isinstance(left, Answer)

    assert named.table.to_dict("records") == [
        {
            "client": "up",
            "previous_segment": "Low revenue, low cost",
            "segment": "High revenue, low cost",
            "what_changed": "Revenue rose from €1,800 to €18k",
        }
    ]
    assert "1 client moved further than chance explains" in named.sentence
    assert "of its 10 clients 2 (20%, 95% interval 6% to 51%) are in another cell or gone" in left.sentence

    nobody = replace(answer, beyond=answer.beyond.head(0), origins=answer.origins.head(0))
    assert "nobody to name" in movers(found.made.data, found.made.settings, nobody).sentence
    assert "No client was active in the period before" in leavers(nobody).sentence
