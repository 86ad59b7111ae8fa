from __future__ import annotations

from pathlib import Path

import pytest

from crm_methods.company.strict_yaml import Settings, read_yaml
from crm_methods.errors import SettingsError


class Pool(Settings):
    name: str
    cost: float | None = None


class Plan(Settings):
    title: str
    words: dict[str, str] = {}
    pools: list[Pool] = []


def load(folder: Path, text: str | bytes) -> Plan:
    path = folder / "plan.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path, Plan)


def fault(folder: Path, text: str | bytes) -> str:
    with pytest.raises(SettingsError) as stop:
        load(folder, text)
    return str(stop.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "found nothing, expected keys"),
        ("- a\n- b\n", "found a list, expected keys"),
        ("just text", "found text, expected keys"),
        ("title: [\n", "is not valid YAML"),
        ("title: A\n\twords: {}\n", "Indent with spaces"),
        ("title: 1\n---\ntitle: 2\n", "is not valid YAML"),
        ("? [a, b]\n: 1\n", "found a list or a block as a key"),
        ("title: &x {b: *x}\n", "can't be used"),
        (b"title: \xff\xfe\n", "not UTF-8"),
        ("title: !!python/object/apply:os.system [ls]\n", "is not valid YAML"),
    ],
)
def test_what_is_no_plain_mapping_is_refused(tmp_path: Path, text: str | bytes, part: str):
    assert part in fault(tmp_path, text)


def test_a_key_given_twice_is_a_fault_with_both_lines(tmp_path: Path):
    said = fault(tmp_path, "title: a\npools: [{name: x, name: y}]\ntitle: b\n")
    assert "plan.yml, line 3: title: found this key also on line 1, expected each key once" in said
    assert "plan.yml, line 2: name: found this key also on line 2" in said


def test_keys_are_text_as_written(tmp_path: Path):
    assert load(tmp_path, "title: a\nwords: {142: won, no: lost, 007: open, on: Datum}\n").words == {
        "142": "won",
        "no": "lost",
        "007": "open",
        "on": "Datum",
    }


def test_anchors_may_be_merged(tmp_path: Path):
    plan = load(tmp_path, "title: a\npools:\n  - &a {name: x, cost: 5}\n  - {<<: *a, name: y}\n")
    assert [(p.name, p.cost) for p in plan.pools] == [("x", 5), ("y", 5)]


def test_what_a_schema_cannot_see_is_noted_with_its_line_beside_what_it_sees(tmp_path: Path):
    path = tmp_path / "plan.yml"
    path.write_text("pools:\n  - {name: x}\n  - {name: x, cots: 3}\n")
    with pytest.raises(SettingsError) as stop:
        read_yaml(path, Plan, lambda raw, faults: faults.add("pools.1.name", "x", "another name"))
    assert str(stop.value).splitlines()[1:] == [
        "  - plan.yml: title: found nothing, expected a value. This key is required.",
        '  - plan.yml, line 3: pools.1.cots: found an unknown key, expected one of name, cost. Did you mean "cost"?',
        "  - plan.yml, line 3: pools.1.name: found x, expected another name.",
    ]
