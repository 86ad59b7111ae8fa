"""Who is compared with whom."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_methods.models.duplicate_blocks import MAX_BLOCK, NEIGHBOURS, SHARED, comparisons, match_keys


def clients(*rows: dict[str, object]) -> pd.DataFrame:
    frame = pd.DataFrame([{"client_id": f"c{i:04d}", **row} for i, row in enumerate(rows)])
    return frame.reindex(columns=["client_id", "name", "tax_id", "phone", "email", "address"])


def compared(frame: pd.DataFrame) -> set[tuple[str, str]]:
    keys = match_keys(frame)
    found = comparisons(keys)
    ids = keys["client_id"].to_numpy()
    return set(zip(ids[found.left], ids[found.right], strict=True))


def far_apart(number: int) -> str:
    """Names that are no neighbours in the alphabet of the first two, forwards or backwards."""
    return f"{'mnop'[number % 4]}qr{number:03d}qr{'mnop'[number % 4]}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"tax_id": "NL 12345"}, {"tax_id": "nl12345"}),
        ({"phone": "+48 555 123 456"}, {"phone": "0555 123456"}),
        ({"email": "a@acme.example"}, {"email": "b@acme.example"}),
        ({"email": "a@gmail.com"}, {"email": "A@Gmail.com"}),
        ({"name": "Zeta Alfa Ltd"}, {"name": "ALFA ZETA"}),
        ({"name": "Alder Glass"}, {"name": "Adler Glass"}),
        ({"name": "Aldebaran Zinc"}, {"name": "Aldbaran Zinc"}),
        ({"name": "АО «МТС»"}, {"name": "MTC"}),
    ],
)
def test_clients_that_share_something_are_compared(one: dict[str, object], other: dict[str, object]):
    others = [{"name": far_apart(i)} for i in range(40)]

    assert ("c0000", "c0041") in compared(clients(one, *others, other))


def test_clients_that_share_nothing_are_not_compared():
    between = [{"name": far_apart(i)} for i in range(40)]

    assert ("c0000", "c0041") not in compared(clients({"name": "Aaa Aaa"}, *between, {"name": "Zzz Zzz"}))


def test_far_fewer_pairs_are_compared_than_there_are():
    random = np.random.default_rng(3)
    names = ["".join(random.choice(list("bcdfglmnprst"), 12)) for _ in range(2_000)]
    found = comparisons(match_keys(clients(*({"name": name} for name in names))))

    assert len(found.left) < 20 * len(names)


def test_every_pair_is_compared_once_and_nobody_with_itself():
    twice = [{"name": "Alfa Ltd", "tax_id": "12345", "phone": "5551234567", "email": "a@alfa.example"}] * 3

    found = comparisons(match_keys(clients(*twice)))
    assert list(zip(found.left, found.right, strict=True)) == [(0, 1), (0, 2), (1, 2)]


def test_what_too_many_share_is_told_and_only_neighbours_are_compared():
    rows = [{"name": far_apart(i), "email": f"x{i}@portal.example"} for i in range(MAX_BLOCK + 10)]
    found = comparisons(match_keys(clients(*rows)))

    assert found.too_common.to_dict("list") == {"kind": ["domain"], "clients": [MAX_BLOCK + 10]}
    assert len(found.left) <= 3 * NEIGHBOURS * len(rows)


def test_a_number_that_many_names_share_is_no_identity():
    keys = match_keys(clients(*({"name": f"Name {far_apart(i)}", "tax_id": "1234567890"} for i in range(5))))

    assert keys["tax"].tolist() == [""] * 5


def test_an_empty_base_stays_empty():
    keys = match_keys(clients({"name": "x"}).iloc[:0])

    assert set(SHARED) <= set(keys.columns)
    assert len(comparisons(keys).left) == 0


def test_the_order_of_rows_changes_nothing_and_they_are_untouched():
    frame = clients(*({"name": f"Name {i % 5} Ltd", "phone": f"555{i % 3}123456"} for i in range(20)))
    before = frame.copy()

    assert compared(frame) == compared(frame.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(frame, before)
