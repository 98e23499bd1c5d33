"""What the simulator spoils, the rules of quality find, event by event; a clean market yields no finding."""

import datetime as dt

import pandas as pd
import pytest

from dosvotos.contracts.sample_market import HAZARDS
from dosvotos.market.calendar import BOGOTA
from dosvotos.simulation.hazards import Defect, MarketWithDefects, inject_hazards
from dosvotos.simulation.market import simulate_market
from dosvotos.sources.checks import CheckedMarket, check_market
from dosvotos.sources.raw_market import RawMarket
from tests.conftest import parameters_of
from tests.simulation.market_factory import END, VARIABLES, params

THRESHOLDS = parameters_of().quality_thresholds
NEVER_STORED = pd.DataFrame(columns=["variable", "observation_date", "value", "vintage", "source"])
FOUND_AS = {
    "mixed_zone_labels": {"off_session"},
    "disagreeing_duplicates": {"duplicate_disagrees"},
    "flat_bars": {"flat_bars"},
    "stale_run": {"stale_run"},
    "off_session_bars": {"off_session"},
    "weekend_bars": {"closed_day"},
    "holiday_quotes": {"closed_day"},
    "sparse_session": {"sparse_session"},
    "missing_session": {"missing_session"},
    "bad_tick": {"wick", "off_level"},
    "close_spike": {"spike"},
    "decimal_comma": {"decimal_slip"},
    "wrong_instrument": {"splice", "step"},
    "macro_hole": {"gap"},
    "repeated_monthly": {"copied", "fabricated_run", "fabricated_tail"},
    "fabricated_tail": {"copied", "fabricated_tail"},
    "weekend_observations": {"weekend"},
    "future_observation": {"future"},
    "nan_padding": {"padding"},
    "session_hundredth": {"off_level"},
    "inverted_session": {"off_level"},
    "bar_at_tenth": {"off_level"},
    "percent_fraction": {"decimal_slip", "percent_fraction"},
    "swapped_series": {"out_of_range", "decimal_slip"},
    "early_dates": {"dated_early"},
}
TO_THE_MINUTE = {"bad_tick", "close_spike", "bar_at_tenth"}


def check(bars: pd.DataFrame, macro: pd.DataFrame, now: pd.Timestamp) -> CheckedMarket:
    raw = RawMarket(bars.assign(source="sample"), macro.assign(vintage="final", source="sample"))
    return check_market(raw, VARIABLES, THRESHOLDS, now, NEVER_STORED)


def spoil(
    seed: int, start: dt.date, now: pd.Timestamp
) -> tuple[CheckedMarket, MarketWithDefects, CheckedMarket]:
    """A market judged as it is, what was done to it, and the spoilt one judged."""
    clean = simulate_market(params(0.0, seed, start), VARIABLES, now)
    delivery = inject_hazards(*clean, HAZARDS, seed)
    return check(*clean, now), delivery, check(delivery.bars, delivery.macro, now)


def matches(event: Defect, findings: pd.DataFrame) -> pd.DataFrame:
    """Findings of the event's rules where it struck; a gap says how many days before it are missing."""
    own = findings[findings["rule"].isin(FOUND_AS[event.hazard]) & (findings["subject"] == event.subject)]
    if event.hazard in TO_THE_MINUTE:
        return own[own["at"].between(event.first, event.last)]
    if event.hazard == "missing_session":  # one report of a run of them, which a quarantined session joins
        days_since = (event.first - own["at"]) / pd.Timedelta(days=1)
        return own[(days_since >= 0) & (days_since <= own["value"] * 7 / 5 + 4)]
    if event.subject == "bars":
        first, last = (moment.tz_convert(BOGOTA).date() for moment in (event.first, event.last))
        return own[[first <= day <= last for day in own["at"].dt.tz_convert(BOGOTA).dt.date]]
    if event.hazard == "macro_hole":
        first_missing = own["at"] - pd.to_timedelta(own["value"] * 7 / 5 + 7, unit="D")
        return own[(own["at"] > pd.Timestamp(event.last, tz="UTC")) & (first_missing.dt.date <= event.first)]
    return own[[event.first <= day <= event.last for day in own["at"].dt.date]]


def missed(delivery: MarketWithDefects, found: CheckedMarket) -> list[Defect]:
    return [event for event in delivery.defects if matches(event, found.findings).empty]


def test_each_hazard_has_its_rules():
    assert list(FOUND_AS) == list(HAZARDS)


def test_every_injected_event_is_found_and_the_clean_market_yields_no_finding():
    clean, delivery, found = spoil(25, dt.date(2024, 1, 2), pd.Timestamp("2025-03-14 23:00", tz="UTC"))
    assert {event.hazard for event in delivery.defects} == set(HAZARDS)
    assert clean.findings.empty
    assert missed(delivery, found) == []


@pytest.mark.parametrize("seed", [2, 3])
def test_a_clean_market_yields_no_finding(seed):
    now = pd.Timestamp("2025-03-14 23:00", tz="UTC")
    clean = simulate_market(params(0.0, seed, dt.date(2024, 7, 1)), VARIABLES, now)
    assert check(*clean, now).findings.empty


@pytest.mark.slow
def test_nor_does_a_clean_one_of_six_years_whose_balances_come_near_zero():
    clean = simulate_market(params(0.0, 6, dt.date(2020, 1, 2)), VARIABLES, END)
    assert check(*clean, END).findings.empty


@pytest.mark.campaign
@pytest.mark.slow
def test_so_it_is_over_six_years():
    clean, delivery, found = spoil(8, dt.date(2020, 1, 2), END)
    assert clean.findings.empty
    assert len(delivery.defects) > 300
    assert missed(delivery, found) == []
