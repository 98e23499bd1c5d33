"""What the pages and the API read from the database."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar, TypeVarTuple

import pandas as pd
from sqlalchemy import Connection, Engine, Row

from dosvotos.audit.log import read_audit_log
from dosvotos.audit.people import has_people as log_has_people
from dosvotos.database.connection import database_url, open_database, reading
from dosvotos.database.deliveries import list_deliveries
from dosvotos.database.ledger import TrialLedger
from dosvotos.database.outbox import LateMessage
from dosvotos.database.outbox import late_messages as late_messages_of
from dosvotos.database.registry import (
    OPEN_STATES,
    get_model,
    get_proposal,
    list_models,
    list_proposals,
    production_model,
    state_of,
)
from dosvotos.database.requests import get_request, list_requests
from dosvotos.database.signals import latest_signals, signals_after, signals_of_model
from dosvotos.database.stored_data import findings_by_rule, stored_bars, stored_variables
from dosvotos.database.tables import STAGES
from dosvotos.live.controls import Control, Controls
from dosvotos.live.drift import LiveDrift, live_drift
from dosvotos.live.fills import FillsReport, read_fills_report
from dosvotos.live.performance import LivePerformance, judge_production, judge_shadows
from dosvotos.promotion.audit_check import verify_audit
from dosvotos.promotion.gate_policy import current_policy
from dosvotos.promotion.inventory import InventoryEntry, model_inventory
from dosvotos.promotion.luck import Questions, questions_of
from dosvotos.promotion.market_beside import closes_of
from dosvotos.promotion.notices import bars_to_approval as bars_to_approval_of
from dosvotos.promotion.notices import notices_of, votes_on
from dosvotos.promotion.notices import notices_on_card as notices_on_card_of
from dosvotos.promotion.notify import sendable_kinds
from dosvotos.promotion.reasons import Reason
from dosvotos.promotion.retracted import BuiltOnRetracted, built_on_retracted
from dosvotos.promotion.vote_rules import EarlierVote
from dosvotos.refusals import Language, Phrase

Record = Row[Any]
_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


def engine() -> Engine:
    """Open the configured database."""
    return open_database(database_url())


def _read(query: Callable[[Connection, *_Arguments], _Result], *arguments: *_Arguments) -> _Result:
    with reading(engine()) as connection:
        return query(connection, *arguments)


def has_people() -> bool:
    """Tell whether the log has people, so that everybody signs in."""
    return _read(log_has_people)


def proposals() -> list[Record]:
    """List all proposals, newest first."""
    return _read(list_proposals)


def questions(instrument: str) -> Questions:
    """Count what was asked of an instrument so far."""
    with reading(engine()) as connection:
        policy = current_policy(connection)
    return questions_of(TrialLedger(engine(), instrument).looks(), policy.evidence)


def proposal(proposal_id: int) -> Record:
    """Find a proposal by its id; raises UnknownProposalError."""
    return _read(get_proposal, proposal_id)


def extra_backtests(proposal_id: int) -> list[Record]:
    """List the extra backtests of a proposal, newest first."""
    return _read(list_requests, proposal_id)


def extra_backtest(request_id: int) -> Record:
    """Find an extra backtest by its id; raises UnknownRequestError."""
    return _read(get_request, request_id)


def model(model_id: str) -> Record:
    """Find a registered model."""
    return _read(get_model, model_id)


def models() -> list[Record]:
    """List all models, those in production first, then shadow, staging and archived; each newest first."""
    order = ("production", "shadow", *(stage for stage in STAGES if stage not in ("production", "shadow")))
    return sorted(_read(list_models), key=lambda row: order.index(row.stage))


def production_id(instrument: str) -> str | None:
    """Name the instrument's production model."""
    current = _read(production_model, instrument)
    return current.model_id if current else None


def signals(limit: int, instrument: str | None = None, since: datetime | None = None) -> list[Record]:
    """List the newest signals, newest first; with `since` those of the bars after it, oldest first."""
    if since is None:
        return _read(latest_signals, limit, instrument)
    return _read(signals_after, since, limit, instrument)


def closes(model: Record, times: pd.DatetimeIndex, now: datetime) -> pd.Series:
    """Read the closes of the bars (opens, UTC) a model decided on; those that are not stored are left out."""
    return closes_of(engine(), model, times, now)


def signals_of(model_id: str) -> tuple[int, datetime | None]:
    """Count a model's signals, and find the last one's bar."""
    return _read(signals_of_model, model_id)


def control(instrument: str) -> Control:
    """Read whether an instrument may signal: the halt file first, then what people decided."""
    return _read(Controls(instrument).of_database)


def fills(instrument: str) -> FillsReport | None:
    """Compare a desk's imported fills with the model's book; None without any."""
    return read_fills_report(engine(), instrument)


def live_performance(instrument: str) -> LivePerformance | None:
    """Judge the production model's live sessions by what its backtest claimed."""
    return _read(judge_production, instrument)


def shadow_performance(instrument: str) -> dict[str, LivePerformance]:
    """Judge each shadow model's sessions by production's, by model id."""
    return {one.model_id: one for one in _read(judge_shadows, instrument)}


