"""A PostgreSQL server of the tests' own: started on a free port of this machine, and gone with them."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD = "analyst", "a secret: /@%"


def _programs() -> Path:
    found = (
        [Path(which).resolve().parent] if (which := shutil.which("pg_ctl")) else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    )
    found = [folder for folder in found if (folder / "initdb").exists()]
    if not found:
        pytest.skip("PostgreSQL's server is not installed")
    pytest.importorskip("pg8000")
    return found[-1]


def _as_server(command: list[str]) -> list[str]:
    """PostgreSQL does not run as root."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


@contextmanager
def postgres() -> Iterator[str]:
    """The address of a fresh, empty database, without its password."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="crm_postgres_"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secret = folder / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    data, log = str(folder / "data"), str(folder / "log")
    make = [str(programs / "initdb"), "-D", data, "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "-N"]
    control = [str(programs / "pg_ctl"), "-D", data, "-l", log, "-w"]
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c fsync=off -c unix_socket_directories={folder}"
    try:
        _run(_as_server(make))
        _run(_as_server([*control, "-o", options, "start"]))
        yield f"postgresql+pg8000://{USER}@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run(_as_server([*control, "-m", "immediate", "stop"]), capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, cwd="/")
    assert done.returncode == 0, f"{getpass.getuser()}: {done.stderr[-500:]}"
