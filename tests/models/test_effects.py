import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crm_methods.models import effects
from crm_methods.models.panels import Panel

TRUTH = 5.3


def panel_of(outcome, first_treat):
    clients, periods = outcome.shape
    frame = pd.DataFrame(
        {
            "client_id": np.repeat([f"c{i:04d}" for i in range(clients)], periods),
            "period": np.tile(np.arange(1, periods + 1), clients),
            "outcome": outcome.ravel(),
            "first_treat": np.repeat(first_treat, periods),
        }
    )
    months = pd.DataFrame({"period": range(1, periods + 1), "month": pd.date_range("2024-01-01", periods=periods, freq="MS")})
    return Panel(frame=frame, periods=months)


def programme(rng, clients=200, periods=18, truth=TRUTH, waves=(9, 11, 13)):
    """Larger clients join more often, in waves; everyone grows by .5 a month."""
    size = rng.normal(60, 15, clients)
    joins = rng.random(clients) < 1 / (1 + np.exp(-(size - 62) / 8))
    first = np.where(joins, rng.choice(waves, clients), 0)
    month = np.arange(1, periods + 1)
    noise = rng.normal(0, 12, (clients, periods))
    effect = truth * ((first[:, None] > 0) & (month >= first[:, None]))
    return panel_of(size[:, None] + 0.5 * month + noise + effect, first)


def covers(effect, truth=TRUTH):
    return effect.low <= truth <= effect.high


def test_difference_in_differences_holds_the_truth_and_the_naive_answers_do_not():
    """60 bases, seed 5: a share passes when its exact binomial 99 % interval reaches .95."""
    rng = np.random.default_rng(5)
    held = dict.fromkeys(("naive", "before_after", "callaway_santanna", "imputation"), 0)
    biases = {name: [] for name in held}
    for _ in range(60):
        panel = programme(rng)
        for effect in (
            effects.naive_comparison(panel), effects.before_after(panel),
            effects.callaway_santanna(panel), effects.imputation(panel),
        ):  # fmt: skip
            held[effect.method] += covers(effect)
            biases[effect.method].append(effect.effect - TRUTH)
    reach = {name: stats.binomtest(int(count), 60).proportion_ci(0.99).high for name, count in held.items()}
    assert reach["callaway_santanna"] >= 0.95
    assert reach["imputation"] >= 0.95
    assert reach["naive"] < 0.95
    assert np.mean(biases["naive"]) > 10
    assert np.mean(biases["before_after"]) > 2


def test_the_difference_in_differences_of_one_wave_is_the_difference_of_differences():
    rng = np.random.default_rng(2)
    panel = programme(rng, clients=40, periods=2, waves=(2,))
    wide = panel.frame.pivot_table(index="client_id", columns="period", values="outcome")
    change, joined = wide[2] - wide[1], panel.joining > 0
    by_hand = change[joined].mean() - change[~joined].mean()
    assert effects.callaway_santanna(panel).effect == pytest.approx(by_hand)
    assert effects.imputation(panel).effect == pytest.approx(by_hand)


