from __future__ import annotations

import json
from pathlib import Path

import pytest

from crm_methods.company.contracts import TABLES
from crm_methods.company.presets import (
    OTHERWISE,
    best_preset,
    expand,
    fold,
    mapped_columns,
    preset_names,
    read_presets,
    table_of,
)
from crm_methods.company.settings import Source
from crm_methods.errors import SettingsError

FIELDS = Path(__file__).resolve().parents[3] / "shared" / "data" / "crm_export_fields.json"
BITRIX = ("ID", "Название", "Стадия сделки", "Компания", "Сумма", "Валюта", "Ответственный", "Дата начала", "Дата завершения")


def source(**entries: object) -> Source:
    return Source.model_validate({"file": "deals.csv", **entries})


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_fills_a_canonical_table_and_knows_each_required_column(name: str):
    table = TABLES[table_of(name)]
    mapped = set(expand(name, source(), []).constants) | set(mapped_columns(name, _every_title(name)))
    spare = {"deals": {"amount"}}.get(table.name, set())

    assert set(table.required) - mapped - spare == set()


def _every_title(name: str) -> list[str]:
    from crm_methods.company.presets import _preset

    choices = [choice for column in _preset(name)[0].columns.values() for choice in column]
    return [part for choice in choices for part in ([choice] if isinstance(choice, str) else choice)]


def test_titles_are_found_in_any_case_and_spelling_and_named_as_the_file_names_them():
    for titles in (("AccountId", "StageName", "Id"), ("account_id", "stage_name", "id"), ("ACCOUNT ID", "Stage  Name", "ID")):
        expanded = expand("salesforce.opportunity", source(), titles)

        assert (expanded.columns["client_id"], expanded.columns["status"], expanded.columns["deal_id"]) == titles


def test_the_first_title_that_is_there_wins():
    both = expand("salesforce.opportunity", source(), ["Account Name", "Account ID", "Opportunity ID"])

    assert both.columns["client_id"] == "Account ID"


def test_columns_that_the_file_has_not_are_left_out():
    expanded = expand("bitrix24.deal", source(), ["ID", "Компания"])

    assert expanded.columns == {"deal_id": "ID", "client_id": "Компания"}
    assert expanded.values == {}


def test_own_entries_win_over_the_preset():
    own = source(columns={"client_id": "Партнёр"}, values={"status": {"В работе": "lost"}}, constants={"currency": "RUB"})
    expanded = expand("bitrix24.deal", own, [*BITRIX, "Партнёр"])

    assert expanded.columns["client_id"] == "Партнёр"
    assert expanded.values["status"]["В работе"] == "lost"
    assert expanded.values["status"]["Сделка успешна"] == "won"
    assert "currency" not in expanded.columns
    assert expanded.constants == {"currency": "RUB"}


def test_the_source_that_was_handed_in_is_untouched():
    own = source(columns={"client_id": "Компания"})
    before = own.model_dump()
    expand("bitrix24.deal", own, BITRIX)

    assert own.model_dump() == before


@pytest.mark.parametrize(
    ("name", "title", "word", "meant"),
    [
        ("salesforce.opportunity", "StageName", "Closed Won", "won"),
        ("salesforce.opportunity", "IsWon", "true", "won"),
        ("hubspot.deal", "dealstage", "closedlost", "lost"),
        ("hubspot.deal", "property_dealstage", "closedwon", "won"),
        ("bitrix24.deal", "STAGE_SEMANTIC_ID", "F", "lost"),
        ("bitrix24.deal", "STAGE_ID", "C7:WON", "won"),
        ("bitrix24.deal", "Стадия сделки", "Сделка провалена", "lost"),
        ("amocrm.lead", "status_id", "142", "won"),
        ("amocrm.lead", "Этап сделки", "Закрыто и не реализовано", "lost"),
    ],
)
def test_words_for_won_and_lost_are_known_and_any_other_stage_is_open(name: str, title: str, word: str, meant: str):
    words = expand(name, source(), [title]).values["status"]

    assert words[word] == meant
    assert words[OTHERWISE] == "open"


