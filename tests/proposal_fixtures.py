"""Proposals with real files: model bundles, report files and rows as the pipelines leave them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Engine, select, update

from dosvotos.audit.log import read_audit_log
from dosvotos.backtest.report import BacktestReport, Trade
from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.contracts.records import LayerRecords, LedgerGenesis
from dosvotos.database.connection import open_database, reading, writing
from dosvotos.database.ledger import TrialLedger, look_of
from dosvotos.database.registry import add_model, add_proposal, get_model, get_proposal, list_proposals
from dosvotos.database.signals import add_signal
from dosvotos.database.tables import instruments, promotion_proposals
from dosvotos.market.calendar import BOGOTA, scheduled_sessions
from dosvotos.market.normalization import NormStats
from dosvotos.policy.bundle import write_bundle
from dosvotos.policy.forward import ServedPolicy
from dosvotos.promotion.dossier import dossier_files, write_dossier
from dosvotos.promotion.evidence import Evidence
from dosvotos.promotion.gate_policy import GatePolicies
from dosvotos.promotion.proposal import make_proposal
from dosvotos.promotion.reasons import Reason, explanation
from dosvotos.promotion.registration import NewProposal, model_columns, proposal_columns, records_of
from tests.market_factory import INSTRUMENT, layers_behind, store_contract, store_market
from tests.migrated import copy_migrated
from tests.recomputable_proposals import propose_recomputable
from tests.report_factory import comparison_of, evidence_of, metrics_of, report_of, rival_of

START = 100_000.0
NOTES = "Equity, costs and drawdown were read."
REASONS = (
    Reason(code="passes", figures={"psr": 0.973}),
    Reason(code="beats_naive"),
    Reason(code="no_production"),
)
BEATEN = Reason(code="naive", figures={"own": 1.92, "rivals": {"random": 2.01}})


@dataclass(frozen=True)
class Desk:
    """A database and a project folder; paths in rows are relative to the folder."""

    engine: Engine
    root: Path
    n_sessions: int = 4

    def propose(self, experiment: str = "demo", seed: int = 1, **changes: Any) -> int:
        """Register a model with its bundle and propose it, with made-up figures.

        `changes` replace the recommendation and its confidence, or columns of the row alone. What an approval
        would compute again is not there: see `propose_recomputable`.
        """
        results = changes.pop("results", None)
        of_proposal = ("planted_edge", "baseline_model_id", "trained_by", "created_at", "recommendation",
                       "confidence")  # fmt: skip
        new = self.made_up(experiment, seed, **{n: changes.pop(n) for n in of_proposal if n in changes})
        now = new.created_at
        records = records_of(new)
        files = dossier_files(records, experiment)
        name, model_id = f"backtest_results_{experiment}.json", new.proposal.model_id
        if results is not None:
            files[name] = json.dumps(results(json.loads(files[name]))).encode()
        folder = write_dossier(self.root / "data/08_reporting" / experiment / model_id, files)
        columns = proposal_columns(records, files, INSTRUMENT, folder.relative_to(self.root))
        with writing(self.engine) as connection:
            add_model(connection, {**model_columns(new, INSTRUMENT), "created_at": now})
            return add_proposal(connection, {**columns, **changes})

    def made_up(
        self,
        experiment: str,
        seed: int,
        planted_edge: float | None = 0.45,
        baseline_model_id: str | None = None,
        trained_by: str = "alice",
        created_at: datetime | None = None,
        **of_record: Any,
    ) -> NewProposal:
        """Make a model's bundle, its look and a proposal of made-up figures; nothing is registered."""
        bundle = write_bundle(self.root / "data/06_models", tiny_policy(seed), {"config.yaml": b"seed: 1\n"})
        model_id, baseline = f"{experiment}_{bundle.policy.model_hash[:12]}", baseline_model_id
        contract = store_contract(self.engine, experiment, trained_by)
        layers = layers_behind(contract, bundle, store_market(self.engine, contract), model_id, baseline)
        path = {"model_path": str(bundle.folder.relative_to(self.root))}
        layers = layers.model_copy(update={"training": layers.training.model_copy(update=path)})
        report = _report(layers, seed, self.n_sessions)
        comparison, now = comparison_of(report, baseline), created_at or datetime.now(UTC)
        ledger = TrialLedger(self.engine, INSTRUMENT)
        ledger.record(look_of(contract, bundle.policy.model_hash), experiment, now)
        policy = GatePolicies(self.engine).current()
        evidence = _evidence(ledger.genesis()).model_copy(update={"policy": policy.version})
        made = make_proposal(layers, report, comparison, evidence, policy)
        changed = {
            "recommendation": "PROMOTE",
            "confidence": 0.85,
            "reason": explanation("PROMOTE", report.metrics, REASONS),
            "reasons": REASONS,
            "lineage": made.lineage.model_copy(update={"planted_edge": planted_edge}),
            **of_record,
        }
        return NewProposal(made.model_copy(update=changed), layers, report, comparison, now)

    def propose_recomputable(self, experiment: str = "demo", seed: int = 1, **of_contract: Any) -> int:
        """Register a proposal that an approval can compute again."""
        now = datetime.now(UTC)
        return propose_recomputable(self.engine, self.root, experiment, seed, now, **of_contract)

    def epoch(self) -> int:
        """Read how often the instrument's production model has changed."""
        with reading(self.engine) as connection:
            query = select(instruments.c.epoch).where(instruments.c.instrument == INSTRUMENT)
            return connection.execute(query).scalar_one_or_none() or 0

    def change(self, proposal_id: int, **columns: Any) -> None:
        """Change columns of a proposal by SQL, as someone with the database at hand would."""
        t = promotion_proposals
        with writing(self.engine) as connection:
            connection.execute(update(t).where(t.c.id == proposal_id).values(**columns))

    def signal(
        self, n_bars: int, model_id: str, instrument: str = INSTRUMENT, times: pd.DatetimeIndex | None = None
    ) -> None:
        """Store signals of the last bars, by default those of the last sessions, every tenth missing."""
        rng = np.random.default_rng(7)
        with writing(self.engine) as connection:
            for index, time in enumerate((_bars(10) if times is None else times)[-n_bars:]):
                missing = index % 10 == 9
                row = {
                    "instrument": instrument,
                    "timestamp": time.to_pydatetime(),
                    "inference_id": f"{instrument}-{index}",
                    "status": "NO_SIGNAL" if missing else "SIGNAL",
                    "reason_code": "NO_BAR" if missing else None,
                    "model_id": model_id,
                    "epoch": 1,
                    "signal": None if missing else float(rng.integers(-1, 2)),
                    "confidence": None if missing else float(rng.uniform(0.4, 0.95)),
                    "position": 0.0,
                    "inference_latency_ms": float(rng.uniform(1.5, 3)),
                    "created_at": time.to_pydatetime() + timedelta(minutes=5),
                }
                add_signal(connection, row, None)

    def proposal(self, proposal_id: int) -> Any:
        with reading(self.engine) as connection:
            return get_proposal(connection, proposal_id)

    def stages(self) -> dict[str, str]:
        """Stage of every proposed model."""
        with reading(self.engine) as connection:
            ids = {row.model_id for row in list_proposals(connection)}
            return {model_id: get_model(connection, model_id).stage for model_id in ids}

    def votes(self) -> list[Any]:
        with reading(self.engine) as connection:
            return read_audit_log(connection)

    def report(self, proposal_id: int) -> Path:
        """The backtest file of a proposal."""
        row = self.proposal(proposal_id)
        return self.root / row.report_folder / f"backtest_results_{row.experiment_name}.json"


