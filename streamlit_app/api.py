"""The REST API: what the pages show and do, for programs."""

import html
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, HTTPException, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

import dosvotos
from dosvotos.backtest.report import BacktestReport, ExtraBacktestReport
from dosvotos.backtest.window import Sample
from dosvotos.commands.jobs import is_worker_up
from dosvotos.database.connection import schema_versions
from dosvotos.database.outbox import LateMessage
from dosvotos.database.registry import state_of
from dosvotos.errors import DosVotosError, LineageError
from dosvotos.lineage.vote import decide_verified
from dosvotos.promotion.criteria import CriterionResult
from dosvotos.promotion.dossier import read_extra_backtest, read_report
from dosvotos.promotion.extra_backtests import request_backtest
from dosvotos.promotion.own_strategy import Kind, kind_of
from dosvotos.promotion.reasons import Reason, sentence
from dosvotos.promotion.retracted import built_on_retracted
from dosvotos.promotion.vote_rules import MAX_REASON, Decision, EarlierVote
from dosvotos.reports.evidence import questions_text
from dosvotos.users import current_user, same_person
from streamlit_app import queries
from streamlit_app.identity import cast_vote
from streamlit_app.problems import MEDIA_TYPE, problem, refusal_of, told
from streamlit_app.security import API_PATH

_MAX_ID = 2**31 - 1
ProposalId = Annotated[int, Path(alias="id", ge=1, le=_MAX_ID)]
router = APIRouter()


