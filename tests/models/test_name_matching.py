"""Two spellings of one name, number or address are equal once they are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_methods.models.name_matching import (
    LEGAL_FORMS,
    normal_address,
    normal_email,
    normal_phone,
    normal_tax_id,
    own_domain,
    read_name,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Baltic Telecom AG", "BALTIC  TELECOM"),
        ("Fjord Leasing Sp. z o.o.", "Fjord Leasing Sp z oo"),
        ("Łódź Sp.z o.o.", "lodz"),
        ("Opal Bank S.p.A.", "opal-bank S. p. A."),
        ("Müller & Co. KG", "MULLER AND CO"),
        ("O'Neil Ltd.", "ONeil Limited"),
        ("Alfa s.r.o.", "ALFA SRO"),
        ("Øst Straße ApS", "ost strasse"),
    ],
)
def test_case_signs_accents_and_legal_forms_do_not_tell_names_apart(one: str, other: str):
    assert read_name(one).key == read_name(other).key


@pytest.mark.parametrize(
    "spelt",
    [
        "Ромашка",
        "ООО „Ромашка“",
        "Ромашка, ООО",
        'О.О.О. "РОМАШКА"',
        "Общество с ограниченной ответственностью «Ромашка»",
        "OOO Romashka",
        "Pомашка",  # with a Latin P
        "OOO «Pomaшкa»",  # with every letter Latin that looks alike
        "ИП «Ромашка и Ко»",
    ],
)
def test_a_cyrillic_name_is_one_however_it_is_typed(spelt: str):
    assert read_name(spelt).key == "romashka"


def test_a_latin_word_with_a_stray_cyrillic_letter_is_latin():
    assert read_name("Аlрha Bank") == read_name("Alpha Bank")


def test_a_word_of_look_alikes_alone_can_be_read_both_ways():
    cyrillic, latin = read_name("АО «МТС»"), read_name("MTC")

    assert (cyrillic.key, cyrillic.seen) == ("mts", ("mtc",))
    assert latin.seen == cyrillic.seen


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("Alfa Ltd", {"ltd"}),
        ("Alfa Limited", {"ltd"}),
        ("ООО Альфа", {"ооо"}),
        ("OOO Альфа", {"ооо"}),
        ("Alfa GmbH & Co. KG", {"gmbh", "co", "kg"}),
    ],
)
def test_legal_forms_are_read_in_one_spelling(name: str, forms: set[str]):
    assert read_name(name).forms == forms


@pytest.mark.parametrize(
    ("one", "other"), [("Alpha One", "Alpha Two"), ("Co", "KG"), ("Delta 1", "Delta 11"), ("ООО Роза", "ООО Розан")]
)
def test_other_names_stay_apart(one: str, other: str):
    assert read_name(one).key != read_name(other).key


def test_signs_alone_are_no_name():
    assert read_name("— !").key == ""


@given(st.sampled_from(sorted(LEGAL_FORMS)), st.from_regex(r"[b-y]{6,12}", fullmatch=True), st.booleans())
def test_a_legal_form_before_or_after_changes_nothing(form: str, name: str, before: bool):
    assert read_name(f"{form} {name}" if before else f"{name}, {form.upper()}.").key == read_name(name).key


@given(st.text(max_size=40))
def test_any_text_can_be_read_and_its_case_does_not_matter(text: str):
    assert read_name(text).key == read_name(text.casefold()).key


def test_numbers_of_a_name_are_kept_in_their_order():
    assert (read_name("Lab 2 of 11").numbers, read_name("Lab").numbers) == ("2 11", "")


def test_a_tax_number_without_digits_is_none():
    assert [normal_tax_id(text) for text in ("000-00 0", "nl 84.5491104", "12")] == ["", "NL845491104", ""]


@pytest.mark.parametrize(
    "phone", ["8 000 250-98-79", "+7 (000) 250-98-79", "7000250-98-79", "+7 000 2509879 доб. 12", "0002509879, 55"]
)
def test_a_phone_is_one_with_and_without_prefix_and_extension(phone: str):
    assert normal_phone(phone) == "002509879"


def test_too_few_digits_or_one_digit_alone_are_no_phone():
    assert [normal_phone(text) for text in ("12345", "000 000 00 00", "Fax: 555 12 345")] == ["", "", "55512345"]


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("Info@Acme.example", "acme.example"),
        ("a@mail.acme.example; b@x.example", "acme.example"),
        ("a@shop.acme.co.uk", "acme.co.uk"),
        ("a@yahoo.co.uk", ""),
        ("a@gmail.com", ""),
        ("a@mail.ru", ""),
        ("none", ""),
    ],
)
def test_the_domain_is_the_companys_own(email: str, domain: str):
    assert own_domain(email) == domain


def test_the_first_address_of_a_cell_counts():
    assert normal_email("Ann <Ann@Acme.example>, b@x.example") == "ann@acme.example"


def test_the_words_of_an_address_may_stand_in_any_order():
    assert normal_address("92 Telecom Street, Portasol") == normal_address("PORTASOL, Telecom Street 92")
