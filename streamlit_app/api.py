"""The REST API: what the pages show and do, for programs."""

from datetime import MAXYEAR, UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from fastapi.security import HTTPBearer
from pydantic import AfterValidator, AwareDatetime, ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

import dosvotos
from dosvotos.backtest.report import BacktestReport
from dosvotos.commands.jobs import is_worker_up
from dosvotos.database.connection import schema_versions
from dosvotos.database.registry import state_of
from dosvotos.database.requests import problem_in
from dosvotos.database.tables import PROPOSAL_STATES, RECOMMENDATIONS
from dosvotos.errors import DosVotosError, LineageError
from dosvotos.formats import Language
from dosvotos.lineage.vote import decide_verified
from dosvotos.promotion.decision import vote_text
from dosvotos.promotion.dossier import read_extra_backtest, read_tested
from dosvotos.promotion.extra_backtests import request_backtest
from dosvotos.promotion.own_strategy import kind_of
from dosvotos.promotion.reasons import sentence
from dosvotos.promotion.retracted import built_on_retracted
from dosvotos.promotion.transaction import Signed
from dosvotos.promotion.tripwires import StatedTripwires
from dosvotos.promotion.vote_rules import needs_reason
from dosvotos.refusals import Phrase
from dosvotos.reports.evidence import questions_text
from dosvotos.users import same_person
from streamlit_app import queries
from streamlit_app.api_docs import docs_page
from streamlit_app.api_models import (
    Experiment,
    ExperimentDetail,
    ExtraBacktest,
    Health,
    Notice,
    PeriodRequest,
    Problem,
    QuestionsAsked,
    Requested,
    Signal,
    VoteRequest,
    VoteResult,
)
from streamlit_app.i18n import Translator
from streamlit_app.identity import Caller, cast_vote
from streamlit_app.problems import (
    MEDIA_TYPE,
    RefusedError,
    answer_to,
    answer_to_invalid,
    problem,
    spoken_language,
    told,
)
from streamlit_app.security import API_PATH

_MAX_ID = 2**31 - 1
_NAME = r"^[A-Za-z0-9/._@+-]+$"
DEFAULT_PAGE, LARGEST_PAGE = 200, 1_000


def caller_of(request: Request) -> Caller:
    """Give whom the gate let through."""
    caller: Caller = request.state.caller
    return caller


def language_of(request: Request) -> Language:
    """Give the language a caller likes best."""
    return spoken_language(request.headers)


Calling = Annotated[Caller, Depends(caller_of)]
Spoken = Annotated[Language, Depends(language_of)]
ProposalId = Annotated[int, Path(alias="id", ge=1, le=_MAX_ID, description="The proposal's id.")]
BacktestId = Annotated[int, Path(alias="id", ge=1, le=_MAX_ID, description="The extra backtest's id.")]
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="The longest page wanted.")]
Instrument = Annotated[
    str | None, Query(max_length=20, pattern=_NAME, description="Of this instrument only, as USD/COP.")
]
Sha256 = Annotated[str, Query(pattern="^[0-9a-f]{64}$", description="SHA-256 of your reason's UTF-8.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="Of your choice; the same request again gets the first one's answer.",
    ),
]


def _within_reach(moment: datetime) -> datetime:
    """Refuse a moment that no database's UTC can hold."""
    if not 1 < moment.year < MAXYEAR:
        raise ValueError(Phrase.of("year_beyond", last=MAXYEAR - 1))
    return moment


router = APIRouter(dependencies=[Security(HTTPBearer(auto_error=False))])
"""The gate has checked the token before; named here it is documented."""


