"""The sentences of an offer follow the client's rows."""

from __future__ import annotations

import narwhals as nw

from crm_methods.engine import collect
from crm_methods.stages import offers
from tests.stages.offers.made_offers import Worked


def test_a_text_follows_the_rows_it_names(worked: Worked):
    facts = collect(worked.facts)
    renamed = facts.assign(open_topic=facts["open_topic"].replace("billing", "voice drops"))
    texts = [
        collect(offers.client_offers(nw.from_native(rows).lazy(), worked.plan, worked.made.settings)).set_index("client_id")[
            "text"
        ]
        for rows in (facts, renamed)
    ]
    concerned = set(facts.loc[facts["open_topic"] == "billing", "client_id"])

    assert set(texts[0].index[texts[0] != texts[1]]) == concerned
    assert texts[0].sort_index().tolist() == collect(worked.final).sort_values("client_id")["text"].tolist()


def test_no_text_has_a_hole(worked: Worked):
    texts = collect(worked.final)["text"]

    assert not texts.str.contains(r"\{|\}|None|nan|<NA>", regex=True).any()


def test_examples_are_the_texts_of_the_table(worked: Worked):
    shown = offers.examples(worked.made.settings, worked.plan, worked.facts).table
    texts = collect(worked.final).set_index("client_id")["text"]

    for client, rows in shown.groupby("client", sort=False):
        assert " ".join(rows["offer"]) == texts[client]
