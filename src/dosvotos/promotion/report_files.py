"""The report files beside a proposal: their names, and the only way they are written and read."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from sqlalchemy import Row

from dosvotos.backtest.production import ComparisonReport
from dosvotos.backtest.report import BacktestReport, ExtraBacktestReport
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import (
    BacktestRecord,
    ChainRecord,
    DatasetRecord,
    Model,
    TrainingRecord,
    parse_record,
)
from dosvotos.errors import LineageError
from dosvotos.hashing import digest_bytes
from dosvotos.promotion.proposal import PromotionProposal

FILE_NAMES: Final[dict[type[BaseModel], str]] = {
    ExperimentContract: "experiment_contract.json",
    DatasetRecord: "DS_{experiment}_lineage.json",
    TrainingRecord: "training_record.json",
    BacktestRecord: "backtest_record.json",
    ChainRecord: "chain_record.json",
    BacktestReport: "backtest_results_{experiment}.json",
    ComparisonReport: "comparison_report_{experiment}.json",
    PromotionProposal: "promotion_proposal_{experiment}.json",
}


def report_files(records: Iterable[BaseModel], experiment: str) -> dict[str, bytes]:
    """Write records as their files' contents, by file name."""
    return {FILE_NAMES[type(one)].format(experiment=experiment): to_json_bytes(one) for one in records}


def to_json_bytes(record: BaseModel) -> bytes:
    """Write a record as its file holds it."""
    return (record.model_dump_json(indent=2) + "\n").encode()


def read_report(proposal: Row[Any], model: type[Model]) -> Model:
    """Read one record behind a proposal.

    Raises
    ------
    LineageError
        If its file is missing, altered or written by another version.
    """
    name = FILE_NAMES[model].format(experiment=proposal.experiment_name)
    if (digest := proposal.report_files.get(name)) is None:
        raise LineageError(
            f"proposal {proposal.id} has no {name}: an older version made it; run the backtest and promotion "
            "pipelines again"
        )
    path = Path(proposal.report_folder) / name
    return parse_record(model, _read(path, digest), str(path))


def read_extra_backtest(request: Row[Any]) -> ExtraBacktestReport:
    """Read the report of an extra backtest that is done; raises as `read_report` does."""
    path = Path(request.result_file)
    return parse_record(ExtraBacktestReport, _read(path, request.result_hash), str(path))


def check_reports(proposal: Row[Any]) -> None:
    """Refuse a proposal whose report files are missing or altered.

    Raises
    ------
    LineageError
        Naming the file.
    """
    for name, digest in proposal.report_files.items():
        _read(Path(proposal.report_folder) / name, digest)


def _read(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise LineageError(f"{path}: missing; run the backtest and promotion pipelines again") from None
    except OSError as error:
        raise LineageError(f"{path}: cannot be read: {error.strerror}") from error
    if (found := digest_bytes(content)) != digest:
        raise LineageError(f"{path}: altered; expected SHA-256 {digest}, found {found}")
    return content
