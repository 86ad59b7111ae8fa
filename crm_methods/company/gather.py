"""The files that ``crm-methods new`` is given: found, and copied beside company.yml, where sources must lie."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crm_methods.errors import Faults, IntakeError, ParameterError, SettingsError

LINKED_FROM_BYTES = 256 << 20
_NO_SOURCES = frozenset({".yml", ".yaml", ".md", ".ipynb", ".bak"})
_NAME = re.compile(r"[^\W_][\w.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Given:
    """One source: the file to look into (None for a database), and the keys by which company.yml will find it."""

    label: str
    path: Path | None
    place: Mapping[str, Any]


def company_place(name: str, shelf: Path, *, force: bool) -> Path:
    """The folder of a new company; it need not be there yet.

    Raises
    ------
    SettingsError, ParameterError
        The name can't be a folder's, or the folder has a company.yml and ``force`` is false.
    """
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise ParameterError(f'found the name "{name}", expected letters, digits, "-", "_" and ".", such as acme_2025.')
    folder = shelf / name
    if (folder / "company.yml").exists() and not force:
        raise SettingsError(
            f"{folder / 'company.yml'}: found a company.yml already, expected none. "
            "Choose another name, or say --force: the old one is then kept as company.yml.bak."
        )
    return folder


def gather(given: Sequence[str], folder: Path, password_env: str | None) -> tuple[Given, ...]:
    """Every file behind the arguments: files, files of folders, ``package:name/path`` and database addresses.

    Raises
    ------
    IntakeError
        Arguments behind which there is nothing, or two files of one name; all of them together.
    """
    faults, found = Faults(), list[Given]()
    for argument in given:
        if argument.startswith("package:"):
            found += _in_package(argument.removeprefix("package:"), faults)
        elif "://" in argument:
            found += _database(argument, password_env, faults)
        else:
            found += _files(Path(argument), folder, faults)
    unique = {(str(g.path), g.label): g for g in found}
    by_name: dict[str, Given] = {}
    for each in unique.values():
        other = by_name.setdefault(str(each.place.get("file", each.label)).casefold(), each)
        if other is not each:
            faults.add(str(each.path), f"the name of {other.path} again", "each file under a name of its own", "Rename one.")
    if not given:
        faults.add("the command", "no file", "at least one file, folder, package: or database address")
    faults.raise_if_any(IntakeError, "These sources can't be used:")
    return tuple(unique.values())


def _files(path: Path, folder: Path, faults: Faults) -> Iterator[Given]:
    try:
        listed = _listed(path) if path.is_dir() else [path] if path.is_file() else []
    except OSError as error:
        faults.add(str(path), f"a folder that can't be opened ({error.strerror})", "a folder with files")
        return
    except ValueError:  # a NUL in the name
        listed = []
    if not listed:
        found = "a folder without files" if path.is_dir() else "no such file or folder"
        faults.add(repr(str(path))[1:-1], found, "a file, or a folder with files")
    for file in listed:
        inside = file.resolve().is_relative_to(folder.resolve())
        name = file.resolve().relative_to(folder.resolve()).as_posix() if inside else file.name
        yield Given(name, file, {"file": name})


def _listed(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if p.is_file() and not p.name.startswith((".", "~$")) and p.suffix.lower() not in _NO_SOURCES
    )


def _in_package(spec: str, faults: Faults) -> Iterator[Given]:
    package, _, inside = spec.partition("/")
    module = importlib.util.find_spec(package) if package.isidentifier() else None
    if module is None or not module.submodule_search_locations:
        faults.add(f"package:{spec}", "no installed package", "an installed one", f"Install {package}." if package else "")
        return
    root = Path(next(iter(module.submodule_search_locations))).resolve()
    path = (root / inside).resolve()
    if not path.is_relative_to(root) or not path.exists():
        faults.add(f"package:{spec}", f'no file "{inside}" in the package', "one of its data files")
        return
    for file in _listed(path) if path.is_dir() else [path]:
        if file.suffix != ".py":
            place = f"{package}/{file.relative_to(root).as_posix()}"
            yield Given(f"package:{place}" if path.is_file() else file.name, file, {"package": place})


def _database(url: str, password_env: str | None, faults: Faults) -> Iterator[Given]:
    import sqlalchemy as sa

    if password_env is not None and not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", password_env):
        faults.add("--password-env", "what is no variable's name", "the name of an environment variable, not the password itself")
        return
    try:
        address = sa.make_url(url)
    except sa.exc.ArgumentError:
        faults.add("database", "an address that can't be read", "one such as postgresql+pg8000://user@host:5432/name")
        return
    if address.password is not None or any("pass" in key.lower() or key.lower() == "pwd" for key in address.query):
        faults.add(
            f"database {address.set(query={}).render_as_string(hide_password=True)}", "a password in the address", "none",
            "Put it into an environment variable and name that with --password-env; it is then never written down.",
        )  # fmt: skip
        return
    shown = address.render_as_string(hide_password=True)
    yield Given(shown, None, {"database": shown, **({"password_env": password_env} if password_env else {})})


def bring(given: Iterable[Given], folder: Path) -> list[str]:
    """Copy the files that lie elsewhere into the company's folder; sentences of what was done are returned.

    Large files are linked where the disk can. A file of the same name and content that is there already is used.

    Raises
    ------
    IntakeError
        A file of the same name and other content is there; nothing is copied then.
    """
    faults, moves = Faults(), list[tuple[Path, Path]]()
    for each in given:
        if each.path is None or "file" not in each.place:
            continue
        target = folder / str(each.place["file"])
        if each.path.resolve() == target.resolve():
            continue
        if not target.exists():
            moves.append((each.path, target))
        elif not _same(each.path, target):
            faults.add(str(target), "another file of this name", "none", "Rename one of them; nothing is overwritten.")
    faults.raise_if_any(IntakeError, "These files can't be put beside company.yml:")
    for source, target in moves:
        _copy(source, target)
    return [f"Copied {source.name} to {folder}." for source, _ in moves]


def _same(one: Path, two: Path) -> bool:
    if one.stat().st_size != two.stat().st_size:
        return False
    with one.open("rb") as left, two.open("rb") as right:
        while block := left.read(1 << 20):
            if block != right.read(1 << 20):
                return False
    return True


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.stat().st_size >= LINKED_FROM_BYTES:
        try:
            os.link(source.resolve(), target)
        except OSError:  # another disk, or one without links
            pass
        else:
            return
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.copyfile(source, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
