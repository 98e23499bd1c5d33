"""Models approved to shadow: they decide on production's bars, and nobody can act on what they say."""

import logging
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row

from dosvotos.audit.checkpoints import open_home
from dosvotos.audit.people import Trust
from dosvotos.audit.signatures import read_trust, verify_decision
from dosvotos.contracts.parameters import Parameters
from dosvotos.database.connection import reading, writing
from dosvotos.database.live_limits import SHADOW_LAPSED, Trip, add_trip, shadow_lapse
from dosvotos.database.registry import last_log_row, lock_instrument
from dosvotos.database.shadow import (
    add_shadow_row,
    has_shadow_row,
    shadow_approval,
    shadow_models,
    shadow_target_before,
)
from dosvotos.errors import AlteredError, DosVotosError
from dosvotos.hashing import digest_arrays
from dosvotos.live.account import keep_account
from dosvotos.live.alerts import Alerts
from dosvotos.live.clock import Clock
from dosvotos.live.keeper import approval_of, check_features
from dosvotos.live.limits import Approval, lapse_reasons, vote_again
from dosvotos.live.reasons import Reason
from dosvotos.live.schedule import ScheduledBar
from dosvotos.live.tick import Decision, LiveFeatures, ServedModel, decide, feature_vector, served_model
from dosvotos.policy.bundle import open_bundle
from dosvotos.promotion.tripwires import Lapses

logger = logging.getLogger(__name__)

_REFUSED, _ERROR, _LAPSED = "SHADOW_REFUSED", "SHADOW_ERROR", "SHADOW_LAPSED"


class _Shadow(NamedTuple):
    model: ServedModel
    approval: Approval


class ShadowDesk:
    """The shadow models of an instrument, each with targets and an account of its own.

    Parameters
    ----------
    engine : Engine
    instrument : str
    parameters : Parameters
        By which features are computed.
    clock : Clock
    alerts : Alerts

    Notes
    -----
    They run after production's row is written and raise nothing, so that they cannot delay or lose it. Where
    a tripwire of its approval is reached, a shadow's last row says so and no other follows.
    """

    def __init__(
        self, engine: Engine, instrument: str, parameters: Parameters, clock: Clock, alerts: Alerts
    ) -> None:
        self._engine, self._instrument, self._parameters = engine, instrument, parameters
        self._clock, self._alerts = clock, alerts
        self._shadows: list[_Shadow] = []
        self._opened_under: Any = None

    def run(self, bar: ScheduledBar, features: LiveFeatures) -> None:
        """Let every shadow decide on a bar and write its row; a problem is an alert."""
        try:
            written = [self._write(shadow, bar, features) for shadow in self._current()]
            if ended := [why for why in written if why is not None]:
                self._alerts.raise_alert(_LAPSED, ended[0])
            else:
                self._alerts.clear(_LAPSED)
            self._alerts.clear(_ERROR)
        except Exception as error:  # production goes on whatever its shadows do
            logger.exception("shadows at bar %s", bar.opened)
            self._alerts.raise_alert(_ERROR, f"{type(error).__name__}: {error}")

    def _current(self) -> list[_Shadow]:
        with reading(self._engine) as connection:
            models = shadow_models(connection, self._instrument)
            under = [tuple(row) for row in (*models, last_log_row(connection)) if row is not None]
            if under != self._opened_under:
                self._shadows = self._open(connection, models)
                self._opened_under = under
        return self._shadows

    def _open(self, connection: Connection, models: list[Row[Any]]) -> list[_Shadow]:
        """Open those that a signed vote covers; of the others an alert names the first."""
        opened, refused = [], []
        trust = read_trust(connection, open_home(connection)) if models else None
        for row in models:
            try:
                opened.append(self._one(connection, trust, row))
            except DosVotosError as error:
                refused.append(str(error))
        if refused:
            self._alerts.raise_alert(_REFUSED, refused[0])
        else:
            self._alerts.clear(_REFUSED)
        return opened

    def _one(self, connection: Connection, trust: Trust | None, row: Row[Any]) -> _Shadow:
        approval = shadow_approval(connection, row.model_id)
        if approval is None or trust is None:
            raise AlteredError(f"{row.model_id}: is in shadow, but no vote has put it there")
        text = verify_decision(approval, trust)
        if (text.model, text.stage, text.instrument) != (row.manifest_hash, "shadow", row.instrument):
            raise AlteredError(
                f"{row.model_id}: row {approval.id} of the log approves another model or stage"
            )
        bundle = open_bundle(Path(row.model_path), row.manifest_hash)
        check_features(bundle, self._parameters)
        lapses = Lapses.model_validate(approval.lapses) if approval.lapses else None
        judged = approval_of(bundle, approval, row, self._parameters.feed, lapses)
        model = served_model(row.model_id, row.manifest_hash, approval.epoch, bundle.policy)
        return _Shadow(model, judged)

    def _write(self, shadow: _Shadow, bar: ScheduledBar, features: LiveFeatures) -> str | None:
        """Write a shadow's row and mark its account to the bar, in one transaction.

        Returns
        -------
        str or None
            What has ended its approval, now or before.
        """
        model, approval_id = shadow.model, shadow.approval.account.approval_id
        with writing(self._engine) as connection:
            lock_instrument(connection, self._instrument)
            ended: str | None = shadow_lapse(connection, approval_id)
            if ended is not None:
                return f"{model.model_id}: {ended}"
            if has_shadow_row(connection, approval_id, bar.opened):
                return None

            def target_before(opened: datetime) -> float:
                return shadow_target_before(connection, approval_id, opened)

            position, now = target_before(bar.opened), self._clock.now()
            decision = decide(features, model, position)
            if now > bar.deadline:
                decision = Decision(None, None, Reason.TOO_LATE)
            book = shadow.approval.account
            account = keep_account(connection, book, bar.opened, features.rate_difference, target_before)
            if reasons := lapse_reasons(account, shadow.approval, now):
                ended, decision = vote_again(reasons), Decision(None, None, Reason.LAPSED)
                trip = Trip(SHADOW_LAPSED, "HALTED", ended)
                add_trip(connection, self._instrument, approval_id, trip, bar.opened, now)
            add_shadow_row(connection, _row(shadow, bar, features, position, decision) | {"created_at": now})
        return None if ended is None else f"{model.model_id}: {ended}"


def _row(
    shadow: _Shadow, bar: ScheduledBar, features: LiveFeatures, position: float, decision: Decision
) -> dict[str, Any]:
    return {
        "approval_id": shadow.approval.account.approval_id,
        "timestamp": bar.opened,
        "instrument": shadow.approval.account.instrument,
        "model_id": shadow.model.model_id,
        "manifest_hash": shadow.model.manifest_hash,
        "feature_hash": digest_arrays({"features": feature_vector(features, position)}),
        "target": decision.signal,
        "confidence": decision.confidence,
        "reason_code": decision.reason,
        "position": position,
    }
