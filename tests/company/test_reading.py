"""One source → one canonical table: presets, joined columns, constants, units, look-ups, and all faults at once."""

from __future__ import annotations

import pytest

from crm_methods.engine import collect
from crm_methods.errors import IntakeError

from .conftest import BringIn

DEALS = "deal_id,client_id,closed_on,amount\n1,a,2025-01-01,5\n"


def test_a_preset_maps_columns_words_and_units(bring: BringIn):
    deals = (
        "ID;Название;Стадия сделки;Компания;Сумма;Валюта;Дата начала;Дата завершения\n"
        "1;Поставка;Сделка успешна;ООО «Ромашка»;1\u00a0054,00;RUB;20.10.2024;01.03.2025\n"
        "2;Поставка;Сделка провалена;ООО «Ромашка»;0;RUB;20.10.2024;02.03.2025\n"
        "3;Поставка;В работе;;;RUB;20.10.2024;\n"
    )
    formats = {"encoding": "cp1251", "delimiter": ";", "decimal": ",", "thousands": " ", "date": "%d.%m.%Y"}
    data = bring({"d.csv": deals.encode("cp1251")}, {"deals": {"file": "d.csv", "preset": "bitrix24.deal"}},
                 currency="RUB", formats=formats)  # fmt: skip
    found = collect(data.scan("deals").sort("deal_id"))
    assert found["status"].tolist() == ["won", "lost", "open"]
    assert found["amount"].tolist()[:2] == [1054, 0]
    assert found["client_id"].tolist()[0] == "ООО «Ромашка»"


def test_columns_are_joined_and_constants_and_units_taken(bring: BringIn):
    calls = "id,acc,Vorname,Nachname,when,secs\n1,a,Ann,Lee,2025-01-01 10:00,90\n2,a,,Ek,2025-01-02 10:00,30\n"
    tables = {
        "interactions": {
            "file": "c.csv",
            "columns": {"interaction_id": "id", "client_id": "acc", "started_at": "when", "handling_minutes": "secs"},
            "constants": {"channel": "phone"},
            "units": {"handling_minutes": "seconds"},
        },
        "contact_persons": {"file": "c.csv", "columns": {"person_id": "id", "client_id": "acc", "name": ["Vorname", "Nachname"]}},
    }
    data = bring({"c.csv": calls}, tables)
    found = collect(data.scan("interactions").sort("interaction_id"))
    assert found["handling_minutes"].tolist() == [1.5, 0.5]
    assert found["channel"].tolist() == ["phone", "phone"]
    assert collect(data.scan("contact_persons").sort("person_id"))["name"].tolist() == ["Ann Lee", "Ek"]


def test_codes_are_spelt_out_by_another_file(bring: BringIn):
    files = {
        "deals.csv": "deal_id,client_id,closed_on,amount,emp\n1,a,2025-01-01,5, 7 \n2,a,2025-01-01,5,9\n3,a,2025-01-01,bad,8\n",
        "staff.csv": "EmployeeID,LastName\n7,Davolio\n8,Fuller\n8,Second\n",
    }
    lookup = {"owner": {"file": "staff.csv", "key": "EmployeeID", "value": "LastName", "by": "emp"}}
    data = bring(files, {"deals": {"file": "deals.csv", "lookup": lookup}})
    # A code that is not spelt out stays what it is, and no row is lost or doubled.
    assert collect(data.scan("deals").sort("deal_id"))["owner"].tolist() == ["Davolio", "9"]
    assert data.rejects["record"].tolist() == [4]
    assert data.totals["source_rows"].tolist() == [3]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"preset": "bitrix24.dael"}, 'Did you mean "bitrix24.deal"?'),
        ({"preset": "bitrix24.company"}, "which is of clients"),
        ({"columns": {"owner": ["client_id", "nobody"]}}, 'no column "nobody"'),
        ({"units": {"cost": "thousands"}}, "no such column in the file"),
        ({"lookup": {"owner": {"file": "codes.csv", "key": "kee", "value": "v", "by": "client_id"}}}, 'Did you mean "key"?'),
        ({"lookup": {"owner": {"file": "codes.csv", "key": "key", "value": "v"}}}, "`by` to name one of"),
    ],
)
def test_what_can_not_be_read_is_told_with_its_remedy(bring: BringIn, table: dict[str, object], told: str):
    with pytest.raises(IntakeError) as caught:
        bring({"deals.csv": DEALS, "codes.csv": "key,v\na,b\n"}, {"deals": {"file": "deals.csv", **table}})
    assert told in str(caught.value)


def test_a_signed_amount_is_read_where_the_sign_is_the_companys_or_a_column_says_it(bring: BringIn):
    amounts = '1,a,2025-01-01,"$84,835.00 "\n2,a,2025-01-01,(5.50)\n3,a,2025-01-01,€7\n'
    data = bring({"deals.csv": "deal_id,client_id,closed_on,amount\n" + amounts}, currency="USD", formats={"thousands": ","})
    assert collect(data.scan("deals").sort("deal_id"))["amount"].tolist() == [84835, -5.5]
    assert data.rejects["found"].tolist() == ["€7"]
