"""Make every layer's record again from the stored rows and the model's bundle.

The pipelines make their records by the same functions; before a vote they are made once more, and what was
recorded is compared with them.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from dosvotos.backtest.production import ComparisonReport, ProductionBacktest, make_comparison
from dosvotos.backtest.report import BacktestReport, account_report
from dosvotos.backtest.run import run_backtest, run_linear_rival, trade
from dosvotos.backtest.simulate import decider_of, policy_targets, rival_of
from dosvotos.backtest.window import sample_of, seen_splits
from dosvotos.contracts.experiment import ExperimentContract, reward_config
from dosvotos.contracts.features import FEATURE_ORDER_HASH
from dosvotos.contracts.records import (
    BacktestRecord,
    DatasetRecord,
    FoldRecord,
    LinearFit,
    Record,
    SeedRecord,
    SplitRecord,
    TrainingRecord,
)
from dosvotos.database.history import history_hash
from dosvotos.errors import AlteredError, LineageError
from dosvotos.hashing import combine, digest_frame, short
from dosvotos.market.accounting import Tape
from dosvotos.market.dataset import SPLITS, describe_split, feature_rows, point_in_time
from dosvotos.market.drift import feature_drift
from dosvotos.market.features import MarketHistory
from dosvotos.market.missing import missing_reasons
from dosvotos.market.normalization import NormStats, fit_norm_stats
from dosvotos.market.splits import Split, folds_of, splits_of
from dosvotos.policy.bundle import REWARD_CONFIG, Bundle
from dosvotos.policy.candidate import Candidate, Line
from dosvotos.policy.strategy import Strategy
from dosvotos.promotion.gate_policy import GatePolicy
from dosvotos.refusals import Phrase


class Baseline(NamedTuple):
    """The production model that a candidate is compared with."""

    model_id: str
    date_ranges: Mapping[str, str]
    """Of its own dataset: ``2023-01-01 to 2024-12-30`` by split."""
    bundle: Bundle


class RecordedTraining(NamedTuple):
    """What of a training nothing can make again."""

    model_id: str
    run: Mapping[str, Any]
    """The facts of its run, as `TrainingRecord.run` gives them."""


class TrainedRecords(Record):
    """What L2 and L3 record: of a refit, all there is."""

    dataset: DatasetRecord
    training: TrainingRecord


class PipelineRecords(TrainedRecords):
    """What L2 to L4 record."""

    backtest: BacktestRecord
    report: BacktestReport
    comparison: ComparisonReport


def recompute(
    contract: ExperimentContract,
    history: MarketHistory,
    candidate: Candidate,
    recorded: RecordedTraining,
    production: Baseline | None,
    policy: GatePolicy,
) -> PipelineRecords:
    """Make the records of L2 to L4 again: `remake_dataset`, then `recompute_later_layers`.

    Parameters
    ----------
    contract : ExperimentContract
        As the database has it.
    history : MarketHistory
        Stored rows as known at the contract's ``data_as_of``.
    candidate : Bundle, Line or Strategy
    recorded : RecordedTraining
    production : Baseline or None
    policy : GatePolicy
        The house's, for how windows and traders are drawn.

    Raises
    ------
    LineageError
        If the bundle does not say how it was trained.
    """
    dataset, rows = remake_dataset(contract, history)
    return recompute_later_layers(contract, dataset, rows, candidate, recorded, production, policy)


def recompute_training(
    contract: ExperimentContract, history: MarketHistory, candidate: Candidate, recorded: RecordedTraining
) -> TrainedRecords:
    """Make the records of L2 and L3 alone again: no model runs over test. Raises as `recompute`."""
    dataset, rows = remake_dataset(contract, history)
    training = make_candidate_record(contract, dataset, candidate, rows, recorded)
    return TrainedRecords(dataset=dataset, training=training)


def remake_dataset(
    contract: ExperimentContract, history: MarketHistory
) -> tuple[DatasetRecord, pd.DataFrame]:
    """Make a dataset's record again from stored rows, and all its rows: the splits' and those between."""
    rows, cut = feature_rows(history, contract.parameters), splits_of(contract.parameters)
    splits = {name: cut[name].select(rows) for name in SPLITS}
    return make_dataset_record(contract, history, splits, fit_norm_stats(splits["train"])), rows


def recompute_later_layers(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    rows: pd.DataFrame,
    candidate: Candidate,
    recorded: RecordedTraining,
    production: Baseline | None,
    policy: GatePolicy,
) -> PipelineRecords:
    """Make the records of L3 and L4 again, from a dataset that `remake_dataset` made."""
    test = splits_of(contract.parameters)["test"].select(rows)
    training = make_candidate_record(contract, dataset, candidate, rows, recorded)
    report = make_report(contract, dataset, training, candidate, test, policy)
    baseline = backtest_baseline(contract, candidate, production, test)
    comparison = compare(contract, report, baseline, policy)
    backtest = make_backtest_record(dataset, training, report, comparison)
    return PipelineRecords(
        dataset=dataset, training=training, backtest=backtest, report=report, comparison=comparison
    )


def make_dataset_record(
    contract: ExperimentContract,
    history: MarketHistory,
    rows: Mapping[str, pd.DataFrame],
    norm_stats: NormStats,
) -> DatasetRecord:
    """Record a dataset: its hashes, and what is missing in it and why.

    Parameters
    ----------
    contract : ExperimentContract
    history : MarketHistory
    rows : mapping of DataFrame
        train, val and test, in this order.
    norm_stats : NormStats
    """
    name, variables = contract.experiment_name, contract.parameters.macro_variables.variables
    splits, parts = splits_of(contract.parameters), dict[str, SplitRecord]()
    for split, of_split in rows.items():
        reasons = missing_reasons(of_split, history, variables, contract.parameters.calendar)
        parts[split] = describe_split(splits[split], of_split, reasons, f"DS_{name}_{split}.parquet")
    complete = sum(part.complete_rows for part in parts.values())
    return DatasetRecord(
        experiment_name=name,
        contract_id=contract.contract_id,
        dataset_hash=combine(part.digest for part in parts.values()),
        config_hash=contract.config_hash,
        feature_order_hash=FEATURE_ORDER_HASH,
        norm_stats_hash=norm_stats.digest,
        acquisition_hash=history_hash(history, contract.schema_version),
        date_ranges={k: f"{p.first_session} to {p.last_session}" for k, p in parts.items()},
        ohlcv_rows=len(history.bars),
        macro_sources=dict(history.macro.groupby("variable")["source"].last()),
        point_in_time=point_in_time(history.macro),
        dataset_path=parts["train"].path,
        row_count=complete,
        dropped_rows=sum(part.bars for part in parts.values()) - complete,
        dropped_by_reason=dict(sum((Counter(part.missing_by_reason) for part in parts.values()), Counter())),
        splits=parts,
        drift=feature_drift(rows["train"], rows["val"]) if contract.records_drift else None,
    )


def make_candidate_record(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    candidate: Candidate,
    rows: pd.DataFrame,
    recorded: RecordedTraining,
) -> TrainingRecord:
    """Make the record of whatever is judged; `rows` are all of the dataset's, for folds and for val."""
    if isinstance(candidate, Strategy):
        val = splits_of(contract.parameters)["val"].select(rows)
        return make_strategy_record(contract, dataset, candidate, val)
    training = make_training_record(contract, dataset, candidate, recorded)
    if not isinstance(candidate, Line):
        return training
    return training.model_copy(update={"folds": fold_records(contract, candidate, fold_rows(contract, rows))})


