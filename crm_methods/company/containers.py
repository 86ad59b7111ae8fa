"""What kind a file is, by its first bytes and its name, and how it is laid open: unpacked, under a name DuckDB can take."""

from __future__ import annotations

import gzip
import json
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path

from crm_methods.errors import IntakeError

WORKBOOKS = frozenset({".xlsx", ".xlsm"})
OTHER_WORKBOOKS = frozenset({".xls", ".ods", ".xlsb"})
_TOLD = 200
_KINDS: Mapping[bytes, tuple[str, frozenset[str], str]] = {
    b"PK": ("a zip archive or an Excel workbook", WORKBOOKS, "Unpack it, or name it .xlsx if it is a workbook."),
    b"\x1f\x8b": ("a file packed by gzip", frozenset(), "Name it .gz, or unpack it."),
    b"SQLite format 3\0": ("a SQLite database", frozenset(), "Name it .sqlite, and say its `table`."),
    b"PAR1": ("a Parquet file", frozenset({".parquet"}), "Name it .parquet."),
    b"\xd0\xcf\x11\xe0": (
        "an old Excel workbook, or one with a password", frozenset(), "Save it as .xlsx, without a password."
    ),
    b"%PDF": ("a PDF document", frozenset(), "Export the table as CSV or Excel."),
    b"<!doctype html": ("a web page", frozenset(), "Export the table as CSV or Excel."),
    b"<html": ("a web page", frozenset(), "Export the table as CSV or Excel."),
}  # fmt: skip
"""First bytes, in lower case where they are text: what they tell, the endings that may have them, and the remedy."""
_BOUND: Mapping[str, bytes] = {".xlsx": b"PK", ".xlsm": b"PK", ".parquet": b"PAR1"}
"""Endings that promise certain first bytes."""
_TEXT_BYTES = frozenset(range(0x20, 0x7F)) | set(b"\t\r\n") | set(range(0x80, 0x100))


def expect_kind(path: Path) -> None:
    """Refuse a file whose first bytes are those of another kind than its name says.

    Raises
    ------
    IntakeError
        What the file is instead, and how it is to be named or saved.
    """
    kind = path.suffix.lower()
    if kind in OTHER_WORKBOOKS:
        raise IntakeError(f"{path.name}: found a workbook of the kind {kind}, expected .xlsx. Save it as .xlsx.")
    with path.open("rb") as file:
        head = file.read(16)
    for magic, (what, endings, remedy) in _KINDS.items():
        if kind not in endings and _begins(head, magic):
            raise IntakeError(f"{path.name}: found {what}, expected what its name says ({kind or 'text'}). {remedy}")
    if kind in _BOUND and not head.startswith(_BOUND[kind]):
        what = " but a text" if set(head) <= _TEXT_BYTES else ""
        remedy = "If it is a table as text, name it .csv; else export it again."
        named = "not an Excel workbook" if kind in WORKBOOKS else "not Parquet"
        raise IntakeError(f"{path.name}: found something that is {named}{what}, expected what its name says ({kind}). {remedy}")


def _begins(head: bytes, magic: bytes) -> bool:
    if magic == b"PK":  # which a text may begin with; a zip archive goes on with one of three marks
        return head[:2] == magic and head[2:4] in {b"\x03\x04", b"\x05\x06", b"\x07\x08"}
    return head.lstrip().lower().startswith(magic.lower())


def unpacked(path: Path, scratch: Path) -> Path:
    """The content of a file packed by gzip, under its own name.

    Raises
    ------
    IntakeError
        The file is damaged, is not packed by gzip, or nothing is in it.
    """
    inside = scratch / f"{zlib.crc32(str(path).encode()):08x}" / path.stem
    inside.parent.mkdir(exist_ok=True)
    try:
        with gzip.open(path, "rb") as packed, inside.open("wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise IntakeError(f"{path.name}: found a damaged gzip file ({told(error)}). Copy or export it again.") from None
    if inside.stat().st_size == 0:
        raise IntakeError(f"{path.name}: found an empty file in it (0 bytes), expected a header and rows. Export it again.")
    return inside


def without_wildcards(path: Path, scratch: Path) -> Path:
    """The file under a name in which DuckDB sees no pattern."""
    if not set("*?[") & set(str(path)):
        return path
    alias = scratch / f"alias_{zlib.crc32(str(path).encode())}{path.suffix}"
    if not alias.exists():
        alias.symlink_to(path.resolve())
    return alias


def told(error: BaseException) -> str:
    """What a library says of a fault, in one line."""
    text = str(error)
    if text.startswith("{"):
        text = str(json.loads(text).get("exception_message", text))
    return (text.strip().splitlines() or [type(error).__name__])[0][:_TOLD]
