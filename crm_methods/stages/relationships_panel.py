"""One programme's panel, with every estimate of what it caused. A room of stage 6."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.plans import Plan
from crm_methods.company.programmes_plan import Programmes
from crm_methods.company.settings import Company
from crm_methods.engine import collect, day_number, day_of, month_number, month_of, month_start
from crm_methods.errors import SettingsError, did_you_mean
from crm_methods.models import effects as models
from crm_methods.models.effects import Effect
from crm_methods.models.moved_base import moved_base
from crm_methods.models.panels import Panel, build_panel

MONTHS_BEFORE = 12
"""Months before the first joining that the panel begins with, where the data goes back so far."""
HISTORY_MONTHS = 3
"""Months before the panel in which its clients must have bought."""
ANTICIPATION_MONTHS = 3
PLACEBO_MONTHS = 6
KNOWN_MARGIN_SHARE = 0.95
"""Share of the won deals whose margin must be known for margin to be the outcome."""

QUESTION = "relationships.programme_effect"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProgrammeStudy:
    """One programme's panel with every estimate of its effect.

    Attributes
    ----------
    outcome
        ``margin`` or ``revenue``, per client and month.
    first_period
        Period of the panel in which the first member joined.
    estimates
        By name: ``naive``, ``before_after``, ``callaway_santanna``, ``callaway_santanna_anticipation``, ``imputation``
        and ``placebo``.
    member_months
        Months from joining to the end of the panel, the month of joining included, over *all* members (intention to treat:
        leaving does not end them).
    """

    programme_id: str
    programme: str
    outcome: str
    currency: str
    panel: Panel
    first_period: int
    estimates: dict[str, Effect]
    all_members: int
    member_months: int

    @property
    def period_noun(self) -> str:
        """What a period of the panel is called."""
        return "quarter" if self.panel.months_per_period == 3 else "month"

    @property
    def better(self) -> tuple[Effect, ...]:
        """The estimates by difference in differences; the first one leads, which was settled before looking."""
        return tuple(self.estimates[name] for name in ("callaway_santanna", "callaway_santanna_anticipation", "imputation"))

    @property
    def lead(self) -> Effect:
        """The estimate that speaks where all agree."""
        return self.better[0]

    @property
    def agrees(self) -> bool:
        """Whether the better estimates lie within one standard error of each other."""
        return models.agreement(self.better) is True

    @property
    def bracket(self) -> tuple[float, float]:
        """Lowest and highest end of the better estimates' intervals."""
        known = [(e.low, e.high) for e in self.better if e.low is not None and e.high is not None]
        return min(low for low, _ in known), max(high for _, high in known)

    @property
    def is_about_another_path(self) -> bool:
        """Whether the placebo date shows that members were on another path already."""
        fake = self.estimates["placebo"]
        return fake.low is not None and fake.high is not None and not fake.low <= 0 <= fake.high

    def money(self, value: float | None) -> str:
        """An amount of this study's currency."""
        return formats.money(value, self.currency)

    def span(self, low: float | None, high: float | None) -> str:
        """An interval of amounts."""
        return formats.interval(low, high, lambda value: formats.money(value, self.currency))

    def label(self, name: str) -> str:
        """An estimate in the reader's words."""
        if name == "callaway_santanna_anticipation":
            moved = ANTICIPATION_MONTHS // self.panel.months_per_period
            return f"The same, base period moved back by {formats.plural(moved, self.period_noun)}"
        return self.estimates[name].label


