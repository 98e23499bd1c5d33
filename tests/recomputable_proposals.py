"""Proposals whose every record can be made again: a small market, a policy that fits it, L2 to L4 on both."""

import contextlib
import json
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from sqlalchemy import Engine

from dosvotos.contracts.experiment import ExperimentContract, make_contract, reward_config
from dosvotos.contracts.features import FEATURE_ORDER
from dosvotos.contracts.records import LayerRecords
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.history import stored_history
from dosvotos.database.ledger import TrialLedger, look_of
from dosvotos.database.market_data import StoredMarket
from dosvotos.database.registry import production_model
from dosvotos.hashing import digest_frame
from dosvotos.lineage.chain import unbroken_chain
from dosvotos.lineage.recompute import (
    Baseline,
    PipelineRecords,
    RecordedTraining,
    recompute,
    recompute_training,
)
from dosvotos.lineage.vote import baseline_of
from dosvotos.market.calendar import scheduled_sessions, session_bar_times
from dosvotos.market.dataset import SPLITS, feature_rows
from dosvotos.market.features import MarketHistory
from dosvotos.market.normalization import NormStats, fit_norm_stats
from dosvotos.market.splits import folds_of, splits_of
from dosvotos.pipelines.refit import nodes
from dosvotos.policy.bundle import LINEAR_RIVAL, Bundle, tensor_bytes, write_bundle
from dosvotos.policy.candidate import Candidate, line_files, open_candidate
from dosvotos.policy.forward import ServedPolicy
from dosvotos.policy.strategy import read_strategy
from dosvotos.promotion.evidence import make_evidence
from dosvotos.promotion.gate_policy import GatePolicies, GatePolicy
from dosvotos.promotion.proposal import make_proposal
from dosvotos.promotion.registration import NewProposal, ProposalRegistry
from dosvotos.training.linear import linear_policy
from tests.conftest import parameters_of
from tests.market_factory import CALENDAR, INSTRUMENT, STORED_AT, macro_observations
from tests.report_factory import LINEAR_FIT

DATES = {
    "train": {"start": "2025-05-12", "end": "2025-05-30"},
    "val": {"start": "2025-06-03", "end": "2025-06-20"},
    "test": {"start": "2025-06-24", "end": "2025-07-31"},
}
LATER = {
    "train": {"start": "2025-05-12", "end": "2025-06-20"},
    "val": {"start": "2025-06-24", "end": "2025-07-11"},
    "test": {"start": "2025-07-15", "end": "2025-07-31"},
}
"""Of a refit of a contract on `DATES`."""
MARKET_SEED = 77
RUN = {
    "training_duration_seconds": 12.5,
    "torch_threads": 1,
    "blas_threads": 1,
    "mlflow_run_id": None,
    "seeds": [{"duration_seconds": 12.5}],
}
STORED = datetime.fromisoformat("2025-08-01T00:00:00+00:00")


def propose_recomputable(
    engine: Engine,
    root: Path,
    experiment: str = "demo",
    seed: int = 1,
    now: datetime = STORED,
    named_by_weights: bool = False,
    **of_contract: Any,
) -> int:
    """Train, judge and propose a model of a small market; gives the proposal's id.

    The market rises and falls by the hour and the policy knows it: L4 passes it honestly, as REVIEW, since
    the window is short. `named_by_weights` gives the model an id as before dossiers.
    """
    contract = stored_contract(engine, experiment, **of_contract)
    history = stored_small_market(engine, contract)
    candidate = fitted_bundle(root, contract, history, seed)
    older = f"{experiment}_{contract.created_at:%Y%m%d}_{candidate.policy.model_hash[:12]}"
    return _propose(engine, root, contract, history, candidate, older if named_by_weights else "", now)


def propose_own(
    engine: Engine, root: Path, source: str, experiment: str = "my_rule", now: datetime = STORED
) -> int:
    """Judge and propose a strategy of one's own, of which `source` is the module; gives the proposal's id."""
    own = root / "conf" / experiment / "my_rule.py"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(source)
    contract = stored_contract(engine, experiment, candidate={"targets": "my_rule:targets"})
    history = stored_small_market(engine, contract)
    with contextlib.chdir(root):
        strategy = read_strategy(Path("data/06_models"), contract)
        strategy.seal()
    return _propose(engine, root, contract, history, strategy, "", now)


def propose_line(
    engine: Engine, root: Path, n_folds: int = 2, version: str = "1.0.0", now: datetime = STORED
) -> int:
    """Judge and propose a walk-forward line of policies that know the market; gives the proposal's id."""
    contract = stored_contract(engine, "line", version, splits=line_splits(n_folds))
    history = stored_small_market(engine, contract)
    return _propose(engine, root, contract, history, fitted_line(root, contract, history), "", now)


