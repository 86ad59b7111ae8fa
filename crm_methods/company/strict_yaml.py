"""Strict reading of YAML files that people edit: every fault at once, with its line and the nearest spelling."""

from __future__ import annotations

import datetime as dt
import re
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from crm_methods.errors import Faults, SettingsError, did_you_mean


class Settings(BaseModel):
    """Base of every model read from a user's YAML: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class _Loader(yaml.SafeLoader):
    """A safe loader without YAML's traps.

    Keys are always text, as they are written: ``on``, ``yes`` and ``142`` too. An impossible date stays text, so that
    it is reported like any other wrong value.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        self.flatten_mapping(node)
        return {
            key.value if isinstance(key, yaml.ScalarNode) else self.construct_object(key, deep=True): self.construct_object(
                value, deep=deep
            )
            for key, value in node.value
        }


def _date_or_text(loader: _Loader, node: yaml.ScalarNode) -> Any:
    try:
        return yaml.SafeLoader.construct_yaml_timestamp(loader, node)
    except ValueError:
        return node.value


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _date_or_text)


def load_plain(text: str) -> Any:
    """The content of a YAML text with every key as it is written, not yet checked.

    Raises
    ------
    yaml.YAMLError, TypeError, RecursionError
        The text is no YAML, or holds keys that are no texts.
    """
    return yaml.load(text, Loader=_Loader)


ModelT = typing.TypeVar("ModelT", bound=Settings)


