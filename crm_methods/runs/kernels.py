"""Kernels of this interpreter, one of them always warming up ahead, and notebooks executed in them.

A fresh kernel needs seconds for its imports. The next stage's kernel is therefore started
while a stage is at work, so that it waits with the kit's modules loaded and nothing else:
every stage still has a process of its own.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from traitlets import default

from crm_methods.errors import CrmError

START_TIMEOUT_SECONDS = 180
CELL_TIMEOUT_SECONDS = 4 * 3600
_LOADED_AHEAD = "import crm_methods.runs.artefacts as _kit, crm_methods.reports.charts.house as _house"
_ENGINE = "crm-methods"
_HEADING = re.compile(r"^#+\s+(.+?)\s*$", re.MULTILINE)


class OwnKernel(AsyncKernelManager):
    """A kernel of the interpreter that runs the kit, whatever kernels the user has installed under its name."""

    @default("kernel_spec_manager")
    def _native_only(self) -> KernelSpecManager:
        return KernelSpecManager(parent=self.parent, kernel_dirs=[], ensure_native_kernel=True)


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """A started kernel."""

    manager: OwnKernel

    def stop(self) -> None:
        """End the process at once; what a stage keeps, it has written by then."""
        if self.manager.has_kernel:
            run_sync(self.manager.shutdown_kernel)(now=True)
        run_sync(self.manager.cleanup_resources)()


class Kernels:
    """Hands out fresh kernels, and keeps at most one warming up.

    Parameters
    ----------
    folder
        The working directory of the kernels.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: Kernel | None = None

    def __enter__(self) -> Kernels:
        return self

    def __exit__(self, *_: object) -> None:
        if self._waiting is not None:
            self._waiting.stop()

    def warm(self) -> None:
        """Start the next kernel in the background, if none is waiting."""
        self._waiting = self._waiting or self._start()

    def take(self) -> Kernel:
        """The kernel that is waiting, or a new one."""
        taken, self._waiting = self._waiting or self._start(), None
        return taken

    def _start(self) -> Kernel:
        manager = OwnKernel(kernel_name="python3")
        # Encrypted where this version can: it also keeps other users of the machine out of the kernel.
        if manager.has_trait("transport_encryption"):
            manager.set_trait("transport_encryption", "required")
        arguments = ["--HistoryManager.hist_file=:memory:", f"--IPKernelApp.exec_lines={_LOADED_AHEAD}"]
        start = run_sync(manager.start_kernel)
        # What a cell prints comes by message; what a kernel prints beside that would tear the progress bar.
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        start(cwd=str(self._folder), env=_environment(), extra_arguments=arguments, **silent)
        return Kernel(manager)


@dataclass(slots=True)
class Position:
    """Which cell of a notebook is at work: its number as Jupyter shows it, and the heading above it."""

    number: int = 0
    question: str = ""

    def __str__(self) -> str:
        return f"cell [{self.number}]{f' ({self.question})' if self.question else ''}" if self.number else "before its first cell"


def execute(
    notebook: Path, executed: Path, parameters: Mapping[str, Any], kernel: Kernel, position: Position, asks: Callable[[str], None]
) -> None:
    """Execute a notebook with papermill in a kernel that is already started, and stop the kernel.

    Parameters
    ----------
    notebook, executed
        The source, and where it goes with its outputs; after a failure that file holds what there is.
    parameters
        Values for the notebook's parameters cell; the caller has checked their names.
    kernel
        Used once.
    position
        Follows the cells.
    asks
        Told of each heading the notebook comes to.

    Raises
    ------
    Exception
        Whatever papermill and its client raise: a cell's error, a dead kernel, a cell out of time.
    """
    import papermill  # slow to import, and the first kernel warms up meanwhile
    from papermill.engines import papermill_engines

    papermill_engines.register(_ENGINE, _engine())
    # papermill can't read `int | None` in a parameters cell and would call every name unknown.
    logging.getLogger("papermill").addFilter(_is_no_unknown_parameter)

    def follow(cell: Any, cell_index: int, cells: list[Any]) -> None:
        if cell.cell_type == "code" and cell.source.strip():
            position.number += 1
        heading = question_above(cells, cell_index)
        if heading != position.question:
            position.question = heading
            asks(heading)

    papermill.execute_notebook(
        _literal(notebook), _literal(executed), parameters=dict(parameters), engine_name=_ENGINE, kernel_name="python3",
        language="python", progress_bar=False, start_timeout=START_TIMEOUT_SECONDS, execution_timeout=CELL_TIMEOUT_SECONDS,
        autosave_cell_every=0, kernel=kernel, follow=follow,
    )  # fmt: skip


def question_above(cells: list[Any], index: int) -> str:
    """The heading nearest above a cell; empty where there is none."""
    headings = (_HEADING.findall(cell.source) for cell in cells[index::-1] if cell.cell_type == "markdown")
    return next((found[-1] for found in headings if found), "")


def load_ahead() -> None:
    """Import what executing a notebook needs, while the first kernel warms up."""
    import papermill.engines  # noqa: F401


def _engine() -> Any:
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine

    class WarmEngine(NBClientEngine):  # type: ignore[misc]  # papermill has no types
        """papermill's own engine, but for the kernel, which is already there."""

        @classmethod
        def execute_managed_notebook(
            cls, nb_man: Any, kernel_name: str, *, kernel: Kernel, follow: Callable[..., None], execution_timeout: int,
            start_timeout: int, **_: Any,
        ) -> Any:  # fmt: skip
            client = PapermillNotebookClient(
                nb_man, km=kernel.manager, kernel_name=kernel_name, timeout=execution_timeout, startup_timeout=start_timeout,
                # A machine that is busy elsewhere may be late with the outputs of a cell that is done.
                iopub_timeout=120, shutdown_kernel="immediate",
                on_cell_start=lambda cell, cell_index: follow(cell, cell_index, nb_man.nb.cells),
            )  # fmt: skip
            return client.execute(cleanup_kc=True)

    return WarmEngine


def _is_no_unknown_parameter(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Passed unknown parameter")


def _literal(path: Path) -> str:
    """A path in which papermill finds no placeholders."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _environment() -> dict[str, str]:
    """The user's environment, with bytecode on, one thread for small matrices, and the same hashes in every run."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**threads, "PYDEVD_DISABLE_FILE_VALIDATION": "1", **kept, "PYTHONHASHSEED": "0"}


def cause_of(error: Exception) -> tuple[str, str]:
    """What went wrong in a notebook, and what to do about it."""
    name, text = str(getattr(error, "ename", type(error).__name__)), str(getattr(error, "evalue", error)).strip()
    if name in _OWN_ERRORS:
        return text, "Mend that and run again: finished stages are kept."
    if name == "DeadKernelError" or "kernel died" in text.lower():
        return "The kernel died.", (
            "Most often it ran out of memory: lower `engine: {memory_limit: …}` in company.yml "
            "or close other programs, and run again."
        )
    if name == "CellTimeoutError":
        return (
            f"The cell did not finish within {CELL_TIMEOUT_SECONDS // 3600} hours.",
            "Narrow the data or the settings, and run again.",
        )
    shown = " ".join(text.split())
    cause = f"{name}: {shown[:400]}{'…' if len(shown) > 400 else ''}" if shown else name
    if name == "ModuleNotFoundError":
        return cause, "Install what is missing, and run again."
    return cause, (
        "The kit does not foresee this case; the notebook kept has the whole trace. Running again continues with this stage."
    )


_OWN_ERRORS = frozenset({CrmError.__name__, *(kind.__name__ for kind in CrmError.__subclasses__())})