def fitted_line(root: Path, contract: ExperimentContract, history: MarketHistory, seed: int = 1) -> Candidate:
    """Write the bundles of a line of policies that trade the small market's hours."""
    rows, folds = feature_rows(history, contract.parameters), folds_of(contract.parameters)
    bundles: list[Bundle] = []
    for fold, splits in enumerate(folds, 1):
        policy = hourly_policy(fit_norm_stats(splits["train"].select(rows)), seed - 1 + fold)
        files = bundle_files(contract, policy)
        if fold == len(folds):
            files |= line_files(tuple(bundles))
        bundles.append(write_bundle(root / "data/06_models", policy, files))
    return open_candidate(bundles[-1].folder, bundles[-1].manifest_hash)


def propose_refit(
    engine: Engine,
    root: Path,
    version: str = "1.1.0",
    dates: dict[str, dict[str, str]] = LATER,
    now: datetime = STORED,
    **sections: Any,
) -> int:
    """Train demo's approved contract on later data, and propose it by the nodes of `refit`; gives its id."""
    contract = stored_contract(engine, "demo", version, date_ranges=dates, **sections)
    history = stored_small_market(engine, contract)
    candidate = fitted_bundle(root, contract, history, 2)
    recorded = RecordedTraining(
        "", {**RUN, "model_path": str(root.joinpath(candidate.folder).relative_to(root))}
    )
    training = recompute_training(contract, history, candidate, recorded).training
    contracts, tables = (
        ContractRegistry(engine),
        StoredMarket(engine, INSTRUMENT, contract.parameters.feed).tables,
    )
    rows = feature_rows(history, contract.parameters)
    parts = [splits_of(contract.parameters)[name].select(rows) for name in SPLITS]
    with contextlib.chdir(root):
        trained = nodes.recompute_refit(contract, contracts, *tables, training, candidate)
        layers = nodes.verify_refit(contract, trained.dataset, training, trained, candidate, *parts)
        proposal = nodes.propose_refit(layers, contracts)
        registry = ProposalRegistry(engine, INSTRUMENT, "data/08_reporting/demo")
        registry.store(NewProposal(proposal, layers, None, None, now))
    return int(registry.latest(training.model_id).id)


def line_splits(n_folds: int) -> dict[str, Any]:
    """The section `splits` of a line."""
    return {"mode": "walk_forward", "folds": n_folds, "train_window": "expanding"}


def _propose(
    engine: Engine,
    root: Path,
    contract: ExperimentContract,
    history: MarketHistory,
    candidate: Candidate,
    model_id: str,
    now: datetime,
) -> int:
    path = str(root.joinpath(candidate.folder).relative_to(root))
    recorded = RecordedTraining(model_id, {**RUN, "model_path": path})
    registry = ProposalRegistry(engine, INSTRUMENT, f"data/08_reporting/{contract.experiment_name}")
    with contextlib.chdir(root):
        with reading(engine) as connection:
            production = baseline_of(production_model(connection, INSTRUMENT))
        made = recompute_once(
            contract, history, candidate, recorded, production, GatePolicies(engine).current()
        )
        registry.store(new_proposal(engine, contract, made, candidate, now))
    return int(registry.latest(made.training.model_id).id)


_MADE: dict[str, PipelineRecords] = {}
"""What pipelines made in this process, by what they made it from."""


def recompute_once(
    contract: ExperimentContract,
    history: MarketHistory,
    candidate: Candidate,
    recorded: RecordedTraining,
    production: Baseline | None,
    policy: GatePolicy,
) -> PipelineRecords:
    """Make the records of L2 to L4 once for the same inputs; an approval makes them anew."""
    market = digest_frame(history.bars), digest_frame(history.macro)
    of_production = production and (production.model_id, production.bundle.manifest_hash)
    key = repr((contract.model_dump_json(), market, candidate.manifest_hash, recorded, of_production, policy))
    if key not in _MADE:
        _MADE[key] = recompute(contract, history, candidate, recorded, production, policy)
    return _MADE[key]


def stored_contract(
    engine: Engine, experiment: str, version: str = "1.0.0", trained_by: str = "alice", **sections: Any
) -> ExperimentContract:
    """Make and store the contract of an experiment on the small market; `sections` change its parameters."""
    dates = sections.pop("date_ranges", DATES)
    parameters = parameters_of(
        **sections,
        experiment={"name": experiment, "version": version},
        date_ranges=dates,
        sample_market={"seed": MARKET_SEED},
    )
    contract = make_contract(
        parameters, date.fromisoformat(dates["test"]["end"]), trained_by, window=CALENDAR
    )
    found = ContractRegistry(engine).registered(contract)
    if found is None:
        ContractRegistry(engine).store(contract)
    return found or contract