@router.get("/health")
def health(language: Spoken) -> Health:
    """Say whether the database answers, whether the jobs worker lives, and how many proposals wait."""
    engine = queries.engine()
    present, _ = schema_versions(engine)
    now = datetime.now(UTC)
    up, retracted = is_worker_up(now), [found.told(language) for found in built_on_retracted(engine)]
    late = queries.late_messages(now, language)
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
def list_experiments(
    response: Response,
    status: Annotated[
        Literal[*PROPOSAL_STATES] | None, Query(description="Of this status only.")  # type: ignore[valid-type]
    ] = None,
    recommendation: Annotated[
        Literal[*RECOMMENDATIONS] | None, Query(description="Of this first vote only.")  # type: ignore[valid-type]
    ] = None,
    instrument: Instrument = None,
    experiment: Annotated[
        str | None, Query(max_length=64, pattern=_NAME, description="Of this experiment only.")
    ] = None,
    before: Annotated[int, Query(ge=1, le=_MAX_ID, description="Only ids below this one.")] = _MAX_ID,
    limit: Limit = DEFAULT_PAGE,
) -> list[Experiment]:
    """List proposals, newest first; the Link header names the next page."""
    now = datetime.now(UTC)
    wanted = {
        "status": status,
        "recommendation": recommendation,
        "instrument": instrument,
        "experiment_name": experiment,
    }
    rows = (_fields(row, now) for row in queries.proposals() if row.id < before)
    found = [row for row in rows if all(value in (None, row[name]) for name, value in wanted.items())]
    if len(found) > limit:
        filters = wanted | {"experiment": experiment, "before": found[limit - 1]["id"], "limit": limit}
        _link_next(response, "/experiments", filters)
    return [Experiment(**row) for row in found[:limit]]


@router.get("/experiments/{id}")
def get_experiment(proposal_id: ProposalId, language: Spoken) -> ExperimentDetail:
    """Give one proposal with its metrics, evidence, lineage and backtest."""
    row = queries.proposal(proposal_id)
    results, trouble = None, None
    try:
        results = read_tested(row, BacktestReport)
    except LineageError as error:
        trouble = told(error, language)
    return ExperimentDetail(
        **_fields(row, datetime.now(UTC)),
        votes=list(queries.votes(row)),
        questions=_questions(row.instrument, language),
        notices=[Notice(**dict(one), text=sentence(one, language)) for one in queries.notices(row)],
        backtest_results=results,
        report_problem=trouble,
    )


@router.get("/experiments/{id}/decision-text", response_class=PlainTextResponse)
def get_decision_text(
    proposal_id: ProposalId,
    caller: Calling,
    action: Annotated[Literal["APPROVE", "REJECT"], Query(description="What you decide.")],
    reason_sha256: Sha256,
    stage: Annotated[
        Literal["production", "shadow"], Query(description="Where an approval brings the model.")
    ] = "production",
    lapses: Annotated[
        str | None,
        Query(
            max_length=200,
            description="When an approval ends, as JSON with max_drawdown, max_age_days and claim_level; by "
            "default the policy's bounds.",
        ),
    ] = None,
) -> PlainTextResponse:
    """Give the text to sign for a vote, to the byte; it counts for ten minutes."""
    if caller.role is None:
        raise RefusedError(409, "single_user_signs")
    stated = StatedTripwires() if lapses is None else _stated(lapses)
    vote = cast_vote(caller, action, None, stage == "production", stated)
    text = vote_text(queries.engine(), proposal_id, vote, datetime.now(UTC), reason_sha256)
    return PlainTextResponse(str(text))


@router.post("/experiments/{id}/approve", response_model_exclude_none=True)
def vote(
    proposal_id: ProposalId,
    request: VoteRequest,
    response: Response,
    caller: Calling,
    idempotency_key: IdempotencyKey = None,
) -> VoteResult:
    """Cast the second vote: approve (to production or shadow), reject, or ask for extra backtests."""
    if request.reviewer is not None and not same_person(request.reviewer, caller.name):
        raise RefusedError(403, "reviewer", person=caller.name)
    if caller.role is not None and request.text is None and needs_reason(request.decision):
        raise RefusedError(403, "unsigned", id=proposal_id)
    cast = cast_vote(caller, request.decision, request.notes, request.promote_to_production, request.lapses)
    signed = Signed(request.text, request.signature) if request.text and request.signature else None
    now = datetime.now(UTC)
    result = decide_verified(queries.engine(), proposal_id, cast, now, signed, idempotency_key)
    if result.repeated:
        response.headers["Idempotency-Replayed"] = "true"
    return VoteResult(
        model_id=result.model_id, new_stage=result.new_stage, missing_approvals=result.missing or None
    )


