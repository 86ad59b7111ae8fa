"""docs/company_yml.md names every key that company.yml may have."""

from __future__ import annotations

from pathlib import Path

from crm_methods.company.settings import Company, Formats, Settings, Source
from crm_methods.engine import EngineSettings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "company_yml.md").read_text(encoding="utf-8")


def test_every_key_of_company_yml_is_explained():
    keys = []
    for name, field in Company.model_fields.items():
        room = field.annotation
        if isinstance(room, type) and issubclass(room, Settings | EngineSettings) and room is not Formats:
            keys += [f"`{name}.{key}`" for key in room.model_fields]
        else:
            keys.append(f"`{name}`")

    assert [key for key in keys if key not in PAGE] == []


def test_every_key_of_a_source_is_explained():
    keys = [f"`{key}`" for key in (*Source.model_fields, *Formats.model_fields)]

    assert [key for key in keys if key not in PAGE] == []