def test_the_naive_comparison_is_welchs_where_everybody_joins_at_once():
    panel = programme(np.random.default_rng(2), waves=(9,))
    means = panel.frame[panel.frame["period"] >= 9].groupby("client_id")["outcome"].mean()
    joined = panel.joining > 0
    expected = stats.ttest_ind(means[joined], means[~joined], equal_var=False).confidence_interval(0.95)
    naive = effects.naive_comparison(panel)
    assert (naive.low, naive.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("estimate", [effects.naive_comparison, effects.callaway_santanna, effects.imputation])
def test_neither_unit_nor_order_of_rows_matters_and_the_input_is_untouched(estimate):
    panel = programme(np.random.default_rng(3), clients=60)
    before = panel.frame.copy()
    plain = estimate(panel)
    other = Panel(
        frame=panel.frame.assign(outcome=panel.frame["outcome"] * 1000).sample(frac=1, random_state=1), periods=panel.periods
    )
    scaled = estimate(other)
    assert (scaled.effect, scaled.low, scaled.high) == pytest.approx((plain.effect * 1000, plain.low * 1000, plain.high * 1000))
    pd.testing.assert_frame_equal(panel.frame, before)


def test_the_smallest_effect_to_be_seen_is_2_8_standard_errors():
    effect = effects.callaway_santanna(programme(np.random.default_rng(3)))
    assert effect.minimum_detectable == pytest.approx(2.8 * effect.standard_error, rel=0.001)


def test_a_placebo_before_joining_finds_nothing_and_a_trend_of_the_members_is_seen():
    fair = programme(np.random.default_rng(8))
    joined = fair.frame["first_treat"] > 0
    drifting = Panel(
        frame=fair.frame.assign(outcome=fair.frame["outcome"] + joined * 3.0 * fair.frame["period"]), periods=fair.periods
    )
    assert covers(effects.placebo(fair, periods_earlier=4), 0)
    found = effects.placebo(drifting, periods_earlier=4)
    assert found.method == "placebo"
    assert found.low > 0


def test_a_placebo_without_room_before_joining_says_so():
    assert not effects.placebo(programme(np.random.default_rng(8)), periods_earlier=12).is_enough


def test_the_event_study_is_flat_before_and_lifted_after():
    study = effects.event_study(programme(np.random.default_rng(4), clients=600)).set_index("periods_since_joining")
    before, after = study[study["is_before"]], study[~study["is_before"]]
    assert study.loc[-1, "effect"] == 0
    assert after["effect"].mean() == pytest.approx(TRUTH, abs=2)
    assert (before.drop(index=-1)["low"] <= 0).mean() > 0.8


def test_a_covariate_takes_away_a_trend_that_hangs_on_it():
    rng = np.random.default_rng(12)
    panel = programme(rng, clients=400)
    large = rng.random(400) < np.where(panel.joining > 0, 0.8, 0.2)
    frame = panel.frame.assign(large=np.repeat(large.astype(float), 18))
    trend = Panel(frame=frame.assign(outcome=frame["outcome"] + 2.0 * frame["large"] * frame["period"]), periods=panel.periods)
    assert not covers(effects.callaway_santanna(trend))
    assert covers(effects.callaway_santanna(trend, covariates=["large"]))


NOTHING = panel_of(np.zeros((30, 6)), np.repeat([0, 3], 15))
FEW = panel_of(np.random.default_rng(1).normal(size=(30, 6)), np.r_[np.zeros(27), [3, 3, 4]].astype(int))
NOBODY = panel_of(np.random.default_rng(1).normal(size=(30, 6)), np.zeros(30, dtype=int))
ALL = panel_of(np.random.default_rng(1).normal(size=(30, 6)), np.full(30, 3))
AT_ONCE = panel_of(np.random.default_rng(1).normal(size=(30, 6)), np.repeat([0, 1], 15))
EMPTY = Panel(frame=NOTHING.frame.iloc[:0], periods=NOTHING.periods)


@pytest.mark.parametrize(
    "panel", [NOTHING, FEW, NOBODY, ALL, EMPTY], ids=["constant outcome", "few members", "no member", "all members", "empty"]
)
@pytest.mark.parametrize(
    "estimate", [effects.naive_comparison, effects.before_after, effects.callaway_santanna, effects.imputation, effects.placebo]
)
def test_where_nothing_can_be_compared_there_is_a_reason_and_no_number(panel, estimate):
    effect = estimate(panel)
    assert not effect.is_enough
    assert effect.note
    assert effect.minimum_detectable is None


def test_members_from_the_first_period_on_have_no_before():
    assert not effects.callaway_santanna(AT_ONCE).is_enough
    assert effects.event_study(AT_ONCE).empty


def test_estimates_stand_side_by_side_and_their_disagreement_is_seen():
    panel = programme(np.random.default_rng(3))
    both = [effects.callaway_santanna(panel), effects.imputation(panel)]
    table = effects.effects_table([effects.naive_comparison(panel), *both, effects.imputation(NOBODY)])
    assert table["effect"].isna().tolist() == [False, False, False, True]
    assert table.loc[0, "method"] == "Members against non-members"
    assert effects.agreement(both) is True
    assert effects.agreement([effects.naive_comparison(panel), *both]) is False
    assert effects.agreement([both[0], effects.imputation(NOBODY)]) is None


def test_the_imputation_equals_pyfixests():
    """Oracle: the same panel by pyfixest's did2s, whose point estimate is the imputation estimator's."""
    did = pytest.importorskip("pyfixest.did.estimation")
    panel = programme(np.random.default_rng(3), clients=80)
    data = panel.frame.assign(
        unit=pd.factorize(panel.frame["client_id"])[0],
        treated=(panel.frame["first_treat"].gt(0) & panel.frame["period"].ge(panel.frame["first_treat"])).astype(int),
    )
    oracle = did.did2s(
        data, yname="outcome", first_stage="~0 | unit + period", second_stage="~treated", treatment="treated", cluster="unit"
    )
    assert effects.imputation(panel).effect == pytest.approx(float(oracle.coef().iloc[-1]), abs=5e-6)