@router.post("/experiments/{id}/backtest", status_code=202)
def request_extra_backtest(proposal_id: ProposalId, request: PeriodRequest, caller: Calling) -> Requested:
    """Ask for an extra backtest of the proposal's model; the same period again is the same request."""
    backtest_id = request_backtest(
        queries.engine(), proposal_id, request.start_date, request.end_date, caller.name, datetime.now(UTC)
    )
    return Requested(backtest_id=backtest_id, status=queries.extra_backtest(backtest_id).status)


@router.get("/backtests/{id}")
def get_backtest(backtest_id: BacktestId, language: Spoken) -> ExtraBacktest:
    """Give an extra backtest: how far it is and, once done, its result."""
    row = queries.extra_backtest(backtest_id)
    results, trouble = None, problem_in(row, language)
    if row.status == "done":
        try:
            results = read_extra_backtest(row)
        except LineageError as error:
            trouble = told(error, language)
    return ExtraBacktest(**row._mapping, backtest_id=row.id, backtest_results=results, trouble=trouble)


@router.get("/signals")
def list_signals(
    response: Response,
    since: Annotated[
        Annotated[AwareDatetime, AfterValidator(_within_reach)] | None,
        Query(description="Only bars after this one, then oldest first; as 2026-01-30T13:05:00Z."),
    ] = None,
    instrument: Instrument = None,
    limit: Limit = DEFAULT_PAGE,
) -> list[Signal]:
    """List signals of bars: the newest first or, with `since`, what came after it, with a Link to go on."""
    rows = queries.signals(limit, instrument, since)
    if since is not None and len(rows) >= limit:
        _link_next(
            response,
            "/signals",
            {"since": rows[-1].timestamp.isoformat(), "instrument": instrument, "limit": limit},
        )
    return [Signal(**row._mapping) for row in rows]


@router.get("/docs", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """Show the routes with examples in plain HTML, which needs nothing from elsewhere."""
    return HTMLResponse(docs_page(request.app.openapi(), API_PATH))


def create_api() -> FastAPI:
    """Build the API as an app of its own, to be mounted behind the gate."""
    api = FastAPI(
        title="Dos Votos",
        version=dosvotos.__version__,
        description="Bodies are JSON of at most 64 KiB; errors are problem details (RFC 9457) with a stable "
        "code, in the language of Accept-Language (en, es). Programs send 'Authorization: Bearer TOKEN'.",
        servers=[{"url": API_PATH}],
        root_path_in_servers=False,
        docs_url=None,
        redoc_url=None,
        responses={"4XX": {"description": "Refused", "content": {MEDIA_TYPE: {}}, "model": Problem}},
    )
    api.include_router(router)
    api.add_exception_handler(DosVotosError, _refused)
    api.add_exception_handler(RefusedError, _refused)
    api.add_exception_handler(ValidationError, _refused)
    api.add_exception_handler(RequestValidationError, answer_to_invalid)
    api.add_exception_handler(StarletteHTTPException, _http_error)
    api.add_exception_handler(Exception, _unexpected)
    return api


def _fields(row: queries.Record, now: datetime) -> dict[str, Any]:
    return {**row._mapping, "status": state_of(row, now), "kind": kind_of(row)}


def _questions(instrument: str, language: Language) -> QuestionsAsked:
    questions = queries.questions(instrument)
    return QuestionsAsked(**questions._asdict(), text=questions_text(questions, instrument, language))


def _stated(lapses: str) -> StatedTripwires:
    try:
        return StatedTripwires.model_validate_json(lapses)
    except ValidationError as error:
        said = Phrase.of("of_field", field="query.lapses", problem=error)
        raise RefusedError(422, "invalid", said=said) from error


def _link_next(response: Response, path: str, query: dict[str, object]) -> None:
    """Name the next page in the Link header (RFC 8288)."""
    stated = {name: value for name, value in query.items() if value is not None}
    response.headers["Link"] = f'<{API_PATH}{path}?{urlencode(stated)}>; rel="next"'


def _refused(request: Request, error: Exception) -> Response:
    return answer_to(error, spoken_language(request.headers))


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    return problem(error.status_code, f"http_{error.status_code}", error.detail)


def _unexpected(request: Request, __: Exception) -> Response:
    """Tell nothing; the server logs the error itself."""
    detail = Translator(spoken_language(request.headers))("problem.unexpected")
    return problem(500, "unexpected", detail)
