"""What speaks for one client, and how much."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_methods.models.duplicate_blocks import Comparisons, comparisons, match_keys
from crm_methods.models.duplicate_scores import NAME_WEIGHTS, PROPOSED_FROM, WEIGHTS, scored_pairs

COLUMNS = ["client_id", "name", "tax_id", "phone", "email", "address"]


def clients(*rows: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame([{"client_id": f"c{i}", **row} for i, row in enumerate(rows)]).reindex(columns=COLUMNS)


def scored(*rows: dict[str, object], proposed_from: float = 0.0) -> pd.DataFrame:
    keys = match_keys(clients(*rows))
    return scored_pairs(keys, comparisons(keys), proposed_from)


def score(one: dict[str, object], other: dict[str, object]) -> float:
    found = scored(one, other)
    return float(found["score"].iloc[0])


BALTIC = {"name": "Baltic Library LLC", "phone": "+47 555 5039 32", "email": "info@baltic-library.example"}


def test_a_misspelt_name_with_the_same_phone_is_proposed_with_its_reasons():
    found = scored(BALTIC, {"name": "Balttic Library LLC", "phone": "555 5039 32"}, proposed_from=PROPOSED_FROM)

    assert found[["left", "right", "reason"]].values.tolist() == [["c0", "c1", "same phone, name 96% alike"]]


def test_what_speaks_against_is_said_too():
    other = {**BALTIC, "name": "Baltic Library GmbH", "phone": "111 222 3333"}

    assert scored(BALTIC, other)["reason"].tolist() == ["same e-mail, same name; but other phones and legal forms"]


@pytest.mark.parametrize(
    ("one", "other", "is_proposed"),
    [
        ({"name": "Alfa", "tax_id": "12345"}, {"name": "Omega", "tax_id": "12345"}, True),
        ({"name": "Alfa", "tax_id": "12345"}, {"name": "Alfa", "tax_id": "98765"}, False),
        ({"name": "Alfa", "tax_id": "1234567890"}, {"name": "Alfa", "tax_id": "1234567809"}, True),
        ({"name": "Alfa"}, {"name": "ALFA Ltd"}, True),
        ({"name": "Alfa 1"}, {"name": "Alfa 2"}, False),
        ({"name": "Delta Foods"}, {"name": "Delta Goods"}, False),
        ({"name": "Ромашка-Сервис", "phone": "8 495 123-45-67"}, {"name": "Romashka Servis", "phone": "+7 495 1234567"}, True),
        ({"name": "АО «МТС»"}, {"name": "MTC"}, True),
        (
            {"name": "Alfa", "phone": "5551234567", "tax_id": "11111"},
            {"name": "Alfa", "phone": "5551234567", "tax_id": "22229"},
            False,
        ),
        ({"phone": "5551234567"}, {"phone": "5551234567"}, True),
    ],
)
def test_what_is_proposed(one: dict[str, object], other: dict[str, object], is_proposed: bool):
    assert (score(one, other) >= PROPOSED_FROM) == is_proposed


def test_a_domain_that_many_share_says_less():
    pair = ({"name": "Acme Berlin", "email": "a@acme.example"}, {"name": "Acme Berlim", "email": "b@acme.example"})
    crowd = [{"name": f"{letter}{letter}{letter} Works", "email": f"{letter}@acme.example"} for letter in "dghkmprtuvwxz"]
    alone, among = (scored(*pair, *others).query("left == 'c0' and right == 'c1'")["score"].item() for others in ([], crowd))

    assert alone > PROPOSED_FROM > among


def test_everything_more_that_is_the_same_raises_the_score_and_the_range_is_kept():
    same = [("name", "Alfa"), ("phone", "5551234567"), ("email", "a@alfa.example"), ("tax_id", "12345")]
    scores = [score(dict(same[: n + 1]), dict(same[: n + 1])) for n in range(len(same))]

    assert scores == sorted(scores)
    assert 0 < scores[0] < scores[-1] <= 1


def test_a_client_without_a_name_has_no_other_numbers_in_it():
    pair = {"phone": "5551234567", "email": "a@alfa.example"}
    named, unnamed = ({**pair, "name": "Alfa 24"}, pair)

    assert scored(named, unnamed)["reason"].tolist() == ["same e-mail, same phone"]
    assert score(named, unnamed) == score(unnamed, unnamed) >= PROPOSED_FROM


def test_weights_have_the_sign_of_what_they_stand_for():
    assert all((weight > 0) == what.endswith(("same", "near")) for what, weight in WEIGHTS.items())
    assert [weight for _, weight in NAME_WEIGHTS] == sorted((w for _, w in NAME_WEIGHTS), reverse=True)


ROWS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["Alfa Ltd", "Alfa", "Alfo GmbH", "Омега", "Omega", None]),
        "tax_id": st.sampled_from(["12345", "12354", "99999", None]),
        "phone": st.sampled_from(["5551234567", "5559999999", None]),
        "email": st.sampled_from(["a@alfa.example", "b@alfa.example", "c@omega.example", None]),
    }
)


@settings(max_examples=60, deadline=None)
@given(ROWS, ROWS)
def test_scores_are_symmetric(one: dict[str, object], other: dict[str, object]):
    keys = match_keys(clients(one, other))
    turned = match_keys(clients(other, one))
    found = [scored_pairs(k, comparisons(k), 0.0)[["score", "reason"]].values.tolist() for k in (keys, turned)]

    assert found[0] == found[1]


@settings(max_examples=30, deadline=None)
@given(st.lists(ROWS, min_size=2, max_size=8), st.randoms())
def test_the_order_of_rows_changes_nothing(rows: list[dict[str, object]], random):  # type: ignore[no-untyped-def]
    frame = clients(*rows)
    order = list(range(len(frame)))
    random.shuffle(order)
    found = [scored_pairs(k, comparisons(k)) for k in (match_keys(frame), match_keys(frame.iloc[order]))]

    pd.testing.assert_frame_equal(found[0], found[1])


def test_nothing_compared_is_nothing_scored():
    keys = match_keys(clients({"name": "Alfa"}))
    nothing: Comparisons = comparisons(keys)

    assert scored_pairs(keys, nothing).to_dict("list") == {"left": [], "right": [], "score": [], "reason": []}
