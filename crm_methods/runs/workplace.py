"""Where a run works and where it publishes, and the lock that keeps two runs of a company apart."""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crm_methods.company.vocabulary import STAGES
from crm_methods.errors import StageError
from crm_methods.runs.artefacts import PROJECT, reports_root

_PUBLISHING = ".publishing-"
_REPLACED = ".replaced-"


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folders of one company's run as of one day.

    Every path is built from the name of the company's folder and the as-of day, never
    from anything inside the company's data.
    """

    root: Path
    as_of: dt.date

    @property
    def hidden(self) -> Path:
        """Holds what is not for readers: work folders, the lock, a report on its way in or out."""
        return self.root / ".work"

    @property
    def work(self) -> Path:
        """The work folder that all stages of the run share."""
        return self.hidden / self.as_of.isoformat()

    @property
    def published(self) -> Path:
        """The finished report."""
        return self.root / self.as_of.isoformat()

    def facts(self, stage: str) -> Path:
        """The stage.json of a stage."""
        return self.work / "stages" / f"{stage}.json"

    def record(self, stage: str) -> Path:
        """What the runner notes of a stage it has executed."""
        return self.work / "executions" / f"{stage}.json"

    def notebook(self, stage: str, kind: str = "") -> Path:
        """A stage's executed notebook; ``kind`` is empty, ``failed`` or ``partial``."""
        return self.work / "notebooks" / f"{STAGES[stage].notebook}{f'.{kind}' if kind else ''}.ipynb"

    def new_report(self) -> Path:
        """An empty folder in which this process assembles a report."""
        folder = self.hidden / f"{_PUBLISHING}{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def swap_in(self, report: Path) -> None:
        """Put a whole report in the place of the last one; whatever interrupts this, one of them stands there."""
        replaced = self.hidden / f"{_REPLACED}{self.as_of.isoformat()}"
        try:
            if self.published.exists():
                self.published.rename(replaced)
            report.rename(self.published)
        finally:
            self.tidy()

    def tidy(self) -> None:
        """Put back a report that an interrupted run had set aside, and remove what such a run left behind."""
        for folder in self.hidden.glob(f"{_REPLACED}*"):
            home = self.root / folder.name.removeprefix(_REPLACED)
            if home.exists():
                shutil.rmtree(folder)
            else:
                folder.rename(home)
        for folder in self.hidden.glob(f"{_PUBLISHING}*"):
            shutil.rmtree(folder)


def workplace(company_folder: Path, as_of: dt.date, reports: Path | None = None) -> Workplace:
    """The workplace of a company, below ``reports`` or where runs are published by default."""
    if not company_folder.name:
        raise StageError(f"{company_folder}: found a root folder, expected a company's folder. Move its files into one.")
    return Workplace((reports.resolve() if reports else reports_root()) / company_folder.name, as_of)


def relative(path: Path) -> str:
    """A path as short as the reader's place in the file system allows."""
    for base in (Path.cwd(), PROJECT):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return str(path)


@contextmanager
def locked(place: Workplace) -> Iterator[None]:
    """Hold the company's lock; a run that ends without having written anything leaves no folder behind.

    The lock is the operating system's, so that it ends with the process that holds it and
    can't outlive a crash.

    Raises
    ------
    StageError
        Another process is running this company.
    """
    missing = [folder for folder in (place.hidden, *place.hidden.parents) if not folder.exists()]
    try:
        place.hidden.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StageError(
            f"{relative(place.root)}: found a place where no folder can be made ({error.strerror}), expected one for reports. "
            "Choose another with --reports."
        ) from None
    path = place.hidden / "lock"
    handle = _acquire(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)
        for folder in missing:
            if not any(folder.iterdir()):
                folder.rmdir()


def _acquire(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(handle, 32).decode("ascii", "replace").strip()
            os.close(handle)
            raise StageError(
                f"Another run of {path.parent.parent.name} is at work{f' (process {holder})' if holder else ''}. "
                "Wait until it has finished, or stop it first."
            ) from None
        # The last holder may have removed the file between opening and locking it.
        if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
            os.truncate(handle, 0)
            os.write(handle, str(os.getpid()).encode("ascii"))
            return handle
        os.close(handle)
