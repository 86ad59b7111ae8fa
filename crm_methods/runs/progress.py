"""What a run says while it works: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Any, Protocol, TextIO

from crm_methods.company.vocabulary import STAGES, StageInfo


class Progress(Protocol):
    """Hears of each stage as it begins, asks its questions, and ends."""

    def begins(self, stage: StageInfo) -> None:
        """A stage begins."""

    def asks(self, question: str) -> None:
        """The stage turns to a question."""

    def ends(self, stage: StageInfo, seconds: float) -> None:
        """The stage is done."""

    def skips(self, stage: StageInfo) -> None:
        """The stage is fresh and not repeated."""

    def says(self, text: str) -> None:
        """Something that belongs to no stage."""

    def close(self) -> None:
        """The run is over, whatever became of it."""


class Lines:
    """Plain lines, one per stage, for logs."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._open = False

    def begins(self, stage: StageInfo) -> None:
        """Write the stage's title; its seconds follow on the same line."""
        self._write(f"{stage.number}/{len(STAGES)} {stage.title} … ")
        self._open = True

    def asks(self, question: str) -> None:
        """Questions would make a log of several lines per stage."""

    def ends(self, stage: StageInfo, seconds: float) -> None:
        """Finish the stage's line."""
        self._open = False
        self._write(f"{seconds:.1f} s\n")

    def skips(self, stage: StageInfo) -> None:
        """Say that the stage is fresh."""
        self._write(f"{stage.number}/{len(STAGES)} {stage.title} … fresh, not repeated\n")

    def says(self, text: str) -> None:
        """Write a line of its own."""
        self.close()
        self._write(f"{text}\n")

    def close(self) -> None:
        """End a line that an error has cut short."""
        if self._open:
            self._open = False
            self._write("\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


class Bar:
    """A bar over the stages with the current question, and a line per stage that is done."""

    def __init__(self, out: TextIO, stages: int) -> None:
        # brings half of tqdm's widgets, which a log does not need
        from tqdm import tqdm

        self._bar: Any = tqdm(total=stages, file=out, unit="stage", leave=False, bar_format="{desc} |{bar:20}| {elapsed}")

    def begins(self, stage: StageInfo) -> None:
        """Show the stage's title."""
        self._title = f"{stage.number}/{len(STAGES)} {stage.title}"
        self._bar.set_description_str(self._title)

    def asks(self, question: str) -> None:
        """Show the question beside the title."""
        self._bar.set_description_str(f"{self._title}: {question[:60]}")

    def ends(self, stage: StageInfo, seconds: float) -> None:
        """Leave a line for the stage and move the bar on."""
        self._bar.write(f"{stage.number}/{len(STAGES)} {stage.title}  {seconds:.1f} s", file=self._bar.fp)
        self._bar.update()

    def skips(self, stage: StageInfo) -> None:
        """Leave a line for the stage and move the bar on."""
        self._bar.write(f"{stage.number}/{len(STAGES)} {stage.title}  fresh, not repeated", file=self._bar.fp)
        self._bar.update()

    def says(self, text: str) -> None:
        """Leave a line above the bar."""
        self._bar.write(text, file=self._bar.fp)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


def progress_on(stages: int, out: TextIO | None = None) -> Progress:
    """A bar if ``out`` (the error stream by default) is a terminal, else plain lines."""
    stream = out or sys.stderr
    return Bar(stream, stages) if stream.isatty() else Lines(stream)
