"""Contacts and effort by channel, and the channel each client prefers."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from crm_methods.stages.client_base_contacts import Channels, PreferredChannels, channels, client_channels, preferred_channels
from tests.conftest import MadeCompany, MakeCompany


def _contacts(**columns: Any) -> pd.DataFrame:
    base = {
        "interaction_id": [f"i{n}" for n in range(6)], "client_id": list("aaabbb"), "started_at": "2025-06-01 09:00:00",
        "channel": ["Phone", "phone", "email", "visit", "visit", None], "direction": ["in", "in", "out", "out", "out", "in"],
        "handling_minutes": [10.0, 20, 30, 120, 60, 5], "direct_cost": [0, 0, 0, 40, 40, 0],
    }  # fmt: skip
    return pd.DataFrame(base | columns)


def _by_client(made: MadeCompany) -> pd.DataFrame:
    return collect(client_channels(made.data, made.settings)).set_index("client_id").sort_index()


def test_channels_add_up_to_all_contacts(make_company: MakeCompany):
    made = make_company({"interactions": _contacts()})
    found = channels(made.data, made.settings)
    assert isinstance(found, Channels)
    rows = found.channels.set_index("channel")

    assert rows["contacts"].to_dict() == {"phone": 2, "visit": 2, "email": 1, "not recorded": 1}
    assert rows["minutes"].sum() == 245
    assert rows["direct_cost"].sum() == 80
    assert rows["contacts_share"].sum() == pytest.approx(1)
    assert found.effort.set_index("measure").sum(axis=1).tolist() == pytest.approx([1, 1, 1])
    assert rows.loc["phone", "by_clients_share"] == 1
    assert "17% is not recorded" in found.sentence


def test_what_is_not_recorded_is_no_column(make_company: MakeCompany):
    made = make_company({"interactions": _contacts()[["interaction_id", "client_id", "started_at", "channel"]]})
    found = channels(made.data, made.settings)

    assert list(found.table.columns) == ["channel", "contacts", "contacts_share", "clients"]
    assert "nan" not in found.sentence.lower()


def test_without_channels_or_contacts_of_the_period_the_question_stays_open(make_company: MakeCompany):
    old = make_company({"interactions": _contacts(started_at="2020-06-01 09:00:00")})
    none = make_company({"interactions": _contacts().drop(columns="channel")})

    assert isinstance(channels(old.data, old.settings), Unanswered)
    assert isinstance(channels(none.data, none.settings), Unanswered)


PERSONS = pd.DataFrame(
    {"person_id": list("pqrs"), "client_id": list("aaac"), "preferred_channel": ["Email", "email", "phone", "visit"]}
)


def test_every_client_stands_once_and_a_declaration_goes_before_use(make_company: MakeCompany):
    clients = pd.DataFrame({"client_id": list("abcd")})
    made = make_company({"interactions": _contacts(), "contact_persons": PERSONS, "clients": clients})
    found = _by_client(made)

    assert found.index.tolist() == list("abcd")
    assert found.loc["a"].tolist() == ["email", "phone", "email", "declared"]
    assert found.loc["c", ["preferred_channel", "source"]].tolist() == ["visit", "declared"]
    assert found.loc["d"].isna().all()


def test_use_is_the_preference_where_nobody_declared_one(make_company: MakeCompany):
    contacts = _contacts(channel=["phone", "portal", "email", "visit", "visit", "portal"])
    found = _by_client(make_company({"interactions": contacts}))

    # a used phone and portal once each: the first in the alphabet.
    assert found.loc["a", ["preferred_channel", "source"]].tolist() == ["phone", "observed"]
    assert found.loc["b"].tolist() == ["portal", "portal", "visit", "observed"]


def test_the_share_contacted_by_another_channel_is_counted(make_company: MakeCompany):
    made = make_company({"interactions": _contacts(channel=["email", "email", "email", "visit", "visit", "portal"])})
    found = preferred_channels(made.data, client_channels(made.data, made.settings))
    assert isinstance(found, PreferredChannels)

    assert found.preferred[["contacted", "otherwise"]].sum().tolist() == [2, 1]
    assert "50% were contacted mostly by another channel" in found.sentence


def test_a_company_without_contacts_has_a_table_of_unknowns(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": [1], "client_id": ["a"], "closed_on": ["2025-05-01"], "amount": [1.0]})
    made = make_company({"deals": deals})

    assert _by_client(made).isna().all(axis=None)
    assert isinstance(preferred_channels(made.data, client_channels(made.data, made.settings)), Unanswered)


def test_nobody_known_to_prefer_anything_is_no_answer(make_company: MakeCompany):
    made = make_company({"interactions": _contacts().drop(columns="direction")})
    assert isinstance(preferred_channels(made.data, client_channels(made.data, made.settings)), Unanswered)
