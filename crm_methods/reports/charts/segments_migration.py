"""Figures of stage 2 on clients that change cell."""

from __future__ import annotations

import math

import pandas as pd

from crm_methods import formats
from crm_methods.company.vocabulary import segment_label
from crm_methods.reports.charts.house import Chart
from crm_methods.reports.charts.matrices import heat_map
from crm_methods.stages.segments_migration import FEWEST, Migration


def migration(answer: Migration, currency: str) -> Chart | None:
    """Clients by former and present cell; None where nobody was active in either period."""
    table = answer.moves
    if table.empty:
        return None
    origins = list(dict.fromkeys(table["previous_segment"]))
    # Columns come in the order of the rows, so that who stayed stands on the diagonal.
    present = set(table["segment"])
    targets = [cell for cell in origins if cell in present]
    targets += [cell for cell in dict.fromkeys(table["segment"]) if cell not in targets and cell != "gone"]
    targets += ["gone"] if "gone" in present else []
    counts = table.pivot_table(index="previous_segment", columns="segment", values="clients", aggfunc="sum")
    grid = counts.reindex(index=origins, columns=targets).reset_index()
    grid = grid.assign(previous_segment=[segment_label(str(cell)) for cell in grid["previous_segment"]])
    benchmark = answer.benchmark
    return heat_map(
        pd.DataFrame(grid),
        row="previous_segment",
        columns=targets,
        form=formats.number,
        labels={cell: segment_label(cell) for cell in targets},
        title=_title(answer),
        alt=f"Table of former against present cells: {formats.number(benchmark.moved_clients)} of "
        f"{formats.plural(benchmark.both_clients, 'client')} of both periods are off the diagonal.",
        x_axis="Present cell",
        y_axis="Former cell",
        note="Clients by former and present cell; those that stayed stand on the diagonal.",
    )


def _title(answer: Migration) -> str:
    benchmark = answer.benchmark
    if math.isnan(benchmark.share):
        return "No client was active in both periods"
    moved = f"{formats.share(benchmark.share)} of clients changed cell"
    if math.isnan(benchmark.chance_share) or benchmark.both_clients < FEWEST:
        return moved
    return f"{moved}; with nothing changed {formats.interval(benchmark.low, benchmark.high, formats.share)} would"
