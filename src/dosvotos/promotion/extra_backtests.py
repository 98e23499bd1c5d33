"""Extra backtests of a proposal's model: asked for by a person, run by a worker beside the vote."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine, Row, select

from dosvotos.backtest.report import ExtraBacktestReport
from dosvotos.backtest.run import run_backtest, run_linear_rival
from dosvotos.backtest.simulate import rival_of
from dosvotos.backtest.window import sample_of, touches_unseen
from dosvotos.contracts.differences import first_difference
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.database.connection import reading, writing
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.ledger import TrialLedger, look_at
from dosvotos.database.market_data import BarTable, StoredMarket
from dosvotos.database.registry import get_model, get_proposal, is_open, state_of
from dosvotos.database.requests import ExtraBacktestResult, add_request, list_requests
from dosvotos.database.tables import promotion_proposals
from dosvotos.errors import AlteredError, DecisionConflictError, RequestError
from dosvotos.hashing import digest_frame
from dosvotos.market.calendar import session_dates, session_slots, slots
from dosvotos.market.dataset import feature_rows
from dosvotos.market.splits import Split
from dosvotos.policy.bundle import Bundle, open_bundle
from dosvotos.promotion.decision import ProposalVote, Vote
from dosvotos.promotion.dossier import read_extra_backtest, to_json_bytes
from dosvotos.promotion.gate_policy import GatePolicies
from dosvotos.promotion.own_strategy import refuse_extra_backtest
from dosvotos.promotion.transaction import carry_out
from dosvotos.sealed import MANIFEST, write_sealed


def request_backtest(
    engine: Engine, proposal_id: int, first: date, last: date, requested_by: str, now: datetime
) -> int:
    """Queue an extra backtest of a proposal's model; gives its id.

    Parameters
    ----------
    engine : Engine
    proposal_id : int
    first, last : date
        Bogota sessions, both included: any whose bars are stored.
    requested_by : str
        The authenticated person.
    now : datetime, timezone-aware
        The backtest will use the data as they were known now.

    Raises
    ------
    UnknownProposalError, DecisionConflictError
        If there is no such proposal, or it can no longer be voted on.
    RequestError
        If the period has no session, its bars are not stored, or the candidate is an own strategy.
    """
    request = _checked_request(engine, proposal_id, first, last, requested_by, now)
    with writing(engine) as connection:
        return add_request(connection, request)


def vote_for_backtest(
    engine: Engine, proposal_id: int, first: date, last: date, vote: Vote, now: datetime
) -> int:
    """Record a REQUEST_MORE_TESTS and queue its test in one transaction; gives the test's id.

    Parameters are as `request_backtest`'s; `vote` names who asks.

    Raises
    ------
    UnknownProposalError, DecisionConflictError, RequestError
        As `request_backtest`; also whatever `decide` raises. Then nothing is recorded and nothing queued.
    """
    request = _checked_request(engine, proposal_id, first, last, vote.reviewer, now)
    carry_out(engine, ProposalVote(proposal_id, vote, queued=request), vote.reviewer, now)
    with reading(engine) as connection:
        rows = list_requests(connection, proposal_id)
    return next(int(row.id) for row in rows if (row.start_date, row.end_date) == (first, last))


def _checked_request(
    engine: Engine, proposal_id: int, first: date, last: date, requested_by: str, now: datetime
) -> dict[str, Any]:
    """Give the row of a request that can be tested."""
    with reading(engine) as connection:
        proposal = get_proposal(connection, proposal_id)
        model = get_model(connection, proposal.model_id)
    if not is_open(proposal, now):
        raise DecisionConflictError.of(
            "backtest_closed", proposal=proposal_id, status=state_of(proposal, now)
        )
    refuse_extra_backtest(proposal)
    _check_period(engine, proposal, ContractRegistry(engine).of_proposal(proposal), first, last, now)
    return {
        "proposal_id": proposal_id,
        "start_date": first,
        "end_date": last,
        "sample": sample_of(first, last, model.lineage["date_ranges"]),
        "requested_by": requested_by,
        "requested_at": now,
    }


def unseen_period(engine: Engine, proposal_id: int, now: datetime) -> tuple[date, date] | None:
    """Find the latest sessions stored that neither the model nor a test of this proposal has seen.

    Returns
    -------
    tuple of date, or None
        First and last day, with two sessions at least between them; None where everything has been seen.
    """
    with reading(engine) as connection:
        proposal = get_proposal(connection, proposal_id)
        model = get_model(connection, proposal.model_id)
        asked = [row for row in list_requests(connection, proposal_id) if row.status != "failed"]
    contract = ContractRegistry(engine).of_proposal(proposal)
    if (stored := _stored_period(engine, proposal, contract, now)) is None:
        return None
    split_days = (period.split(" to ") for period in model.lineage["date_ranges"].values())
    seen = [(date.fromisoformat(first), date.fromisoformat(last)) for first, last in split_days]
    seen += [(row.start_date, row.end_date) for row in asked]
    gaps = _gaps(*stored, seen)
    calendar = contract.parameters.calendar
    return next((gap for gap in reversed(gaps) if len(Split("", *gap, calendar).sessions()) >= 2), None)


def _gaps(start: date, end: date, seen: list[tuple[date, date]]) -> list[tuple[date, date]]:
    """Give the periods from `start` to `end` that no seen one touches, in order."""
    one, gaps, free_from = timedelta(days=1), [], start
    for first, last in sorted(seen):
        if first > free_from:
            gaps.append((free_from, min(first - one, end)))
        free_from = max(free_from, last + one)
    if free_from <= end:
        gaps.append((free_from, end))
    return [gap for gap in gaps if gap[0] <= gap[1]]


def run_request(engine: Engine, request: Row[Any], now: datetime) -> ExtraBacktestResult:
    """Run an extra backtest and seal its report in a folder of its own beside the model's dossiers.

    The model's bundle is verified, and a period with sessions the model has not seen is a look in the trial
    ledger before its rows are made. Features come from the same definition, on the data as known when it was
    asked for, so a second attempt gives the same bytes.

    Raises
    ------
    DosVotosError
        If the bundle, the contract or the data do not allow it.
    """
    tested = _tested(engine, request)
    parameters, lineage = tested.contract.parameters, tested.model.lineage
    look = look_at(parameters, tested.model.model_hash, tested.split)
    ledger = TrialLedger(engine, tested.proposal.instrument)
    is_look = touches_unseen(tested.split.sessions(), lineage["date_ranges"])
    if is_look:
        ledger.record(look, tested.proposal.experiment_name, now)
    report = _make_report(engine, request, tested)
    if is_look:
        ledger.store(look, report.daily_returns)
    folder = Path(tested.proposal.report_folder).parent / "extra" / str(request.id)
    name = _file_name(request, tested.split)
    manifest_hash = write_sealed(folder, {name: to_json_bytes(report)})
    return ExtraBacktestResult(str(folder / name), manifest_hash, report.metrics.model_dump())


def check_extra_backtests(engine: Engine, proposal_id: int) -> None:
    """Run every finished extra backtest of a proposal again, and compare row and report with what comes out.

    Raises
    ------
    AlteredError
        Naming the first figure that differs, the file that is missing or altered, or the result that no row
        tells of.
    """
    with reading(engine) as connection:
        rows = check_requests(connection, get_proposal(connection, proposal_id))
    for request in (row for row in rows if row.proposal_id == proposal_id):
        recorded = read_extra_backtest(request).model_dump(mode="json")
        made = _make_report(engine, request, _tested(engine, request)).model_dump(mode="json")
        found = first_difference(recorded, made) or first_difference(
            request.metrics, made["metrics"], "metrics"
        )
        if found is not None:
            raise AlteredError.of(
                "extra_not_repeated",
                backtest=request.id,
                proposal=proposal_id,
                file=request.result_file,
                field=found.field,
                recorded=found.recorded,
                recomputed=found.recomputed,
            )


def check_requests(connection: Connection, proposal: Row[Any]) -> list[Row[Any]]:
    """List the finished requests of a proposal's model; none of its results may be there that none names.

    Raises
    ------
    LineageError
        Naming the folder of a result without its request, or what is not as it was asked for.
    """
    p = promotion_proposals
    ids = connection.execute(select(p.c.id).where(p.c.model_id == proposal.model_id)).scalars()
    rows = [row for one in ids for row in list_requests(connection, one) if row.status == "done"]
    for row in rows:
        read_extra_backtest(row)  # refused if it is of another proposal than its row says
    done = {str(row.id) for row in rows}
    for manifest in sorted((Path(proposal.report_folder).parent / "extra").glob(f"*/{MANIFEST}")):
        if manifest.parent.name not in done:
            raise AlteredError.of("extra_hidden", folder=manifest.parent, proposal=proposal.id)
    return rows


class _Tested(NamedTuple):
    """What an extra backtest runs, and over which sessions."""

    proposal: Row[Any]
    model: Row[Any]
    contract: ExperimentContract
    bundle: Bundle
    split: Split


def _tested(engine: Engine, request: Row[Any]) -> _Tested:
    with reading(engine) as connection:
        proposal = get_proposal(connection, request.proposal_id)
        model = get_model(connection, proposal.model_id)
    contract = ContractRegistry(engine).of_proposal(proposal)
    bundle = open_bundle(Path(model.model_path), model.manifest_hash)
    calendar = contract.parameters.calendar
    split = Split("extra backtest", request.start_date, request.end_date, calendar)
    return _Tested(proposal, model, contract, bundle, split)


def _make_report(engine: Engine, request: Row[Any], tested: _Tested) -> ExtraBacktestReport:
    """Run the model over the sessions asked for, on the data as known when it was asked."""
    proposal, model, contract, bundle, split = tested
    parameters, ranges = contract.parameters, model.lineage["date_ranges"]
    bars, macro = StoredMarket(engine, proposal.instrument, parameters.feed).tables
    history = stored_history(parameters, bars, macro, request.requested_at, request.end_date)
    rows = split.select(feature_rows(history, parameters))
    floors = GatePolicies(engine).current().evidence
    result = run_backtest(bundle.policy, rows, split.sessions(), parameters, floors.seed)
    rival = rival_of(bundle, parameters)
    return ExtraBacktestReport(
        **dict(result),
        backtest_id=request.id,
        proposal_id=proposal.id,
        model_id=proposal.model_id,
        model_hash=model.model_hash,
        experiment_name=proposal.experiment_name,
        test_period=f"{split.first} to {split.last}",
        sample=sample_of(split.first, split.last, ranges),
        linear_rival=run_linear_rival(rival, result, rows, parameters, floors.bootstrap),
        data_as_of=request.requested_at.isoformat(),
        test_dataset_hash=digest_frame(rows),
    )


def _file_name(request: Row[Any], split: Split) -> str:
    label = "IN-SAMPLE_" if request.sample == "IN-SAMPLE" else ""
    return f"backtest_{request.id}_{label}{split.first}_to_{split.last}.json"


def _check_period(
    engine: Engine, proposal: Row[Any], contract: ExperimentContract, first: date, last: date, now: datetime
) -> None:
    if last < first:
        raise RequestError.of("period_reversed", first=str(first), last=str(last))
    if (stored := _stored_period(engine, proposal, contract, now)) is None:
        raise RequestError.of("period_without_bars", instrument=proposal.instrument)
    start, end = stored
    if first < start or last > end:
        raise RequestError.of(
            "period_beyond", first=str(first), last=str(last), start=str(start), end=str(end)
        )
    if len(Split("", first, last, contract.parameters.calendar).sessions()) < 2:
        raise RequestError.of("period_short", first=str(first), last=str(last))


def _stored_period(
    engine: Engine, proposal: Row[Any], contract: ExperimentContract, now: datetime
) -> tuple[date, date] | None:
    """Find the first and the last whole session stored."""
    stored = BarTable(engine, proposal.instrument, contract.parameters.feed).state(now)
    if stored is None:
        return None
    times = pd.DatetimeIndex([stored.first, stored.last])
    start, end = (day.astype(object) for day in session_dates(times))
    if slots(times)[-1] < session_slots(np.datetime64(end), contract.parameters.calendar)[1]:
        end -= timedelta(days=1)
    return start, end