def test_a_unit_comes_with_the_title_that_was_taken():
    seconds = expand("salesforce.task", source(), ["Id", "CallDurationInSeconds"])
    minutes = expand("salesforce.event", source(), ["Id", "DurationInMinutes"])

    assert seconds.units == {"handling_minutes": "seconds"}
    assert minutes.units == {}


def test_a_constant_gives_way_to_a_column():
    without = expand("salesforce.event", source(), ["Id", "Subject"])
    with_type = expand("salesforce.event", source(), ["Id", "Type"])

    assert without.constants["channel"] == "visit"
    assert with_type.columns["channel"] == "Type"
    assert "channel" not in with_type.constants


def test_parts_of_a_name_are_joined_in_the_given_order():
    expanded = expand("bitrix24.contact", source(), ["Имя", "Отчество", "Фамилия"])

    assert expanded.columns["name"] == ["Фамилия", "Имя", "Отчество"]


def test_an_unknown_preset_is_told_with_the_nearest_one():
    for call in (lambda: table_of("salesforce.oportunity"), lambda: expand("salesforce.oportunity", source(), [])):
        with pytest.raises(SettingsError, match=r'Did you mean "salesforce\.opportunity"'):
            call()


def test_files_of_a_system_are_known_by_their_signs_and_others_are_not():
    assert best_preset(BITRIX) == "bitrix24.deal"
    assert best_preset(["Id", "Name", "Amount"]) is None
    assert best_preset([]) is None


@pytest.mark.skipif(not FIELDS.exists(), reason="shared/data is absent")
def test_field_lists_of_real_systems_are_recognised_as_what_they_are():
    systems = json.loads(FIELDS.read_text(encoding="utf-8"))
    found = {}
    for system, objects in systems.items():
        for name, fields in objects.items():
            titles = list(fields.values()) if isinstance(fields, dict) else list(fields)
            codes = list(fields)
            found[f"{system.split()[0]}.{name}"] = {best_preset(titles), best_preset(codes)}

    assert found["salesforce.opportunity"] == {"salesforce.opportunity"}
    assert found["salesforce.opportunity_line_item"] == {"salesforce.opportunity_line_item"}
    assert found["salesforce.account"] == {"salesforce.account"}
    assert found["salesforce.task"] == {"salesforce.task"}
    assert found["salesforce.event"] == {"salesforce.event"}
    assert found["zendesk.ticket"] == {"zendesk.ticket"}
    assert found["zendesk.user"] == {"zendesk.user"}
    assert found["bitrix24.deal"] == {"bitrix24.deal"}
    assert found["bitrix24.company"] == {"bitrix24.company"}
    assert found["bitrix24.contact"] == {"bitrix24.contact"}


def test_a_wrong_preset_file_tells_all_its_faults(tmp_path: Path):
    (tmp_path / "odd.yml").write_text(
        "system: Odd\npresets:\n  deal:\n    table: deals\n    signs: [a]\n    columns: {amout: [Sum]}\n"
        "    values: {status: {Won: wonn}}\n  client:\n    table: client\n    signs: [a]\n    columns: {}\n    typo: 1\n"
    )
    with pytest.raises(SettingsError) as stop:
        read_presets(tmp_path)
    for part in ("amout", '"amount"', "wonn", '"client"', "typo"):
        assert part in str(stop.value)


def test_folding_forgets_case_spaces_and_marks_only():
    assert fold("Кол-во сотрудников") == fold("КОЛ ВО_сотрудников")
    assert fold("Amount") != fold("Amounts")


def test_a_joined_title_needs_its_first_part():
    street = mapped_columns("salesforce.account", ["Account Name", "Billing Street", "Billing Country"])
    country = mapped_columns("salesforce.account", ["Account Name", "Billing Country"])

    assert street["address"] == ["Billing Street", "Billing Country"]
    assert "address" not in country


def test_numbered_rows_take_no_identifier_from_the_preset():
    assert "deal_id" not in expand("salesforce.opportunity", source(generate="row"), ["Opportunity Name", "Stage"]).columns


def test_the_ordinary_kind_of_a_deal_is_not_a_new_client():
    assert expand("bitrix24.deal", source(), ["ID", "Тип"]).values["kind"]["Продажа"] != "new"
