"""Nodes of L4's vote."""

from typing import Any

import pandas as pd

from dosvotos.backtest.evidence import FamilyTest, family_test, probabilistic_sharpe_ratio
from dosvotos.contracts.experiment import ExperimentContract, check_unchanged
from dosvotos.contracts.parameters import EvidenceParams, read_parameters
from dosvotos.contracts.records import BacktestRecord, DatasetRecord, TrainingRecord
from dosvotos.database.ledger import Look, TrialLedger
from dosvotos.pipelines.promotion.summary import print_summary
from dosvotos.promotion.criteria import Improvement
from dosvotos.promotion.proposal import Evidence, PromotionProposal, make_proposal
from dosvotos.promotion.registration import ProposalBook, Submission
from dosvotos.sources.feed import feed_of


def weigh_evidence(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    backtest: BacktestRecord,
    results: dict[str, Any],
    ledger: TrialLedger,
) -> Evidence:
    """Ask what luck, strategies without skill and missing data leave of the result."""
    settings = contract.parameters.evidence
    returns = pd.Series(results["daily_returns"], dtype=float)
    psr = probabilistic_sharpe_ratio(returns.to_numpy())
    looks, family = _family(contract, backtest, returns, ledger)
    if family is None:
        excluded = psr is not None and psr >= settings.min_psr
    else:
        excluded = family.spa_p_value <= settings.max_spa_p_value and family.in_superior_set
    beats = _beats_naive(results)
    test = dataset.splits["test"]
    uncovered = test.uncovered_sessions / test.sessions
    covered = uncovered <= contract.parameters.quality_thresholds.max_uncovered_sessions
    notes = [] if excluded else [_luck_note(settings, psr, looks, family)]
    notes += [] if beats else ["it does not beat the naive strategies"]
    notes += (
        []
        if covered
        else [
            f"{test.uncovered_sessions} of {test.sessions} test sessions have no bar with all features "
            f"({', '.join(test.missing_by_feature)})"
        ]
    )
    return Evidence(
        looks=looks,
        prior_trials=settings.prior_trials,
        psr=psr,
        spa_p_value=family.spa_p_value if family else None,
        in_superior_set=family.in_superior_set if family else None,
        luck_excluded=excluded,
        beats_naive=beats,
        seeds="one seed",
        point_in_time=dataset.point_in_time,
        covered=covered,
        ledger=ledger.genesis(),
        notes=tuple(notes),
    )


def propose_promotion(
    contract: ExperimentContract,
    dataset: DatasetRecord,
    training: TrainingRecord,
    backtest: BacktestRecord,
    results: dict[str, Any],
    comparison: dict[str, Any],
    evidence: Evidence,
) -> PromotionProposal:
    """Put criteria, improvement and evidence together into L4's vote."""
    interval = comparison["interval_90"]
    improvement = Improvement(
        comparison["status"],
        comparison["sharpe_improvement"],
        comparison["drawdown_improvement"],
        (interval[0], interval[1]) if interval else None,
        comparison["reached"],
    )
    edge = contract.parameters.sample_market.edge
    simulated = dataset.point_in_time == "simulated"
    lineage = {
        "acquisition_hash": dataset.acquisition_hash,
        "dataset_hash": dataset.dataset_hash,
        "config_hash": contract.config_hash,
        "feature_order_hash": dataset.feature_order_hash,
        "norm_stats_hash": dataset.norm_stats_hash,
        "model_hash": training.model_hash,
        "manifest_hash": training.manifest_hash,
        "reward_config_hash": contract.reward_config_hash,
        "backtest_hash": backtest.backtest_hash,
        "test_dataset_hash": backtest.test_dataset_hash,
        "test_period": backtest.test_period,
        "baseline_model_id": backtest.baseline_model_id,
        "mlflow_run_id": training.mlflow_run_id,
        "planted_edge": edge if simulated and edge > 0 else None,
        "oracle_sharpe": results["oracle_sharpe"],
    }
    return make_proposal(contract, training.model_id, results["metrics"], improvement, evidence, lineage)


def submit_proposal(
    proposal: PromotionProposal,
    training: TrainingRecord,
    dataset: DatasetRecord,
    results: dict[str, Any],
    comparison: dict[str, Any],
    contract: ExperimentContract,
    parameters: dict[str, Any],
) -> tuple[Submission]:
    """Hand the proposal and its report files to the books."""
    present = read_parameters(parameters)
    check_unchanged(contract, present)
    name = contract.experiment_name
    reports = {
        f"backtest_results_{name}.json": results,
        f"comparison_report_{name}.json": comparison,
        f"promotion_proposal_{name}.json": proposal.model_dump(mode="json"),
    }
    return (Submission(proposal, training, dataset, reports, present.data_acquisition.as_of),)


def announce(proposal: PromotionProposal, results: dict[str, Any], book: ProposalBook) -> None:
    """Print the proposal as it stands in the books, and what to do next."""
    print_summary(book.current(proposal.model_id), results)


def _family(
    contract: ExperimentContract, backtest: BacktestRecord, returns: pd.Series, ledger: TrialLedger
) -> tuple[int, FamilyTest | None]:
    parameters = contract.parameters
    settings = parameters.evidence
    feed = feed_of(parameters.data_acquisition.source, parameters.sample_market)
    start, end = parameters.date_ranges.test.start, contract.test_end
    rows = ledger.overlapping(Look(feed, backtest.model_hash, start, end))
    looks = len({row.model_hash for row in rows}) + settings.prior_trials
    if looks <= 1:
        return 1, None
    series = {backtest.model_hash: returns}
    for row in rows:
        other = pd.Series(row.daily_returns or {}, dtype=float).reindex(returns.index)
        if row.model_hash not in series and other.notna().all():
            series[row.model_hash] = other
    return looks, family_test(
        backtest.model_hash,
        pd.DataFrame(series),
        looks,
        settings.max_spa_p_value,
        settings.bootstrap_replications,
        settings.seed,
    )


def _beats_naive(results: dict[str, Any]) -> bool:
    own = results["metrics"]["sharpe_ratio"]
    naive = results["naive"]
    others = [naive["always_long"]["sharpe_ratio"], naive["always_short"]["sharpe_ratio"]]
    others += [naive["random_sharpe_p95"], 0.0]
    return own is not None and all(other is None or own > other for other in others)


def _luck_note(settings: EvidenceParams, psr: float | None, looks: int, family: FamilyTest | None) -> str:
    if family is None:
        shown = "undefined" if psr is None else f"{psr:.3f}"
        return f"the probabilistic Sharpe ratio is {shown}, {settings.min_psr} is needed"
    member = "in" if family.in_superior_set else "not in"
    return (
        f"as one of {looks} looks at this window it does not stand out (SPA p-value "
        f"{family.spa_p_value:.3f}, {settings.max_spa_p_value} is needed; {member} the superior set)"
    )
