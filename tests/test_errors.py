from __future__ import annotations

import inspect

import pytest

from crm_methods import errors
from crm_methods.errors import CrmError, Fault, Faults, IntakeError, did_you_mean, nearest


def test_every_error_has_the_one_root_and_a_built_in_one():
    kinds = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception) and kind is not CrmError
    ]
    assert len(kinds) >= 6
    for kind in kinds:
        assert issubclass(kind, CrmError)
        assert issubclass(kind, ValueError | TypeError | RuntimeError)


def test_all_faults_are_raised_together_in_the_order_they_were_found():
    faults = Faults()
    assert not faults
    faults.raise_if_any(IntakeError, "Never said:")
    faults.add("a.csv", "nothing", "rows", "Export it again.")
    faults.add("b.csv", "x", "y")
    assert faults
    with pytest.raises(IntakeError) as stop:
        faults.raise_if_any(IntakeError, "Bad files:")
    assert (
        str(stop.value)
        == "Bad files:\n  - a.csv: found nothing, expected rows. Export it again.\n  - b.csv: found x, expected y."
    )


def test_what_an_error_has_told_in_full_is_not_said_twice():
    faults = Faults()
    faults.tell("tables.deals", "deals.csv: found an empty file, expected rows.")
    with pytest.raises(IntakeError, match=r"- tables\.deals: deals\.csv: found an empty file, expected rows\.$"):
        faults.raise_if_any(IntakeError, "Bad files:")


def test_a_fault_cannot_be_changed():
    with pytest.raises(AttributeError):
        Fault("a", "b", "c").where = "d"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("word", "option"), [("amout", "amount"), ("AMOUNT", "amount"), ("Ammount", "amount"), ("zzz", None), ("", None)]
)
def test_the_nearest_option_is_proposed(word: str, option: str | None):
    options = ["amount", "client_id", "Closed On"]
    assert nearest(word, options) == option
    assert did_you_mean(word, options) == (f'Did you mean "{option}"?' if option else "")


def test_the_option_keeps_its_spelling():
    assert nearest("closed on", ["Closed On"]) == "Closed On"
    assert nearest("x", []) is None
