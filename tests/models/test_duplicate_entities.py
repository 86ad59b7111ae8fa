"""From likely pairs to who repeats whom."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from crm_methods.models.duplicate_entities import repetitions


def pairs(*rows: tuple[str, str, float]) -> pd.DataFrame:
    frame = pd.DataFrame([(*row, f"{row[0]}~{row[1]}") for row in rows], columns=["left", "right", "score", "reason"])
    return frame.sort_values(["score", "left", "right"], ascending=[False, True, True], ignore_index=True)


def told(found: pd.DataFrame) -> list[tuple[str, str, str]]:
    return list(found[["client_id", "duplicate_of", "reason"]].itertuples(index=False, name=None))


def test_the_client_with_the_most_revenue_is_the_one_repeated():
    found = repetitions(pairs(("a", "b", 0.9)), {}, {"a": 5.0, "b": 50.0})

    assert found.values.tolist() == [["a", "b", 0.9, "a~b", 5.0]]


def test_of_equal_revenue_the_first_id_is_kept():
    assert told(repetitions(pairs(("a", "b", 0.9)), {}, {})) == [("b", "a", "a~b")]


def test_a_pair_by_way_of_a_third_names_it():
    found = repetitions(pairs(("a", "b", 0.9), ("b", "c", 0.8)), {}, {"a": 9.0})

    assert told(found) == [("b", "a", "a~b"), ("c", "a", "by way of b: b~c")]


def test_a_chain_does_not_join_two_tax_numbers():
    found = repetitions(pairs(("a", "b", 0.9), ("b", "c", 0.8)), {"a": "11111", "c": "29999"}, {"a": 9.0})

    assert told(found) == [("b", "a", "a~b")]


def test_numbers_one_character_apart_do_not_hinder():
    assert len(repetitions(pairs(("a", "b", 0.9)), {"a": "123456", "b": "123465"}, {})) == 1


def test_what_was_decided_to_be_different_stays_apart_even_by_way_of_others():
    found = repetitions(pairs(("a", "b", 0.9), ("b", "c", 0.8)), {}, {"a": 9.0}, [("c", "a")])

    assert told(found) == [("b", "a", "a~b")]


def test_no_pairs_are_no_repetitions():
    assert repetitions(pairs(), {}, {}).empty


LINKS = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("ghijkl"), st.integers(0, 9)), unique_by=lambda x: x[:2])


@given(LINKS)
def test_nobody_repeats_a_repetition(links: list[tuple[str, str, int]]):
    found = repetitions(pairs(*((a, b, n / 10) for a, b, n in links)), {}, {})

    assert found["client_id"].is_unique
    assert set(found["client_id"]).isdisjoint(found["duplicate_of"])