@contextmanager
def open_desk(url: str, root: Path, n_sessions: int = 4) -> Iterator[Desk]:
    """A desk on a database without proposals; SQLite is made on the way."""
    if (file := Path(url.removeprefix("sqlite:///"))).is_absolute() and not file.exists():
        copy_migrated(file)
    engine = open_database(url)
    yield Desk(engine, root, n_sessions)
    engine.dispose()


def tiny_policy(seed: int) -> ServedPolicy:
    rng = np.random.default_rng(seed)
    shapes = {
        "hidden.0.weight": (8, len(FEATURE_ORDER)),
        "hidden.0.bias": (8,),
        "action.weight": (3, 8),
        "action.bias": (3,),
    }
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    n = len(MARKET_FEATURES)
    return ServedPolicy(tensors, NormStats(features=MARKET_FEATURES, mean=(0.0,) * n, std=(1.0,) * n))


def _bars(n_sessions: int) -> pd.DatetimeIndex:
    last = datetime.now(UTC).date() - timedelta(days=1)
    days = scheduled_sessions(last - timedelta(days=2 * n_sessions + 10), last)[-n_sessions:]
    opens = pd.DatetimeIndex(days).tz_localize(BOGOTA) + pd.Timedelta(hours=8)
    bars = [start + pd.Timedelta(minutes=5 * i) for start in opens for i in range(60)]
    return pd.DatetimeIndex(bars).tz_convert("UTC")