def make_strategy_record(
    contract: ExperimentContract, dataset: DatasetRecord, strategy: Strategy, val: pd.DataFrame
) -> TrainingRecord:
    """Record a strategy of one's own, of which nothing was trained; its return on val is for information."""
    tape = Tape.from_rows(val)
    account = trade(tape, strategy.targets(val), contract.parameters)
    return TrainingRecord(
        experiment_name=contract.experiment_name,
        model_id=model_id_of(contract, strategy),
        model_hash=strategy.model_hash,
        model_path=str(strategy.folder),
        manifest_hash=strategy.manifest_hash,
        dataset_hash=dataset.dataset_hash,
        config_hash=contract.config_hash,
        reward_config_hash=contract.reward_config_hash,
        curriculum_final_phase="none",
        training_duration_seconds=0.0,
        timesteps=0,
        best_val_reward=float(account.equity[-1]) / contract.parameters.trading.initial_capital - 1,
        best_reward=None,
        engine="own",
        seed=0,
        seeds=(),
        torch_threads=0,
        blas_threads=None,
        trained_by=contract.trained_by,
        mlflow_run_id=None,
        targets=strategy.reference,
    )


def fold_rows(contract: ExperimentContract, rows: pd.DataFrame) -> list[dict[str, pd.DataFrame]]:
    """Cut train and val of each fold of a line from all of its dataset's rows."""
    return [{n: splits[n].select(rows) for n in ("train", "val")} for splits in folds_of(contract.parameters)]


