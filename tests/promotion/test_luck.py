"""Which looks count and what level they leave, against a brute-force count over random ledgers."""

from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dosvotos.market.calendar import scheduled_sessions
from dosvotos.promotion.gate_policy import packaged_policy
from dosvotos.promotion.luck import Luck, count_looks, judge_luck, level_of, questions_of, untouched_from

FLOORS = packaged_policy().evidence
START = date(2025, 7, 1)
SESSIONS = scheduled_sessions(START, START + timedelta(days=700))


class Row(NamedTuple):
    """A look as the ledger has it."""

    model_hash: str
    window_start: date
    window_end: date
    daily_returns: dict[str, float] | None = None
    feed: str = "market"


def row(model: str, first: int, n_sessions: int, series: np.ndarray | None = None) -> Row:
    window = SESSIONS[first : first + n_sessions]
    stored = None if series is None else dict(zip(window.astype(str).tolist(), series.tolist(), strict=True))
    return Row(model, window[0].astype(object), window[-1].astype(object), stored)


def noise(seed: int, n_sessions: int = 145, mean: float = 0.0) -> np.ndarray:
    draws = np.random.default_rng(seed).normal(0, 0.005, n_sessions)
    return draws - draws.mean() + mean


def judge(
    series: np.ndarray, *earlier: Row, prior_trials: int = 0, first: int = 0, model: str = "own"
) -> Luck:
    own = row(model, first, len(series))
    days = SESSIONS[first : first + len(series)].astype(str)
    return judge_luck(pd.Series(series, index=days), own, earlier, prior_trials, FLOORS)


def codes(luck: Luck) -> list[str]:
    return [reason.code for reason in (*luck.not_excluded, *luck.for_a_person)]


LEDGERS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(0, 300), st.integers(1, 120)), min_size=1, max_size=25
)


@given(LEDGERS, st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_looks_and_models_are_those_of_a_count_session_by_session(looks, prior_trials: int):
    *earlier, own = [row(*look) for look in looks]
    own_sessions = set(range(looks[-1][1], looks[-1][1] + looks[-1][2]))
    related, models = 0, {own.model_hash}
    for model, first, n_sessions in looks[:-1]:
        shares = bool(own_sessions & set(range(first, first + n_sessions)))
        related += shares or model == own.model_hash
        models |= {model} if shares else set()
    found = count_looks(own, earlier, prior_trials)
    assert found == (related + 1 + prior_trials, len(models) + prior_trials)


@given(LEDGERS, st.integers(0, 24))
@settings(max_examples=40, deadline=None)
def test_a_later_look_never_changes_an_older_verdict(looks, index: int):
    rows = [row(*look) for look in looks]
    own = rows[min(index, len(rows) - 1)]
    before = rows[: rows.index(own)]
    assert count_looks(own, rows[: len(before)], 0) == count_looks(own, before, 0)
    floors = FLOORS
    until, after = questions_of(rows[: len(before) + 1], floors), questions_of(rows, floors)
    assert until.asked <= after.asked and until.expected_false_votes <= after.expected_false_votes + 1e-12


def test_the_level_is_a_twentieth_once_and_then_two_percent_by_looks_times_models():
    assert level_of(count_looks(row("own", 0, 10), [], 0), FLOORS) == 0.05
    second = count_looks(row("own", 0, 10), [row("own", 0, 5)], 0)
    assert (second, level_of(second, FLOORS)) == ((2, 1), 0.01)
    fourth = count_looks(row("own", 0, 10), [row(m, 0, 5) for m in "aab"], 0)
    assert (fourth, level_of(fourth, FLOORS)) == ((4, 3), 0.02 / 12)


def test_a_model_seen_elsewhere_counts_as_a_look_but_not_as_a_rival():
    assert count_looks(row("own", 100, 10), [row("own", 0, 5), row("b", 0, 5)], 0) == (2, 1)


@given(st.integers(0, 500), st.floats(-0.0005, 0.0015))
@settings(max_examples=25, deadline=None)
def test_luck_is_excluded_exactly_at_the_level(seed: int, mean: float):
    first, second = judge(noise(seed, mean=mean)), judge(noise(seed, mean=mean), row("b", 0, 20))
    assert bool(first.not_excluded) == (first.p_value > 0.05)
    assert bool(second.not_excluded) == (second.p_value > 0.02 / 4) and second.family is None


def test_a_sibling_with_a_series_calls_for_spa_and_a_star_beside_it_for_stepm():
    strong = noise(1, mean=0.0015)
    assert judge(strong, row("b", 0, 145, noise(2))).family.in_superior_set
    star = judge(strong, row("b", 0, 145, noise(2, mean=0.006)))
    assert star.family.spa_p_value <= 0.05
    assert codes(judge(noise(1), row("b", 0, 145, noise(2)))) == ["luck_p_value"]


def test_spas_p_value_is_never_zero_and_lost_series_raise_it():
    strong = noise(1, mean=0.003)
    few = judge(strong, row("b", 0, 145, noise(2)))
    assert few.family.spa_p_value == pytest.approx(1 / 10_001)
    lost = [row(f"lost{i}", 0, 145) for i in range(2)]
    assert judge(strong, row("b", 0, 145, noise(2)), *lost).family.spa_p_value == pytest.approx(2 / 10_001)


def test_below_a_level_of_a_twentieth_percent_there_were_too_many_looks():
    strong = noise(1, mean=0.003)
    enough = judge(strong, *(row("own", 0, 10) for _ in range(39)))
    assert enough.level == pytest.approx(0.0005) and "too_many_looks" not in codes(enough)
    many = judge(strong, *(row("own", 0, 10) for _ in range(40)))
    assert codes(many) == ["too_many_looks"] and not many.not_excluded
    (reason,) = many.for_a_person
    assert reason.figures["from"] == str(SESSIONS[244]), "100 sessions after the window's 145"
    ahead = row("b", 200, 100)
    assert untouched_from(row("own", 0, 145), [ahead]) == SESSIONS[399].astype(object)


def test_a_first_look_of_ninety_nine_sessions_is_short_and_a_second_is_not():
    assert codes(judge(noise(1, 99, 0.002))) == ["short_window"]
    assert codes(judge(noise(1, 100, 0.002))) == []
    assert codes(judge(noise(1, 99, 0.003), row("own", 200, 5))) == []


def test_who_stops_once_ahead_is_named():
    early = np.r_[noise(1, 100, 0.002), np.zeros(45)]
    found = judge(early)
    assert codes(found) == ["stopped_trading"] and found.last_third_share < 0.10
    assert (found.sessions_traded, found.sessions) == (100, 145)


def test_serial_correlation_is_named_where_it_is_what_spoils_the_probability():
    runs = np.repeat(noise(4, 49, 0.0009), 3)[:145]
    found = judge(runs)
    assert found.psr >= 0.95 > found.hac_psr and codes(found) == ["serial_correlation"]
    assert codes(judge(noise(4, mean=0.0001))) == ["luck_p_value"], "luck is said once"


def test_returns_that_do_not_vary_prove_nothing():
    found = judge(np.zeros(145))
    assert (found.p_value, found.psr, found.hac_psr) == (None,) * 3 and codes(found) == ["no_variation"]


def test_questions_are_looks_without_a_related_one_by_market():
    looks = [row("a", 0, 50), row("a", 0, 60), row("b", 100, 50), row("c", 120, 50)]
    other = [one._replace(feed="sample") for one in looks[:1]]
    found = questions_of([*looks, *other], FLOORS)
    assert found.asked == 3
    assert found.expected_false_votes == pytest.approx(3 * 0.05 + 0.02 / 2 + 0.02 / 4)