@answers(QUESTION)
def programme_study(data: Canonical, settings: Company, plan: Plan[Programmes]) -> ProgrammeStudy | Unanswered:
    """Build the panel of one programme and estimate its effect in every way.

    The programme is ``relationships.programme``, or the one with most members. The panel begins 12 months before the first
    joining where the data goes back so far, and holds the clients that had bought by then. The outcome is margin where it is
    known for nearly all won deals, else revenue.

    Raises
    ------
    SettingsError
        ``relationships.programme`` names a programme that has no member.
    """
    joinings = _joinings(data, settings)
    programme_id = _chosen(joinings, settings)
    if programme_id is None:
        return Unanswered(QUESTION, "nobody has joined a programme yet.", ("programme_members with joined_on",))
    joined = joinings[joinings["programme_id"] == programme_id]
    won = data.scan("deals").filter(nw.col("status") == "won", ~nw.col("closed_on").is_null())
    deals = _deals_by_month(won)
    months = 3 if settings.relationships.panel_period == "quarter" else 1
    end = _last_whole_month(settings.as_of)
    first = _first_month(deals, int(joined["month"].min()), months)
    if first is None:
        needed = formats.plural(HISTORY_MONTHS + months, "month")
        reason = f"deals of less than {needed} before the first joining are known."
        return Unanswered(QUESTION, reason, ("deals of earlier years",))
    outcome = _outcome(deals[deals["month"].between(first, month_of(end))])
    panel = build_panel(
        won,
        data.scan("programme_members").filter(
            nw.col("programme_id") == programme_id, day_number("joined_on") <= day_of(settings.as_of)
        ),
        start=month_start(first),
        end=end,
        outcome="amount" if outcome == "revenue" else outcome,
        months_per_period=months,
    )
    lead = models.callaway_santanna(panel)
    if not lead.is_enough:
        reason = f"{lead.note}."
        return Unanswered(QUESTION, reason, ("more members and non-members that bought before the programme began",))
    since = (month_of(end) - joined["month"] + 1).clip(lower=0) * joined["members"]
    return ProgrammeStudy(
        programme_id=programme_id,
        programme=plan.content.of(programme_id).name,
        outcome=outcome,
        currency=settings.currency,
        panel=panel,
        first_period=int(panel.joining[panel.joining > 0].min()),
        estimates={
            "naive": models.naive_comparison(panel),
            "before_after": models.before_after(panel),
            "callaway_santanna": lead,
            "callaway_santanna_anticipation": moved_base(panel, ANTICIPATION_MONTHS // months),
            "imputation": models.imputation(panel),
            "placebo": models.placebo(panel, periods_earlier=PLACEBO_MONTHS // months),
        },
        all_members=int(joined["members"].sum()),
        member_months=int(since.sum()),
    )


def _joinings(data: Canonical, settings: Company) -> pd.DataFrame:
    """Members by programme and month of joining (``month_number``), up to the as-of day."""
    joined = data.scan("programme_members").filter(
        ~nw.col("joined_on").is_null(), day_number("joined_on") <= day_of(settings.as_of)
    )
    by_month = joined.select("programme_id", month=month_number("joined_on")).group_by("programme_id", "month")
    return collect(by_month.agg(nw.len().alias("members")))


def _chosen(joinings: pd.DataFrame, settings: Company) -> str | None:
    if joinings.empty:
        return None
    counts = joinings.groupby("programme_id")["members"].sum().reset_index()
    names = counts.sort_values(["members", "programme_id"], ascending=[False, True])["programme_id"].tolist()
    asked = settings.relationships.programme
    if asked is not None and asked not in names:
        expected = f"expected a programme that somebody joined: {', '.join(names)}"
        raise SettingsError(f'relationships.programme: found "{asked}", {expected}. {did_you_mean(asked, names)}'.rstrip())
    return asked or str(names[0])


def _deals_by_month(won: nw.LazyFrame[Any]) -> pd.DataFrame:
    """Won deals by month (``month_number``), and how many of them have a margin."""
    known = nw.when(nw.col("margin").is_null()).then(nw.lit(0)).otherwise(nw.lit(1))
    by_month = won.select(month=month_number("closed_on"), known=known).group_by("month")
    return collect(by_month.agg(nw.len().alias("deals"), nw.col("known").sum()))


def _first_month(deals: pd.DataFrame, first_joined: int, months_per_period: int) -> int | None:
    """First month of the panel: up to 12 before the first joining, in whole periods; None with too short a history."""
    if deals.empty:
        return None
    usable = min(MONTHS_BEFORE, first_joined - int(deals["month"].min()) - HISTORY_MONTHS)
    before = usable // months_per_period * months_per_period
    return first_joined - before if before > 0 else None


def _outcome(deals: pd.DataFrame) -> str:
    return "margin" if deals["known"].sum() >= KNOWN_MARGIN_SHARE * max(1, deals["deals"].sum()) else "revenue"


def _last_whole_month(as_of: dt.date) -> dt.date:
    moment = pd.Timestamp(as_of)
    last = moment if moment.is_month_end else moment - pd.offsets.MonthEnd(1)
    return dt.date(last.year, last.month, last.day)