class Problem(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str
    title: str
    status: int
    detail: str


class Health(BaseModel):
    """Whether the app can work."""

    status: Literal["ok", "degraded"]
    """Degraded: votes go on, but nobody runs the extra backtests asked for, or messages wait too long."""
    database: str
    schema_version: str | None
    pending: int
    worker: Literal["up", "down"]
    retracted_data: list[str]
    """Production models and open proposals that are built on data retracted since."""
    late_messages: list[LateMessage]
    """What people and other systems should have been told more than five minutes ago."""


class Experiment(BaseModel):
    """A proposal in the list."""

    id: int
    experiment_name: str
    model_id: str
    instrument: str
    status: str
    kind: Kind
    """An own strategy cannot be served; of a line an approval serves the last fold's model."""
    recommendation: str
    confidence: float | None
    created_at: datetime


class Notice(Reason):
    """What a reader must know besides the first vote, as of now."""

    text: str


class QuestionsAsked(BaseModel):
    """What was asked of the proposal's instrument so far, and what the first vote does not promise."""

    asked: int
    expected_false_votes: float
    """At most so many false first votes are to be expected among them, if no model had any skill."""
    text: str


class ExperimentDetail(Experiment):
    """A proposal with all it stands on."""

    reason: str
    reasons: list[Reason] | None
    """What `reason` says, as codes with figures; null in proposals made before there were codes."""
    requires_human_approval: bool
    metrics: dict[str, Any]
    vs_baseline: dict[str, Any] | None
    criteria_results: dict[str, Any]
    criteria: list[CriterionResult] | None
    """`criteria_results` as figures; null in proposals made before there were records."""
    evidence: dict[str, Any]
    lineage: dict[str, Any]
    reviewer: str | None
    reviewer_notes: str | None
    approved_at: datetime | None
    votes: list[EarlierVote]
    notices: list[Notice]
    questions: QuestionsAsked
    dossier_hash: str | None
    """Of the dossier's manifest: what a vote is about; null in proposals made before dossiers."""
    backtest_results: BacktestReport | None
    report_problem: str | None
    """Why there are no backtest results: the file is missing, altered or another version's."""


class VoteRequest(BaseModel):
    """A second vote; `reviewer` may repeat who you are, and must then be right."""

    model_config = ConfigDict(extra="forbid", strict=True)

    decision: Decision
    notes: Annotated[str, Field(max_length=MAX_REASON)] = ""
    """At least 20 characters of plain text that say why, for APPROVE and REJECT."""
    promote_to_production: bool = True
    reviewer: str | None = None


class VoteResult(BaseModel):
    """What the vote did."""

    success: Literal[True] = True
    model_id: str
    new_stage: str


class PeriodRequest(BaseModel):
    """The sessions an extra backtest is about, both included: any whose bars are stored."""

    model_config = ConfigDict(extra="forbid")

    start_date: date
    end_date: date


class Requested(BaseModel):
    """An extra backtest that waits for its worker, or was asked for before."""

    backtest_id: int
    status: str


class ExtraBacktest(Requested):
    """An extra backtest; IN-SAMPLE where the period touches what the model was trained or chosen on."""

    proposal_id: int
    start_date: date
    end_date: date
    sample: Sample
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None
    metrics: dict[str, Any] | None
    result_hash: str | None
    backtest_results: ExtraBacktestReport | None
    trouble: str | None
    """Why it failed, or why its results cannot be shown."""


class Signal(BaseModel):
    """One bar's signal, or the reason there is none."""

    instrument: str
    timestamp: datetime
    status: str
    reason_code: str | None
    signal: float | None
    confidence: float | None
    position: float
    model_id: str | None
    model_hash: str | None
    feature_hash: str | None
    inference_id: str
    inference_latency_ms: float
    created_at: datetime


@router.get("/health")
def health() -> Health:
    """Say whether the database answers, whether the jobs worker lives, and how many proposals wait."""
    engine = queries.engine()
    present, _ = schema_versions(engine)
    now = datetime.now(UTC)
    up, retracted = is_worker_up(now), [str(found) for found in built_on_retracted(engine)]
    late = queries.late_messages(now)
    return Health(
        status="ok" if up and not late else "degraded",
        database=engine.dialect.name,
        schema_version=present,
        pending=queries.count_pending(queries.proposals(), now),
        worker="up" if up else "down",
        retracted_data=retracted,
        late_messages=late,
    )


@router.get("/experiments")
def list_experiments() -> list[Experiment]:
    """List all proposals, newest first."""
    now = datetime.now(UTC)
    return [Experiment(**_fields(row, now)) for row in queries.proposals()]


@router.get("/experiments/{id}")
def get_experiment(proposal_id: ProposalId) -> ExperimentDetail:
    """Give one proposal with its metrics, evidence, lineage and backtest."""
    row = queries.proposal(proposal_id)
    results, trouble = None, None
    try:
        results = read_report(row, BacktestReport)
    except LineageError as error:
        trouble = str(error)
    return ExperimentDetail(
        **_fields(row, datetime.now(UTC)),
        votes=list(queries.votes(row)),
        questions=_questions(row.instrument),
        notices=[Notice(**dict(notice), text=sentence(notice)) for notice in queries.notices(row)],
        backtest_results=results,
        report_problem=trouble,
    )


@router.post("/experiments/{id}/approve")
def vote(proposal_id: ProposalId, request: VoteRequest) -> VoteResult:
    """Cast the second vote: approve (to production or shadow), reject, or ask for extra backtests."""
    if request.reviewer is not None and not same_person(request.reviewer, current_user()):
        raise HTTPException(403, "reviewer: a vote counts for its authenticated person only")
    cast = cast_vote(request.decision, request.notes, request.promote_to_production)
    result = decide_verified(queries.engine(), proposal_id, cast, datetime.now(UTC))
    return VoteResult(model_id=result.model_id, new_stage=result.new_stage)


@router.post("/experiments/{id}/backtest", status_code=202)
def request_extra_backtest(proposal_id: ProposalId, request: PeriodRequest) -> Requested:
    """Ask for an extra backtest of the proposal's model; the same period again is the same request."""
    backtest_id = request_backtest(
        queries.engine(), proposal_id, request.start_date, request.end_date, current_user(), datetime.now(UTC)
    )
    return Requested(backtest_id=backtest_id, status=queries.extra_backtest(backtest_id).status)


@router.get("/backtests/{id}")
def get_backtest(backtest_id: ProposalId) -> ExtraBacktest:
    """Give an extra backtest: how far it is and, once done, its result."""
    row = queries.extra_backtest(backtest_id)
    results, trouble = None, row.problem
    if row.status == "done":
        try:
            results = read_extra_backtest(row)
        except LineageError as error:
            trouble = str(error)
    return ExtraBacktest(**row._mapping, backtest_id=row.id, backtest_results=results, trouble=trouble)


@router.get("/signals")
def list_signals(limit: Annotated[int, Query(ge=1, le=1_000)] = 200) -> list[Signal]:
    """List the newest signals of all instruments, newest first."""
    return [Signal(**row._mapping) for row in queries.signals(limit)]


@router.get("/docs", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """List the routes in plain HTML, which needs nothing from elsewhere."""
    return HTMLResponse(_docs_page(request.app.openapi()))


def create_api() -> FastAPI:
    """Build the API as an app of its own, to be mounted."""
    api = FastAPI(
        title="Dos Votos",
        version=dosvotos.__version__,
        servers=[{"url": API_PATH}],
        root_path_in_servers=False,
        docs_url=None,
        redoc_url=None,
        responses={"4XX": {"description": "Refused", "content": {MEDIA_TYPE: {}}, "model": Problem}},
    )
    api.include_router(router)
    api.add_exception_handler(DosVotosError, _refused)
    api.add_exception_handler(ValidationError, _refused)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(StarletteHTTPException, _http_error)
    api.add_exception_handler(Exception, _unexpected)
    return api


def _fields(row: queries.Record, now: datetime) -> dict[str, Any]:
    return {**row._mapping, "status": state_of(row, now), "kind": kind_of(row)}


def _questions(instrument: str) -> QuestionsAsked:
    questions = queries.questions(instrument)
    return QuestionsAsked(**questions._asdict(), text=questions_text(questions, instrument))


def _refused(_: Request, error: Exception) -> Response:
    return problem(refusal_of(error).status, told(error))


def _invalid(_: Request, error: Exception) -> Response:
    """Say what is wrong where, without repeating what was sent."""
    assert isinstance(error, RequestValidationError)
    wrong = [{"where": ".".join(str(part) for part in e["loc"]), "message": e["msg"]} for e in error.errors()]
    return problem(422, "; ".join(f"{w['where']}: {w['message']}" for w in wrong), errors=wrong)


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    return problem(error.status_code, error.detail)


def _unexpected(_: Request, __: Exception) -> Response:
    """Tell nothing; the server logs the error itself."""
    return problem(500, "an unexpected error; the server's log has it")


def _docs_page(schema: dict[str, Any]) -> str:
    title = html.escape(f"{schema['info']['title']} {schema['info']['version']}")
    rows = "".join(
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(API_PATH + path)}</code></td>"
        f"<td>{html.escape(operation['description'])}</td></tr>"
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    )
    return _DOCS.format(title=title, rows=rows, schema_url=f"{API_PATH}/openapi.json")


_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 60rem; margin: 3rem auto }}
table {{ border-collapse: collapse; width: 100% }}
td {{ border-top: 1px solid #d9dfe5; padding: .5rem 1rem .5rem 0; vertical-align: top }}
pre {{ background: #f4f6f8; padding: 1rem; overflow-x: auto }}
</style></head><body>
<h1>{title}</h1>
<table>{rows}</table>
<p>Fields and types: <a href="{schema_url}">{schema_url}</a> (OpenAPI). Bodies are JSON of at most 64 KiB;
errors are problem details (RFC 9457). <code>id</code> is the proposal's.</p>
<pre>curl -s http://127.0.0.1:8501/api/experiments/1/approve -H 'Content-Type: application/json' \\
  -d '{{"decision": "APPROVE", "notes": "equity and costs reviewed", "promote_to_production": true}}'</pre>
</body></html>
"""
