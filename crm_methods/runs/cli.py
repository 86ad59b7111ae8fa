"""The command ``crm-methods``: describe a company's files, check them, run the six stages, see what is fresh, open the report."""

from __future__ import annotations

import argparse
import datetime as dt
import errno
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from crm_methods.errors import CrmError, ParameterError, did_you_mean

INTERRUPTED = 130
_COMMANDS = ("new", "check", "run", "status", "open")
# What the user's disk refuses; any other OSError is a fault of the kit and shows its trace.
_REFUSALS = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
)
_EXAMPLES = """examples:
  crm-methods new acme ~/exports/*.csv           a draft of data/acme/company.yml from the files themselves
  crm-methods check acme                         all that is wrong with settings and files, without running
  crm-methods run data/meridian
  crm-methods run meridian --set segments.horizon_months=24 --set contacts.budget=60000
  crm-methods run meridian --stages 3,5
  crm-methods status meridian
"""


class _Parser(argparse.ArgumentParser):
    """Faults of the command line are told like all others, with the nearest spelling."""

    def error(self, message: str) -> NoReturn:
        # What a command does not know is told by the parser above it.
        below = [action.choices.values() for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        parsers = [self, *(parser for parsers in below for parser in parsers)]
        options = [option for parser in parsers for action in parser._actions for option in action.option_strings]
        words = message.rsplit(": ", 1)[-1].split() if "unrecognized" in message else []
        proposals = [proposal for word in words if (proposal := did_you_mean(word.partition("=")[0], options))]
        raise ParameterError(f"{' '.join([f'{message[:1].upper()}{message[1:]}.', *proposals])} See {self.prog} --help.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 not done and said why, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run_command(given)
    except CrmError as error:
        print(_printable(str(error)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # The notebook's client is cut off in mid-cell; what asyncio has to say of that is of no use to the user.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        print("stopped; nothing half-written", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output (head, less) has gone; what was left to say is not wanted.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        where = f"{error.filename}: found a place" if error.filename else "Found a disk"
        remedy = "Make room" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "Choose another folder or change its permissions"
        text = f"{where} that can't be written or read ({error.strerror}). {remedy}, and run again; the last report is unchanged."
        print(_printable(text), file=sys.stderr)
        return 1


def command() -> NoReturn:
    """``main`` as a process of its own: it ends with the exit status, and at once where the user stopped it.

    A thread of the notebook's client may then still wait for an answer of a kernel that is gone, and would keep the process.
    """
    status = main()
    if status == INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _run_command(given: Sequence[str]) -> int:
    parser = _parser()
    if not given:
        parser.print_help()
        return 0
    first = given[0]
    if not first.startswith("-") and first not in _COMMANDS:
        listed = f"expected one of {', '.join(_COMMANDS)}."
        raise ParameterError(f"{first}: found an unknown command, {listed} {did_you_mean(first, _COMMANDS)}".rstrip())
    options = parser.parse_args(given)
    if options.command == "new":
        return _new(options)
    if options.command == "check":
        return _check(options)
    reports = Path(options.reports) if options.reports else None
    if options.command == "run":
        return _run(options, reports)
    return _status(options, reports) if options.command == "status" else _open(options, reports)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="crm-methods",
        description="Takes a B2B company through the six stages of CRM technology, from its files to six reports and an index.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    new = commands.add_parser("new", help="write a draft of company.yml from a company's files", allow_abbrev=False)
    new.add_argument("name", metavar="NAME", help="the company's new folder in data/")
    new.add_argument(
        "sources", metavar="FILE", nargs="+",
        help="a file, a folder, the SQLAlchemy address of a database, or package:<package>/<path>",
    )  # fmt: skip
    new.add_argument("--into", metavar="DIR", help="where the company's folder is made (default: data/)")
    new.add_argument("--password-env", metavar="NAME", help="the environment variable that holds a database's password")
    new.add_argument("--force", action="store_true", help="replace a company.yml that is there; it is kept as company.yml.bak")
    check = commands.add_parser(
        "check", help="say all that is wrong with settings and files, without running", allow_abbrev=False
    )
    run = commands.add_parser("run", help="run the stages that are not fresh, and publish the report", allow_abbrev=False)
    status = commands.add_parser("status", help="say which stages are fresh, and why the others are not", allow_abbrev=False)
    show = commands.add_parser("open", help="open the last published report in the browser", allow_abbrev=False)
    for command in (check, run, status, show):
        command.add_argument("company", metavar="DIR", help="the company's folder, or its name in data/")
    for command in (run, status, show):
        command.add_argument("--reports", metavar="DIR", help="where reports are published (default: reports/)")
    for command in (run, status):
        command.add_argument("--notebooks", metavar="DIR", help="the notebooks of the stages (default: the kit's)")
        command.add_argument(
            "--set", metavar="stage.knob=value", action="append", default=[], dest="assignments",
            help="a parameter of a stage's notebook, for this run; may be repeated",
        )  # fmt: skip
    run.add_argument("--stages", metavar="3,5", help="only these stages, by number or name")
    run.add_argument("--force", action="store_true", help="repeat fresh stages too")
    return parser


def _new(options: argparse.Namespace) -> int:
    from crm_methods.company.draft import draft_company
    from crm_methods.runs.artefacts import PROJECT
    from crm_methods.runs.workplace import relative

    shelf = Path(options.into) if options.into else PROJECT / "data"
    draft = draft_company(options.name, options.sources, shelf, force=options.force, password_env=options.password_env)
    for sentence in draft.sentences:
        _say(sentence)
    if draft.questions:
        _say(f"To decide in {relative(draft.path)}:")
        for question in draft.questions:
            _say(f"  ? {question}")
    _say(f"Next: crm-methods check {relative(draft.path.parent)}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from crm_methods.runs.check import check
    from crm_methods.runs.request import company_folder

    found = check(company_folder(options.company))
    for line in found.lines:
        _say(line)
    for fault in found.faults:
        print(_printable(fault), file=sys.stderr)
    if not found.faults:
        _say(f"Nothing stands in the way of: crm-methods run {options.company}")
    return 1 if found.faults else 0


def _run(options: argparse.Namespace, reports: Path | None) -> int:
    # Each command brings its own imports, so that --help and `open` answer at once.
    from crm_methods.runs.request import company_folder, read_request
    from crm_methods.runs.runner import run
    from crm_methods.runs.workplace import relative

    folder = company_folder(options.company)
    request = read_request(folder, options.assignments, options.stages)
    result = run(request, force=options.force, reports=reports, notebooks=_notebooks(options))
    if result.index is None:
        _say("Not published, because these stages are not fresh:")
        for state in result.open:
            _say(f"  {state.stage}: {state.condition}{f' ({state.why})' if state.why else ''}")
        _say(f"Finish and publish with: crm-methods run {options.company}")
        # A part of the cycle was asked for and done; a whole run that does not publish must not pass for success.
        return 0 if options.stages else 1
    if not result.executed:
        _say("Every stage is fresh; --force repeats them.")
    _say(f"Report: {relative(result.index)}")
    return 0


def _status(options: argparse.Namespace, reports: Path | None) -> int:
    from crm_methods.company.vocabulary import STAGES
    from crm_methods.runs.request import company_folder, read_request
    from crm_methods.runs.runner import last_published, status
    from crm_methods.runs.workplace import relative

    folder = company_folder(options.company)
    request = read_request(folder, options.assignments)
    _, states = status(request, reports=reports, notebooks=_notebooks(options))
    _say(f"{request.settings.company}, as of {request.settings.as_of}")
    for state in states:
        info = STAGES[state.stage]
        _say(f"  {info.number} {info.title:<36} {state.condition:<8} {state.why}".rstrip())
    index = last_published(folder, reports)
    if index is None:
        _say("Nothing published yet.")
    else:
        moment = dt.datetime.fromtimestamp(index.stat().st_mtime).astimezone()
        _say(f"Published: {relative(index)} ({moment:%Y-%m-%d %H:%M})")
    return 0


def _notebooks(options: argparse.Namespace) -> Path:
    from crm_methods.runs.runner import NOTEBOOKS

    return Path(options.notebooks) if options.notebooks else NOTEBOOKS


def _open(options: argparse.Namespace, reports: Path | None) -> int:
    import webbrowser

    from crm_methods.runs.request import company_folder
    from crm_methods.runs.runner import last_published

    folder = company_folder(options.company)
    index = last_published(folder, reports)
    if index is None:
        raise CrmError(f"Nothing has been published for {folder.name} yet. Run it first: crm-methods run {options.company}")
    _say(str(index))
    webbrowser.open(index.as_uri())
    return 0


def _say(text: str) -> None:
    print(_printable(text))


def _printable(text: str) -> str:
    """Text without control characters: what a client's file holds must not steer the terminal."""
    return re.sub(r"[^\S\n ]|[\x00-\x09\x0b-\x1f\x7f-\x9f]", " ", text)


if __name__ == "__main__":
    command()