def fold_records(
    contract: ExperimentContract, line: Line, rows: Sequence[Mapping[str, pd.DataFrame]]
) -> tuple[FoldRecord, ...]:
    """Record each fold of a line, by its bundle and by the rows of its train and val.

    Raises
    ------
    LineageError
        If a bundle's statistics are not those of its fold's train, or there are not as many as folds.
    """
    splits, made = folds_of(contract.parameters), []
    if len(splits) != len(line.bundles):
        raise AlteredError.of(
            "folds_count", folder=line.folder, found=len(line.bundles), expected=len(splits)
        )
    for number, (of_fold, bundle, parts) in enumerate(zip(splits, line.bundles, rows, strict=True), 1):
        metrics, norm_stats = _training_metrics(bundle), fit_norm_stats(parts["train"])
        if norm_stats.digest != bundle.policy.norm_stats.digest:
            raise LineageError.of("fold_statistics", folder=bundle.folder, fold=number)
        made.append(
            FoldRecord(
                fold=number,
                date_ranges={name: _period(split) for name, split in of_fold.items()},
                dataset_hash=combine(digest_frame(parts[name]) for name in ("train", "val")),
                norm_stats_hash=norm_stats.digest,
                manifest_hash=bundle.manifest_hash,
                model_hash=bundle.model_hash,
                seed=metrics["seed"],
                best_val_reward=metrics["best_val_reward"],
            )
        )
    return tuple(made)


def _period(split: Split) -> str:
    days = split.sessions()
    return f"{days[0]} to {days[-1]}"


def make_training_record(
    contract: ExperimentContract, dataset: DatasetRecord, candidate: Bundle, recorded: RecordedTraining
) -> TrainingRecord:
    """Make a training's record from its bundle; the facts of its run are those recorded."""
    metrics, run = _training_metrics(candidate), dict(recorded.run)
    of_seeds = run.pop("seeds")
    if len(of_seeds) != len(metrics["seeds"]):
        raise AlteredError.of(
            "seeds_count", recorded=len(of_seeds), folder=candidate.folder, found=len(metrics["seeds"])
        )
    figures = ("seed", "model_hash", "best_val_reward", "best_reward", "timesteps")
    seeds = tuple(
        SeedRecord(**{name: seed[name] for name in figures}, **of_seed)
        for seed, of_seed in zip(metrics["seeds"], of_seeds, strict=True)
    )
    return TrainingRecord(
        experiment_name=contract.experiment_name,
        model_id=model_id_of(contract, candidate, recorded.model_id),
        model_hash=candidate.policy.model_hash,
        manifest_hash=candidate.manifest_hash,
        dataset_hash=dataset.dataset_hash,
        config_hash=contract.config_hash,
        reward_config_hash=contract.reward_config_hash,
        curriculum_final_phase=metrics["final_phase"],
        seeds=seeds,
        linear_rival=_linear_fit(contract, candidate, metrics.get("linear_rival")),
        trained_by=contract.trained_by,
        **{name: metrics[name] for name in ("engine", "seed", "timesteps", "best_val_reward", "best_reward")},
        **run,
    )


def model_id_of(contract: ExperimentContract, candidate: Candidate, recorded: str | None = None) -> str:
    """Name a model by experiment, day of its contract and bundle; older models are named by their weights."""
    prefix = f"{contract.experiment_name}_{contract.created_at:%Y%m%d}"
    older = f"{prefix}_{short(candidate.model_hash)}"
    return older if recorded == older else f"{prefix}_{short(candidate.manifest_hash)}"


def make_report(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    candidate: Candidate,
    test: pd.DataFrame,
    policy: GatePolicy,
) -> BacktestReport:
    """Run the candidate over the test window, beside strategies without skill and its linear rival."""
    parameters, floors = contract.parameters, policy.evidence
    window, decider = splits_of(parameters)["test"], decider_of(candidate, parameters)
    result = run_backtest(decider, test, window.sessions(), parameters, floors.seed)
    rival = rival_of(candidate, parameters)
    return BacktestReport(
        **dict(result),
        model_id=training.model_id,
        model_hash=training.model_hash,
        experiment_name=contract.experiment_name,
        test_period=f"{window.first} to {window.last}",
        sample=sample_of(window.first, window.last, dataset.date_ranges),
        linear_rival=run_linear_rival(rival, result, test, parameters, floors.bootstrap),
    )


