"""Decisions about an instrument's live signals: HALT, RESUME and ROLLBACK."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, bindparam, select

from dosvotos.audit.checkpoints import open_home
from dosvotos.audit.decision_text import DecisionText
from dosvotos.audit.people import Signatory
from dosvotos.audit.signatures import read_trust
from dosvotos.database.connection import upsert
from dosvotos.database.live_limits import standing_trips
from dosvotos.database.live_tables import LIVE_STATES, live_state
from dosvotos.database.registry import (
    ProductionRows,
    find_model,
    get_model,
    get_proposal,
    production_rows,
    promoting_votes,
)
from dosvotos.database.tables import approval_audit_log
from dosvotos.errors import DecisionConflictError, DecisionError
from dosvotos.policy.bundle import open_bundle
from dosvotos.promotion.agreement import check_head
from dosvotos.promotion.decision import put_into_production
from dosvotos.promotion.standing import check_standing
from dosvotos.promotion.transaction import ActOf, Entry, Subject
from dosvotos.promotion.vote_rules import closing_vote, earlier_votes

LiveState = Literal["ACTIVE", "REDUCING", "HALTED"]
HALT_FILE: Final = Path("data/HALT")
"""Under the project's root: while it is there no signal is given, whatever the database says."""
_AFTER: Final[dict[str, LiveState]] = {"HALT": "HALTED", "RESUME": "ACTIVE"}
# Built once: the loop asks them at every bar.
_STATE: Final = select(live_state.c.state).where(live_state.c.instrument == bindparam("instrument"))
_SWITCHED: Final = (
    select(approval_audit_log.c.action)
    .where(
        approval_audit_log.c.instrument == bindparam("instrument"), approval_audit_log.c.action.in_(_AFTER)
    )
    .order_by(approval_audit_log.c.id.desc())
    .limit(1)
)


@dataclass(frozen=True)
class SwitchSignals(ActOf):
    """HALT stops an instrument's signals at its commit; RESUME lets them go on."""

    action: Literal["HALT", "RESUME"]
    instrument: str
    reason: str

    def instrument_in(self, connection: Connection) -> str:
        """The instrument itself."""
        return self.instrument

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for."""
        return {"instrument": self.instrument}

    def check(self, connection: Connection, who: Signatory, now: datetime) -> None:
        """Refuse what is so already."""
        read = decided_state if self.action == "HALT" else read_live_state  # people may halt what a limit did
        state, after = read(connection, self.instrument), _AFTER[self.action]
        if state == after and not (self.action == "RESUME" and HALT_FILE.exists()):
            raise DecisionConflictError.of("signals_already", instrument=self.instrument, state=state)

    def subject(self, connection: Connection) -> Subject:
        """Say which state follows."""
        return Subject(other={"state": _AFTER[self.action]})

    def carry_out(
        self, connection: Connection, who: Signatory, text: DecisionText | None, epoch: int, now: datetime
    ) -> Entry:
        """Set the state that L5 reads under lock before it stores a signal."""
        write_live_state(connection, self.instrument, _AFTER[self.action], self.reason, who.name, now)
        return Entry(epoch)


@dataclass(frozen=True)
class Rollback(ActOf):
    """Back to the production model before this one, whose own vote still covers it."""

    instrument: str
    reason: str
    action: Literal["ROLLBACK"] = "ROLLBACK"

    def instrument_in(self, connection: Connection) -> str:
        """The instrument itself."""
        return self.instrument

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for."""
        return {"instrument": self.instrument}

    def check(self, connection: Connection, who: Signatory, now: datetime) -> None:
        """Refuse to go back to a model that no valid vote covers, or that a person has rejected since."""
        check_head(connection, self.instrument)
        back = previous_approval(connection, self.instrument)
        model = get_model(connection, back.model_id)
        votes = earlier_votes(connection, model.manifest_hash, model.model_hash, self.instrument)
        if (closing := closing_vote(votes)) is not None:
            raise DecisionError.of("rolled_back_rejected", model=model.model_id, person=closing.reviewer)
        proposal = get_proposal(connection, back.proposal_id)
        rows = ProductionRows(model, None, back, back, proposal)
        trust = read_trust(connection, open_home(connection))
        if not check_standing(connection, trust, rows).signed:
            raise DecisionError.of("rolled_back_unsigned", model=model.model_id)
        open_bundle(Path(model.model_path), model.manifest_hash)

    def subject(self, connection: Connection) -> Subject:
        """Say which model takes whose place, and which vote covers it."""
        back, now = (
            previous_approval(connection, self.instrument),
            production_rows(connection, self.instrument),
        )
        model = get_model(connection, back.model_id)
        replaced = now.model.manifest_hash if now.model else None
        other = {"approval": back.id, "model_id": model.model_id}
        return Subject(model=model.manifest_hash, stage="production", replaces=replaced, other=other)

    def carry_out(
        self, connection: Connection, who: Signatory, text: DecisionText | None, epoch: int, now: datetime
    ) -> Entry:
        """Put the older model back."""
        back, found = (
            previous_approval(connection, self.instrument),
            production_rows(connection, self.instrument),
        )
        put_into_production(connection, self.instrument, back.model_id, now)
        previous = found.model.model_id if found.model else None
        return Entry(
            epoch + 1, model_id=back.model_id, previous_production_model=previous, new_stage="production"
        )


def previous_approval(connection: Connection, instrument: str) -> Row[Any]:
    """Find the approval of the production model before the one of now; what was rolled back counts no more.

    Raises
    ------
    DecisionError
        If there is none.
    """
    stack: list[Row[Any]] = []
    for row in promoting_votes(connection, instrument):
        if row.action == "APPROVE":
            stack.append(row)
        else:
            stack.pop()
    if len(stack) < 2 or find_model(connection, stack[-2].model_id) is None:
        raise DecisionError.of("no_earlier_production", instrument=instrument)
    return stack[-2]


def read_live_state(connection: Connection, instrument: str) -> LiveState:
    """Read what L5 may do for an instrument: what people decided, or less where a limit was reached."""
    tripped: list[LiveState] = [row.state for row in standing_trips(connection, instrument)]
    return max([decided_state(connection, instrument), *tripped], key=LIVE_STATES.index)


def decided_state(connection: Connection, instrument: str) -> LiveState:
    """Read what people have decided that L5 may do for an instrument.

    The last signed HALT or RESUME counts too, so that a state set by SQL does not undo a halt.
    """
    named = {"instrument": instrument}
    state: LiveState | None = connection.execute(_STATE, named).scalar_one_or_none()
    last = connection.execute(_SWITCHED, named).scalar_one_or_none()
    return "HALTED" if last == "HALT" else state or "ACTIVE"


def write_live_state(
    connection: Connection, instrument: str, state: LiveState, reason: str, changed_by: str, now: datetime
) -> None:
    """Set what L5 may do for an instrument; the caller holds its head row's lock."""
    values = {"state": state, "reason": reason, "changed_by": changed_by, "changed_at": now}
    made = upsert(connection, live_state).values(instrument=instrument, **values)
    connection.execute(made.on_conflict_do_update(index_elements=["instrument"], set_=values))