def as_an_older_version(results: dict[str, Any]) -> dict[str, Any]:
    """A backtest's results without what older versions did not measure."""
    newer = ("sample", "cuts", "stress")
    return {name: value for name, value in results.items() if name not in newer}


def _report(layers: LayerRecords, seed: int, n_sessions: int) -> BacktestReport:
    rng = np.random.default_rng(seed)
    times = _bars(n_sessions)
    equity = START * np.cumprod(1 + rng.normal(4e-5, 8e-4, len(times)))
    falls = 1 - equity / np.maximum.accumulate(np.append(START, equity))[1:]
    ends = equity[59::60]
    days = [str(time.tz_convert(BOGOTA).date()) for time in times[59::60]]
    stamps = [time.isoformat() for time in times]
    return report_of(
        metrics_of(max_drawdown=float(falls.max()), total_return=float(equity[-1] / START - 1)),
        dict(zip(days, (np.diff(ends, prepend=START) / ends).tolist(), strict=True)),
        model_id=layers.training.model_id,
        model_hash=layers.training.model_hash,
        experiment_name=layers.contract.experiment_name,
        backtest_hash=layers.backtest.backtest_hash,
        linear_rival=rival_of(),
        equity_curve=tuple(zip(stamps, equity.tolist(), strict=True)),
        drawdown_series=tuple(zip(stamps, falls.tolist(), strict=True)),
        trades=tuple(_trade(stamps, i, float(rng.normal(20, 160))) for i in range(0, len(times) - 5, 5)),
    )


def _trade(stamps: list[str], entry: int, pnl: float) -> Trade:
    return Trade(
        entry_time=stamps[entry], exit_time=stamps[entry + 5], direction=1 if entry % 2 else -1, units=24.1,
        entry_price=4100.0, exit_price=4101.5, pnl=pnl,
    )  # fmt: skip


def _evidence(ledger: LedgerGenesis) -> Evidence:
    return evidence_of(
        BEATEN,
        psr=0.973,
        deflated_sharpe=0.973,
        sessions=245,
        min_track_record=181,
        power={"1": 0.26, "2": 0.63, "3": None},
        intervals_90={
            "sharpe_ratio": (1.92, 0.31, 3.6),
            "total_return": (0.22, 0.03, 0.44),
            "max_drawdown": (0.071, 0.05, 0.14),
        },
        luck_excluded=True,
        linear_rival=rival_of().difference,
        seeds="2 of 2 seeds positive on val",
        val_returns={"42": 0.13, "142": 0.041},
        ledger=ledger,
    )
