"""What a person can sign in the browser: which act a request asks for, and what it would change."""

from datetime import datetime
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Engine

from dosvotos.audit.current_trust import current_trust
from dosvotos.audit.decision_text import DecisionText
from dosvotos.audit.enrolment import read_enrolment, waiting_enrolment
from dosvotos.audit.people import OF_PEOPLE
from dosvotos.database.connection import reading
from dosvotos.database.registry import get_model, get_proposal, production_model
from dosvotos.errors import DecisionError
from dosvotos.lineage.vote import decide_verified
from dosvotos.promotion.decision import ProposalVote, Vote, approvals_so_far
from dosvotos.promotion.gate_policy import current_policy
from dosvotos.promotion.house_acts import AddReviewer, RevokeReviewer
from dosvotos.promotion.live_acts import Rollback, SwitchSignals, previous_approval, read_live_state
from dosvotos.promotion.refit import refit_of
from dosvotos.promotion.reopening import Reopen
from dosvotos.promotion.transaction import Act, Signed, carry_out, text_to_sign
from dosvotos.promotion.vote_rules import MAX_REASON
from streamlit_app.i18n import Translator
from streamlit_app.identity import Caller

SignedAction = Literal[
    "APPROVE", "REJECT", "REOPEN", "HALT", "RESUME", "ROLLBACK", "ADD_REVIEWER", "REVOKE_REVIEWER"
]
OF_PROPOSALS: Final = ("APPROVE", "REJECT", "REOPEN")
_MOST_DIGITS: Final = 9


class Wanted(BaseModel):
    """What somebody wants to decide."""

    model_config = ConfigDict(extra="forbid", strict=True)

    action: SignedAction
    about: str = Field(min_length=1, max_length=64)
    """A proposal's number, an instrument or a person's name."""
    stage: Literal["production", "shadow"] = "production"
    reason: str = Field(default="", max_length=MAX_REASON)


class Fact(NamedTuple):
    """One thing that a decision is about or changes."""

    label: str
    """Key of the page's text."""
    value: str


class Done(NamedTuple):
    """What a decision did."""

    row: int
    """Of the log."""
    missing: int = 0
    """Approvals that production still needs."""


def text_of(engine: Engine, wanted: Wanted, caller: Caller, now: datetime) -> DecisionText:
    """Write the text that a person signs for an act, after every check that needs no signature."""
    return text_to_sign(engine, _act_of(engine, wanted, caller), caller.name, now)


def carry_out_signed(engine: Engine, wanted: Wanted, caller: Caller, signed: Signed, now: datetime) -> Done:
    """Carry out a signed act; before an approval all that is voted on is computed again."""
    act = _act_of(engine, wanted, caller)
    if isinstance(act, ProposalVote):
        result = decide_verified(engine, act.proposal_id, act.vote, now, signed)
        return Done(result.audit_id, result.missing)
    return Done(carry_out(engine, act, caller.name, now, signed).row.id)


def facts_of(engine: Engine, wanted: Wanted, caller: Caller, t: Translator, now: datetime) -> list[Fact]:
    """Say what an act is about and what it would change, as the rows stand."""
    with reading(engine) as connection:
        if wanted.action in OF_PROPOSALS:
            return _about_proposal(connection, wanted, caller, t, now)
        if wanted.action in OF_PEOPLE:
            return _about_person(connection, wanted)
        return _about_instrument(connection, wanted)


def offers_production(engine: Engine, wanted: Wanted) -> bool:
    """Tell whether an act may bring its model into production; an approval of a refit may not."""
    if wanted.action != "APPROVE":
        return True
    with reading(engine) as connection:
        return refit_of(get_proposal(connection, _proposal_id(wanted))) is None


def _act_of(engine: Engine, wanted: Wanted, caller: Caller) -> Act:
    about, reason = wanted.about, wanted.reason
    match wanted.action:
        case "APPROVE" | "REJECT" as decision:
            to_production = wanted.stage == "production"
            vote = Vote(decision, caller.name, reason, promote_to_production=to_production)
            return ProposalVote(_proposal_id(wanted), vote)
        case "REOPEN":
            return Reopen(_proposal_id(wanted), caller.name, reason)
        case "HALT" | "RESUME" as action:
            return SwitchSignals(action, about, reason)
        case "ROLLBACK":
            return Rollback(about, reason)
        case "REVOKE_REVIEWER":
            return RevokeReviewer(reason, about)
        case "ADD_REVIEWER":
            return AddReviewer(reason, read_enrolment(engine, about).added)


def _proposal_id(wanted: Wanted) -> int:
    if not (wanted.about.isascii() and wanted.about.isdecimal() and len(wanted.about) <= _MOST_DIGITS):
        raise DecisionError(f"about: a proposal's number expected, was {wanted.about!r}; open the page again")
    return int(wanted.about)


def _about_proposal(
    connection: Connection, wanted: Wanted, caller: Caller, t: Translator, now: datetime
) -> list[Fact]:
    proposal = get_proposal(connection, _proposal_id(wanted))
    model = get_model(connection, proposal.model_id)
    facts = [
        Fact("desk.instrument", proposal.instrument),
        Fact("desk.experiment", proposal.experiment_name),
        Fact("desk.model", proposal.model_id),
        Fact("desk.manifest", model.manifest_hash),
        Fact("desk.trained_by", model.trained_by),
        Fact("desk.recommends", t(f"recommendation.{proposal.recommendation}")),
    ]
    if wanted.action != "APPROVE":
        return facts
    production = production_model(connection, proposal.instrument)
    given = approvals_so_far(connection, proposal.id, Vote("APPROVE", caller.name), now)
    quorum = current_policy(connection).quorum
    names = ", ".join(given) or "-"
    count = "desk.quorum_own" if caller.name in given else "desk.quorum_count"
    return [
        *facts,
        Fact("desk.replaces", production.model_id if production else t("desk.nothing")),
        Fact("desk.quorum", t(count, given=len(given), quorum=quorum, names=names)),
    ]


def _about_person(connection: Connection, wanted: Wanted) -> list[Fact]:
    trust = current_trust(connection)
    if wanted.action == "ADD_REVIEWER":
        found = waiting_enrolment(connection, trust, wanted.about)
        return [
            Fact("desk.person", found.name),
            Fact("desk.role", found.role),
            Fact("desk.passkey", found.key.fingerprint),
            Fact("desk.invited_by", found.invited_by),
            Fact("desk.made_at", f"{found.made_at:%Y-%m-%d %H:%M} UTC"),
        ]
    person = trust.check_revocation(wanted.about)
    keys = [one.key.fingerprint for one in trust.active if one.name == person.name]
    return [
        Fact("desk.person", person.name),
        Fact("desk.role", person.role),
        *(Fact("desk.key", key) for key in keys),
    ]


def _about_instrument(connection: Connection, wanted: Wanted) -> list[Fact]:
    serving = production_model(connection, wanted.about)
    facts = [
        Fact("desk.instrument", wanted.about),
        Fact("desk.state", read_live_state(connection, wanted.about)),
        Fact("desk.serving", serving.model_id if serving else "-"),
    ]
    if wanted.action == "ROLLBACK":
        facts.append(Fact("desk.back_to", previous_approval(connection, wanted.about).model_id))
    return facts
