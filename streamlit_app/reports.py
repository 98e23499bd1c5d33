"""The files of a proposal: read once, checked against the hashes of its row, parsed from memory."""

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import Row

from dosvotos.backtest.cuts import Cuts
from dosvotos.backtest.stress import Stress
from dosvotos.backtest.window import Sample
from dosvotos.errors import LineageError
from dosvotos.hashing import digest_bytes

Metrics = dict[str, float | None]
"""Figures by name, as L4 measured them; None where one is not defined."""


class Trade(BaseModel):
    """A closed round trip."""

    entry_time: str
    exit_time: str
    direction: int
    units: float
    entry_price: float
    exit_price: float
    pnl: float


class Naive(BaseModel):
    """What simple strategies made of the same bars at the same costs."""

    always_long: Metrics
    always_short: Metrics
    random_sharpe_p95: float | None


class Backtest(BaseModel):
    """What the app shows of ``backtest_results_{exp}.json``; older files have no cuts and no stress."""

    test_period: str
    sample: Sample = "OUT-OF-SAMPLE"
    """Older files hold out-of-sample results only."""
    metrics: Metrics
    metrics_with_financing: Metrics | None
    metrics_without_financing: Metrics | None = None
    financing_note: str | None
    naive: Naive
    oracle_sharpe: float | None
    equity_curve: list[tuple[str, float]]
    """Bar time (ISO, UTC) and equity."""
    drawdown_series: list[tuple[str, float]]
    """Bar time and fall from the peak, a positive fraction."""
    trades: list[Trade]
    daily_returns: dict[str, float]
    """By Bogota session date."""
    cuts: Cuts | None = None
    stress: Stress | None = None


class Comparison(BaseModel):
    """What the app shows of ``comparison_report_{exp}.json``."""

    baseline_model_id: str | None
    status: Literal["not_applicable", "not_comparable", "compared"]
    baseline_metrics: Metrics | None
    sharpe_difference: float | None = None
    sharpe_improvement: float | None
    drawdown_improvement: float | None
    interval_90: tuple[float, float] | None
    baseline_equity_curve: list[tuple[str, float]] | None = None


_Report = TypeVar("_Report", bound=BaseModel)


def read_backtest(proposal: Row[Any]) -> Backtest:
    """Read the backtest behind a proposal.

    Raises
    ------
    LineageError
        If the file is missing, altered or not of this version.
    """
    return _read(proposal, "backtest_results", Backtest)


def read_comparison(proposal: Row[Any]) -> Comparison:
    """Read the comparison with production behind a proposal; raises as `read_backtest` does."""
    return _read(proposal, "comparison_report", Comparison)


def _read(proposal: Row[Any], kind: str, model: type[_Report]) -> _Report:
    name = f"{kind}_{proposal.experiment_name}.json"
    if (expected := proposal.report_files.get(name)) is None:
        raise LineageError(f"{name}: proposal {proposal.id} has no hash of it")
    path = Path(proposal.report_folder) / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LineageError(f"{path}: cannot be read: {error.strerror}") from error
    if (found := digest_bytes(content)) != expected:
        raise LineageError(f"{path}: altered; expected SHA-256 {expected}, found {found}")
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        wrong = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise LineageError(f"{path}: not a report of this version, see {wrong}") from error