def stored_small_market(engine: Engine, contract: ExperimentContract) -> MarketHistory:
    """Store the small market once, and read what the contract may know of it."""
    bars, macro = StoredMarket(engine, INSTRUMENT, contract.parameters.feed).tables
    if bars.state(contract.data_as_of) is None:
        bars.store(_hourly_market(), STORED_AT)
        macro.store(macro_observations("2025-08-01"), STORED_AT)
    return stored_history(contract.parameters, bars, macro, contract.data_as_of, contract.test_end)


def fitted_bundle(root: Path, contract: ExperimentContract, history: MarketHistory, seed: int) -> Bundle:
    """Write the bundle of a policy that trades the small market's hours."""
    train = splits_of(contract.parameters)["train"].select(feature_rows(history, contract.parameters))
    policy = hourly_policy(fit_norm_stats(train), seed)
    return write_bundle(root / "data/06_models", policy, bundle_files(contract, policy))


def bundle_files(contract: ExperimentContract, policy: ServedPolicy) -> dict[str, bytes]:
    """What a bundle holds beside its policy."""
    best = {"best_val_reward": 0.11, "best_reward": 1.2, "timesteps": 400_000}
    of_seed = {"seed": 42, "model_hash": policy.model_hash, **best}
    metrics = {"engine": "fast", "seed": 42, "final_phase": "phase_3", **best, "seeds": [of_seed]}
    rival = {}
    if contract.has_linear_rival:
        metrics["linear_rival"] = LINEAR_FIT.model_dump()
        rival = {LINEAR_RIVAL: tensor_bytes(small_rival(policy.norm_stats))}
    return {
        **rival,
        "config.yaml": _yaml(json.dumps(contract.frozen_config)),
        "reward_config.json": json.dumps(reward_config(contract.parameters)).encode(),
        "training_metrics.json": json.dumps(metrics).encode(),
    }


@cache
def _yaml(tree: str) -> bytes:
    """Write JSON as YAML, which takes as long as a market's features."""
    return yaml.safe_dump(json.loads(tree), sort_keys=True).encode()


def hourly_policy(norm_stats: NormStats, seed: int) -> ServedPolicy:
    """Long in the first and third quarter of a session, short in the others; `seed` moves idle weights."""
    rng, time = np.random.default_rng(seed), FEATURE_ORDER.index("time_normalized")
    hidden, action = np.zeros((8, len(FEATURE_ORDER)), np.float32), np.zeros((3, 8), np.float32)
    bias, steepness = np.zeros(8, np.float32), 200.0
    for unit, quarter in enumerate((0.25, 0.5, 0.75)):
        hidden[unit, time], bias[unit] = steepness, -steepness * quarter
        action[:, unit] = np.array([4.0, 0.0, -4.0]) * (-1) ** unit
    hidden[3:] = rng.normal(scale=0.1, size=hidden[3:].shape)
    tensors = {
        "hidden.0.weight": hidden, "hidden.0.bias": bias,
        "action.weight": action, "action.bias": np.zeros(3, np.float32),
    }  # fmt: skip
    return ServedPolicy(tensors, norm_stats)


def small_rival(norm_stats: NormStats) -> ServedPolicy:
    """A linear policy that trades now and then, without skill."""
    n = len(norm_stats.features)
    return linear_policy(np.ones(n), np.eye(n), 1.0, norm_stats)


def new_proposal(
    engine: Engine, contract: ExperimentContract, made: PipelineRecords, candidate: Candidate, now: datetime
) -> NewProposal:
    """Write the look, and judge what was made."""
    ledger, look = TrialLedger(engine, INSTRUMENT), look_of(contract, made.training.model_hash)
    ledger.record(look, contract.experiment_name, now)
    ledger.store(look, made.report.daily_returns)
    layers = LayerRecords(
        contract=contract,
        **{name: getattr(made, name) for name in ("dataset", "training", "backtest")},
        chain=unbroken_chain(contract, made, candidate),
    )
    (own, earlier), policy = ledger.history(look), GatePolicies(engine).current()
    evidence = make_evidence(layers, made.report, own, earlier, ledger.genesis(), policy)
    proposal = make_proposal(layers, made.report, made.comparison, evidence, policy)
    return NewProposal(proposal, layers, made.report, made.comparison, now)


@cache
def _hourly_market() -> pd.DataFrame:
    """Bars that rise and fall by the quarter of a session, more than they scatter."""
    days = scheduled_sessions(date(2025, 5, 12), date(2025, 7, 31))
    times = pd.DatetimeIndex([time for day in days for time in session_bar_times(day)])
    slots = np.arange(len(times)) % 60
    drift = np.where((slots - 1) // 15 % 2 == 0, 1.2e-4, -1.2e-4)
    noise = np.random.default_rng(MARKET_SEED).normal(0, 1.5e-4, len(times))
    close = 4000 * np.exp(np.cumsum(drift + noise))
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    return pd.DataFrame({"timestamp": times, **prices, "volume": 0.0, "source": "simulator"})
