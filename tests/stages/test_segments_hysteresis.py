"""Hysteresis: next to a cut a client stays where it was."""

from __future__ import annotations

from crm_methods.engine import collect
from crm_methods.stages import segments_matrix
from tests.conftest import MakeCompany
from tests.stages.two_years import placed, two_years

SIZES = {f"c{i:02}": 100.0 * 1.3**i for i in range(11)}


def test_a_client_that_crossed_a_cut_by_little_stays_in_its_former_cell(make_company: MakeCompany):
    years = {client: ([size], [size]) for client, size in SIZES.items()}
    # By the cut both went up; c04 is just above it, c09 far above.
    years |= {"c04": ([280.0], [400.0]), "c09": ([100.0], [1_060.0])}
    found = placed(two_years(make_company, years, segments={"revenue_cut": 371.0}))
    cells = collect(found.matrix.cells).set_index("client_id")

    assert cells.loc["c04", ["segment_by_cut", "segment", "previous_segment"]].tolist() == [
        "high_unknown", "low_unknown", "low_unknown",
    ]  # fmt: skip
    assert cells.loc["c09", ["segment_by_cut", "segment", "previous_segment"]].tolist() == [
        "high_unknown", "high_unknown", "low_unknown",
    ]  # fmt: skip
    assert cells.loc["c04", "revenue_level"] == "low"
    assert found.matrix.held_clients == 1
    assert "1 client within 0.35 standard deviations of a cut is where it was before" in found.matrix.sentence

    data, settings, economics, _, periods = found.asked
    off = settings.model_copy(update={"segments": settings.segments.model_copy(update={"hysteresis": 0.0})})
    by_cut = segments_matrix.matrix(data, off, economics, None, periods)
    assert isinstance(by_cut, segments_matrix.Matrix)
    plain = collect(by_cut.cells)
    assert by_cut.held_clients == 0
    assert (plain["segment"] == plain["segment_by_cut"]).all()
    assert "where" not in by_cut.sentence.split("can't be told apart")[-1]