def read_yaml(path: Path, model: type[ModelT], also: Callable[[Mapping[str, Any], Faults], None] | None = None) -> ModelT:
    """Read a YAML file into a strict model, safely; all faults are raised together as a SettingsError.

    ``also`` notes what a schema can't see; it is given the raw keys, so that it speaks even when the schema does.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = load_plain(text)
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: found bytes that are not UTF-8 at {error.start}. Save it as UTF-8.") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not valid YAML: {_yaml_fault(error)}") from None
    except (TypeError, RecursionError):
        raise SettingsError(f"{path}: found a list or a block as a key, or one that holds itself, expected plain keys.") from None
    except OSError as error:
        raise SettingsError(f"{path}: found a file that can't be opened ({error.strerror}).") from None
    if not isinstance(raw, dict):
        raise SettingsError(f"{path}: found {kind_of(raw)}, expected keys with values, such as `key: value`.")
    faults = Faults()
    _note_repeated_keys(faults, path, root, set())
    read: ModelT | None = None
    try:
        read = model.model_validate(raw)
    except ValidationError as error:
        _add_faults(faults, path, model, root, error)
    if also is not None:
        unseen = Faults()
        also(raw, unseen)
        for fault in unseen.items:
            location = tuple(int(part) if part.isdigit() else part for part in fault.where.split("."))
            faults.add(_where(path, root, location), fault.found, fault.expected, fault.remedy)
    faults.raise_if_any(SettingsError, f"{path} can't be used as it is:")
    return typing.cast(ModelT, read)


def _yaml_fault(error: yaml.YAMLError) -> str:
    text = " ".join(str(error).split())
    remedy = " Indent with spaces; YAML knows no tabs." if "'\\t'" in text else ""
    return f"{text}.{remedy}"


def _note_repeated_keys(faults: Faults, path: Path, node: Any, seen: set[int]) -> None:
    """YAML takes the last of two equal keys without a word."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                line = key.start_mark.line + 1
                if key.value in lines:
                    faults.add(
                        f"{path.name}, line {line}: {key.value}", f"this key also on line {lines[key.value]}", "each key once"
                    )
                lines.setdefault(key.value, line)
            _note_repeated_keys(faults, path, value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _note_repeated_keys(faults, path, value, seen)


def _where(path: Path, root: Any, location: tuple[Any, ...]) -> str:
    line = _line_of(root, location)
    return f"{path.name}{f', line {line}' if line else ''}: {'.'.join(map(str, location)).removesuffix('.[key]')}"


def _add_faults(faults: Faults, path: Path, model: type[Settings], root: Any, error: ValidationError) -> None:
    """Note each fault once; the branches of a union are one fault with several expectations."""
    wrong: dict[str, tuple[Any, list[str]]] = {}
    for item in error.errors(include_url=False):
        location = tuple(part for part in item["loc"] if not _is_union_branch(part))
        where = _where(path, root, location)
        if item["type"] == "extra_forbidden":
            options = _fields_at(model, location[:-1])
            faults.add(where, "an unknown key", f"one of {', '.join(options)}", did_you_mean(str(location[-1]), options))
        elif item["type"] == "missing":
            faults.add(where, "nothing", "a value", "This key is required.")
        else:
            wrong.setdefault(where, (item["input"], []))[1].append(expectation(item))
    for where, (value, expectations) in wrong.items():
        wanted = " or ".join(dict.fromkeys(expectations))
        faults.add(where, shown(value), wanted, _remedy(value, wanted))


def expectation(item: Mapping[str, Any]) -> str:
    """What a key's value should have been, from one entry of pydantic's errors."""
    message = str(item["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    if item["type"] == "string_pattern_mismatch":
        return _PATTERNS.get(item["ctx"]["pattern"], message)
    return _EXPECTED.get(item["type"], message)


_EXPECTED = {
    "string_type": "text", "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "bool_type": "true or false", "list_type": "a list", "dict_type": "a block of keys", "model_type": "a block of keys",
    "date_type": "a date such as 2025-12-31", "too_short": "at least one",
}  # fmt: skip
_PATTERNS = {
    r"^\d+(\.\d+)?\s?[KMGT]i?B$": "an amount of memory such as 4GB or 512MB",
    r"^[a-z][a-z0-9_]*$": "a name of small letters, digits and _ that begins with a letter",
    "^[A-Z]{3}$": "a currency as three capital letters, such as EUR",
}


def _remedy(value: Any, wanted: str) -> str:
    if "text" in wanted.split(" or ") and isinstance(value, bool | int | float | dt.date):
        return "Put it in quotes."
    if isinstance(value, str) and "number" in wanted:
        return "Write digits only, with a point for decimals and without quotes; 1e3 is text in YAML, 1000 is a number."
    return did_you_mean(value, re.findall(r"'([^']+)'", wanted)) if isinstance(value, str) else ""


def shown(value: Any) -> str:
    """A wrong value as a fault shows it, with the kind that YAML took it for."""
    text = str(value) if isinstance(value, dt.date) else repr(value)
    return f"{text if len(text) <= 80 else f'{text[:77]}…'} ({kind_of(value)})"


def _is_union_branch(part: Any) -> bool:
    return isinstance(part, str) and (
        part.startswith(("literal[", "constrained-", "function-")) or part in {"float", "str", "int"}
    )


def _fields_at(model: type[Settings], location: tuple[Any, ...]) -> tuple[str, ...]:
    """Names of the keys that may stand at a location; places in lists and mappings do not count."""
    current: type[BaseModel] = model
    for part in location:
        field = current.model_fields.get(str(part))
        current = (_model_in(field.annotation) or current) if field else current
    return tuple(current.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The settings model inside list[...], dict[...], X | None; None when there is none."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for arg in typing.get_args(annotation) if (found := _model_in(arg)) is not None), None)


def _line_of(node: Any, location: tuple[Any, ...]) -> int | None:
    line: int | None = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def kind_of(value: Any) -> str:
    """The kind of a value in a reader's words."""
    names = {
        str: "text", bool: "yes/no", int: "a whole number", float: "a number", list: "a list", dict: "a block of keys",
        dt.date: "a date", dt.datetime: "a date with a time",
    }  # fmt: skip
    return "nothing" if value is None else names.get(type(value), type(value).__name__)