def drift(instrument: str, now: datetime) -> LiveDrift | None:
    """Judge whether what production is served has left what its model was trained on."""
    return live_drift(engine(), instrument, now)


def deliveries() -> list[Record]:
    """List all deliveries and retractions, newest first."""
    return _read(list_deliveries)[::-1]


def bars() -> list[Record]:
    """Say how far the bars of each market reach."""
    return _read(stored_bars)


def variables() -> list[Record]:
    """Say how far each macro variable reaches."""
    return _read(stored_variables)


def findings() -> list[Record]:
    """Count what was found in the data, by rule."""
    return _read(findings_by_rule)


def audit_log() -> list[Record]:
    """List all votes, oldest first."""
    return _read(read_audit_log)


def votes(proposal: Record) -> tuple[EarlierVote, ...]:
    """List every vote on a proposal's model, those on its other proposals included, oldest first."""
    return _read(votes_on, proposal)


def notices(proposal: Record) -> tuple[Reason, ...]:
    """Give what a proposal's reader must know besides the first vote."""
    return _read(notices_of, proposal)


def notices_on_card(proposal: Record) -> tuple[Reason, ...]:
    """Give what a proposal's card says beside the first vote."""
    return _read(notices_on_card_of, proposal)


def bars_to_approval(proposal: Record) -> tuple[Reason, ...]:
    """Give what bars an approval besides L4's veto: a person's REJECT of the model, and retracted data."""
    return _read(bars_to_approval_of, proposal)


class Wanted(NamedTuple):
    """Which proposals a list shows, and in which order; what is empty lets everything through."""

    words: str = ""
    """Each must stand in the experiment's or the model's name, or be the number."""
    instruments: tuple[str, ...] = ()
    recommendations: tuple[str, ...] = ()
    order: str = "newest"
    """newest, oldest, sharpe_ratio (highest first) or max_drawdown (smallest first)."""


def chosen_proposals(rows: Sequence[Record], wanted: Wanted) -> list[Record]:
    """Filter and order proposals; those without the figure that orders come last."""
    words = wanted.words.casefold().split()

    def shows(row: Record) -> bool:
        names = f"{row.experiment_name} {row.model_id}".casefold()
        return (
            all(word in names or word == str(row.id) for word in words)
            and (not wanted.instruments or row.instrument in wanted.instruments)
            and (not wanted.recommendations or row.recommendation in wanted.recommendations)
        )

    found = sorted(filter(shows, rows), key=lambda row: row.id, reverse=wanted.order != "oldest")
    if wanted.order in ("newest", "oldest"):
        return found
    sign = -1 if wanted.order == "sharpe_ratio" else 1
    figures = {
        row.id: float(value) for row in found if (value := (row.metrics or {}).get(wanted.order)) is not None
    }
    known = sorted((row for row in found if row.id in figures), key=lambda row: sign * figures[row.id])
    return [*known, *(row for row in found if row.id not in figures)]


class Standing(NamedTuple):
    """What a vote on a proposal is about: if it is another than the page showed, the page was stale."""

    status: str
    dossier_hash: str | None
    production_id: str | None
    votes: int
    """The last one on the model, on whichever proposal."""
    notices: tuple[str, ...]
    tests: tuple[tuple[int, str], ...]
    """Extra backtests that have a result, and its hash."""


def standing(proposal: Record) -> Standing:
    """Read what a proposal stands on now."""
    cast = votes(proposal)
    done = (row for row in extra_backtests(proposal.id) if row.status == "done")
    return Standing(
        status=proposal.status,
        dossier_hash=proposal.dossier_hash,
        production_id=production_id(proposal.instrument),
        votes=cast[-1].id if cast else 0,
        notices=tuple(notice.model_dump_json() for notice in notices_on_card(proposal)),
        tests=tuple((row.id, row.result_hash) for row in done),
    )


def retracted_production() -> list[BuiltOnRetracted]:
    """Name the production models built on data that were retracted since, and the deliveries."""
    return built_on_retracted(engine(), production_only=True)


def late_messages(now: datetime, language: Language) -> list[LateMessage]:
    """List what other systems and people should have been told by now."""
    return _read(late_messages_of, sendable_kinds(), now, language)


def inventory() -> list[InventoryEntry]:
    """List who answers for each model, who approved it over what, and until when."""
    return model_inventory(engine())


def audit_problems() -> list[Phrase]:
    """Name everything in which the log of votes and the database disagree."""
    return _read(verify_audit)


def open_proposals(rows: Sequence[Record], now: datetime) -> list[Record]:
    """Choose the proposals that can be voted on, those nobody has voted on yet first."""
    states = {row.id: state_of(row, now) for row in rows}
    return [row for state in OPEN_STATES for row in rows if states[row.id] == state]


def count_open(rows: Sequence[Record], now: datetime) -> int:
    """Count the proposals that can be voted on."""
    return sum(state_of(row, now) in OPEN_STATES for row in rows)


def count_pending(rows: Sequence[Record], now: datetime) -> int:
    """Count the proposals that nobody has voted on yet."""
    return sum(state_of(row, now) == "PENDING_APPROVAL" for row in rows)
