from __future__ import annotations

import pytest

from crm_methods.company.guess_format import find_header, guess_encoding, guess_layout

RUSSIAN = (
    "Название компании;Стадия сделки;Ответственный\nООО «Ромашка»;Сделка успешна;Иванов Пётр\n"
    "ЗАО «Восток»;В работе;Смирнова Анна\n"
)
GERMAN = "Kundennummer;Straße;Größe\n4711;Königstraße 5;groß\n4712;Ärztehaus Süd;mäßig\n"


@pytest.mark.parametrize("encoding", ["cp1251", "cp866", "koi8-r", "utf-8", "utf-16", "iso8859-5"])
def test_encodings_of_one_russian_text_are_told_apart(encoding: str):
    assert guess_encoding(RUSSIAN.encode(encoding, "replace")) == (encoding, True)


@pytest.mark.parametrize("encoding", ["cp1251", "cp866", "koi8-r"])
def test_a_guessed_encoding_reads_the_text_back_even_where_it_is_in_capitals(encoding: str):
    text = RUSSIAN.upper().translate({ord("«"): '"', ord("»"): '"'})

    assert text.encode(encoding).decode(guess_encoding(text.encode(encoding))[0]) == text


def test_a_byte_order_mark_says_the_encoding():
    assert guess_encoding(b"\xef\xbb\xbf" + RUSSIAN.encode()) == ("utf-8", True)
    assert guess_encoding(RUSSIAN.encode("utf-16")) == ("utf-16", True)
    assert guess_encoding(RUSSIAN.encode("utf-16-le")) == ("utf-16-le", False)


def test_western_text_is_not_taken_for_cyrillic():
    assert guess_encoding(GERMAN.encode("cp1252")) == ("cp1252", True)
    assert guess_encoding("Société;Créé le\nCafé Élysée;été\n".encode("cp1252"))[0] == "cp1252"


def test_a_sample_that_ends_within_a_letter_is_still_utf_8():
    assert guess_encoding("Größe".encode()[:4]) == ("utf-8", True)


def test_plain_ascii_is_utf_8():
    assert guess_encoding(b"a,b\n1,2\n") == ("utf-8", True)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_what_divides_the_cells_is_found_and_quotes_hide_it(delimiter: str):
    rows = [["id", "name", "city"], *([str(n), f'"{delimiter} and more"', "Rome"] for n in range(5))]
    layout = guess_layout("\n".join(delimiter.join(row) for row in rows))

    assert (layout.delimiter, layout.quote, layout.header, layout.header_row, layout.width) == (delimiter, '"', True, 1, 3)


def test_a_decimal_comma_in_every_row_is_no_delimiter():
    text = "id;client;amount\n" + "".join(f"{n};K{n};1 054,0{n}\n" for n in range(9))

    assert guess_layout(text).delimiter == ";"


def test_runs_of_spaces_divide_where_nothing_else_does():
    layout = guess_layout(" 00004 0001 19970101  2   29.33\n 00004 0001 19970118  2   29.73\n 00005 0002 19970802  1   14.96\n")

    assert (layout.delimiter, layout.header, layout.width) == ("whitespace", False, 5)


def test_lines_above_the_header_are_passed_over():
    layout = guess_layout("Report of sales\nprinted 1.1.2024;;;\n\nNo;Client;Date;Amount\n1;A;2024-01-01;5\n2;B;2024-01-02;7\n")

    assert (layout.header, layout.header_row) == (True, 4)


def test_a_quote_that_never_begins_a_cell_is_no_quote():
    assert guess_layout('id,size\n1,5" pipe\n2,7" pipe\n').quote == ""
    assert guess_layout("id,name\n1,'a, b'\n2,'c, d'\n").quote == "'"


def test_a_first_row_that_looks_like_the_rest_is_no_header():
    assert find_header([["1", "2024-01-01"], ["2", "2024-01-02"]]) == (False, 0)
    assert find_header([["id", "on"], ["2", "2024-01-02"]]) == (True, 0)
    assert find_header([["id", "name"], ["x", "y"]]) == (True, 0)
    assert find_header([]) == (True, 0)