def backtest_baseline(
    contract: ExperimentContract, candidate: Candidate, production: Baseline | None, test: pd.DataFrame
) -> ProductionBacktest:
    """Run the production model over the same bars with the same costs and financing.

    There is nothing to run without a production model, or when the candidate is that model itself.
    """
    if production is None:
        return ProductionBacktest(status="not_applicable", model_id=None)
    window, model_id = splits_of(contract.parameters)["test"], production.model_id
    if production.bundle.model_hash == candidate.model_hash:
        return ProductionBacktest(status="not_applicable", model_id=model_id)
    if seen_splits(window.first, window.last, production.date_ranges):
        return ProductionBacktest(status="not_comparable", model_id=model_id)
    tape = Tape.from_rows(test)
    account = trade(tape, policy_targets(production.bundle.policy, test), contract.parameters)
    report = account_report(account, tape, window.sessions())
    return ProductionBacktest(status="compared", model_id=model_id, **dict(report))


def compare(
    contract: ExperimentContract, report: BacktestReport, baseline: ProductionBacktest, policy: GatePolicy
) -> ComparisonReport:
    """Compare the candidate with the production model, the paired difference and its interval included."""
    threshold = contract.parameters.quality_thresholds.success_criteria.improvement_threshold
    return make_comparison(report, baseline, threshold, policy.evidence.bootstrap)


def make_backtest_record(
    dataset: DatasetRecord, training: TrainingRecord, report: BacktestReport, comparison: ComparisonReport
) -> BacktestRecord:
    """Record a backtest and what it was made from."""
    return BacktestRecord(
        experiment_name=report.experiment_name,
        model_id=training.model_id,
        model_hash=training.model_hash,
        dataset_hash=dataset.dataset_hash,
        test_dataset_hash=dataset.splits["test"].digest,
        backtest_hash=report.backtest_hash,
        test_period=report.test_period,
        baseline_model_id=comparison.baseline_model_id,
        promotion_decision="PENDING_APPROVAL",
    )


def check_kind(contract: ExperimentContract, candidate: Candidate) -> None:
    """Refuse a candidate of another kind than its contract asks for: one model is no line, and no strategy.

    Raises
    ------
    LineageError
    """
    parameters = contract.parameters
    asked = "strategy" if parameters.candidate else "line" if parameters.splits.is_line else "model"
    kinds = {Strategy: "strategy", Line: "line", Bundle: "model"}
    if (found := kinds[type(candidate)]) != asked:
        raise LineageError.of(
            "candidate_kind",
            folder=candidate.folder,
            found=Phrase.of(f"kind_{found}"),
            contract=contract.contract_id,
            version=contract.contract_version,
            asked=Phrase.of(f"kind_{asked}"),
        )


def check_bundle_config(contract: ExperimentContract, candidate: Candidate) -> None:
    """Refuse a bundle, or a strategy's sealed copy, whose own configuration is not the contract's.

    Raises
    ------
    LineageError
        Also if the candidate is of another kind than its contract.
    """
    check_kind(contract, candidate)
    own = candidate.config, json.loads(_file(candidate, REWARD_CONFIG))
    if own != (contract.frozen_config, reward_config(contract.parameters)):
        raise LineageError.of(
            "bundle_config",
            folder=candidate.folder,
            contract=contract.contract_id,
            version=contract.contract_version,
        )


def _linear_fit(contract: ExperimentContract, candidate: Bundle, recorded: Any) -> LinearFit | None:
    """Give what the bundle says of its linear rival, with the hash of the tensors it holds.

    Raises
    ------
    LineageError
        If a bundle of a contract that asks for a rival holds none.
    """
    rival = candidate.linear_rival
    if contract.has_linear_rival and (rival is None or recorded is None):
        raise LineageError.of("no_linear_rival", folder=candidate.folder)
    return None if rival is None else LinearFit(**{**recorded, "model_hash": rival.model_hash})


def _training_metrics(candidate: Bundle) -> Any:
    return json.loads(_file(candidate, "training_metrics.json"))


def _file(candidate: Candidate, name: str) -> bytes:
    if (content := candidate.files.get(name)) is None:
        raise LineageError.of("bundle_without", folder=candidate.folder, name=name)
    return content
