"""After each session: what was served is computed again, and what it earned is judged."""

import logging
from datetime import date, datetime

import numpy as np
from sqlalchemy import Engine

from dosvotos.backtest.sequential import SequentialVerdict
from dosvotos.contracts.parameters import Parameters
from dosvotos.database.connection import reading, writing
from dosvotos.database.live_limits import SHADOW_LAPSED, Trip, add_trip, shadow_lapse, standing_trips
from dosvotos.database.registry import lock_instrument, production_rows
from dosvotos.formats import Figure, Form
from dosvotos.live.alerts import Alerts
from dosvotos.live.clock import Clock
from dosvotos.live.drift import live_drift
from dosvotos.live.limits import vote_again
from dosvotos.live.parity import check_served
from dosvotos.live.performance import LivePerformance, judge_production, judge_shadows
from dosvotos.live.reasons import Reason
from dosvotos.market.calendar import session_bar_times
from dosvotos.market.drift import FALSE_ALARMS_A_YEAR
from dosvotos.refusals import Phrase

logger = logging.getLogger(__name__)

_PARITY, _DRIFT, _ERROR, _LAPSED = "PARITY", "DRIFT", "NIGHTLY_ERROR", "SHADOW_LAPSED"


class NightlyCheck:
    """What a loop does when a session is over.

    Parameters
    ----------
    engine : Engine
    parameters : Parameters
        As the loop serves by.
    clock : Clock
    alerts : Alerts
    """

    def __init__(self, engine: Engine, parameters: Parameters, clock: Clock, alerts: Alerts) -> None:
        self._engine, self._parameters, self._clock, self._alerts = engine, parameters, clock, alerts
        self._instrument = parameters.experiment.instrument

    def run(self, session: date) -> None:
        """Check a session's rows and judge the returns so far; a problem is an alert."""
        bars = session_bar_times(np.datetime64(session), self._parameters.calendar)
        first, last = bars[0].to_pydatetime(), bars[-1].to_pydatetime()
        try:
            self._compare(first, last)
            self._judge(last)
            self._watch_drift()
            self._alerts.clear(_ERROR)
        except Exception as error:  # the loop goes on; that nothing was checked is what people must know
            logger.exception("after session %s", session)
            self._alerts.raise_alert(_ERROR, f"session {session}: {type(error).__name__}: {error}")

    def _compare(self, first: datetime, last: datetime) -> None:
        report = check_served(self._engine, self._parameters, first, last)
        if report.differences:
            more = f" and {len(report.differences) - 1} more" if len(report.differences) > 1 else ""
            self._alerts.raise_alert(_PARITY, f"{report.differences[0]}{more}; see 'dosvotos verify'")
        else:
            self._alerts.clear(_PARITY)
            logger.info("%s: %d rows checked, each as it was served", self._instrument, report.rows)

    def _judge(self, last: datetime) -> None:
        with reading(self._engine) as connection:
            live, shadows = (
                judge_production(connection, self._instrument),
                judge_shadows(connection, self._instrument),
            )
        if live is not None and (verdict := live.verdict) is not None and verdict.side is not None:
            self._reduce(Reason.WORSE_THAN_CLAIMED, _worse_than_claimed(verdict), last)
        for one in (shadow for shadow in shadows if shadow.lapsed is None):
            if one.verdict is not None and one.verdict.side == "better":
                self._reduce(Reason.WORSE_THAN_SHADOW, _better_shadow(one.model_id, one.verdict), last)
            if (why := _why_ended(one)) is not None:
                self._end_shadow(one, why, last)

    def _watch_drift(self) -> None:
        """Tell which features have left what the model was trained on; what to do is a person's."""
        found = live_drift(self._engine, self._instrument, self._clock.now())
        if found is None or not found.alarms:
            self._alerts.clear(_DRIFT)
            return
        features = ", ".join(f"{one.feature} since {one.first_alarm}" for one in found.alarms)
        rate = f"{FALSE_ALARMS_A_YEAR:.0%} of the years without a shift alarm"
        self._alerts.raise_alert(_DRIFT, f"outside what {found.model_id} was trained on: {features}; {rate}")

    def _end_shadow(self, shadow: LivePerformance, why: Phrase, last: datetime) -> None:
        """End the approval of a shadow that is worse than production or than its own claim."""
        trip = Trip(SHADOW_LAPSED, "HALTED", vote_again([why]))
        with writing(self._engine) as connection:
            lock_instrument(connection, self._instrument)
            if shadow.approval_id is None or shadow_lapse(connection, shadow.approval_id) is not None:
                return
            add_trip(connection, self._instrument, shadow.approval_id, trip, last, self._clock.now())
        self._alerts.raise_alert(_LAPSED, f"{shadow.model_id}: {trip.detail}")

    def _reduce(self, rule: Reason, detail: Phrase, last: datetime) -> None:
        """Let positions only get smaller, until an admin's RESUME."""
        with writing(self._engine) as connection:
            lock_instrument(connection, self._instrument)
            if any(row.rule == rule for row in standing_trips(connection, self._instrument)):
                return
            approval = production_rows(connection, self._instrument).approval
            trip = Trip(rule, "REDUCING", detail)
            approval_id = None if approval is None else approval.id
            add_trip(connection, self._instrument, approval_id, trip, last, self._clock.now())
        self._alerts.raise_alert(f"LIMIT {rule}", detail)


def _worse_than_claimed(verdict: SequentialVerdict) -> Phrase:
    return Phrase.of("worse_than_claimed", sessions=verdict.sessions, level=_level(verdict))


def _better_shadow(model_id: str, verdict: SequentialVerdict) -> Phrase:
    return Phrase.of("better_shadow", model=model_id, sessions=verdict.sessions, level=_level(verdict))


def _level(verdict: SequentialVerdict) -> Figure:
    return Figure(verdict.level, Form(0, percent=True))


def _why_ended(shadow: LivePerformance) -> Phrase | None:
    """Say by which bound a shadow is worse than it may be; None if by neither."""
    if shadow.verdict is not None and shadow.verdict.side == "worse":
        verdict = shadow.verdict
        return Phrase.of("worse_than_production", sessions=verdict.sessions, level=_level(verdict))
    if shadow.against_claim is not None and shadow.against_claim.side is not None:
        return _worse_than_claimed(shadow.against_claim)
    return None
