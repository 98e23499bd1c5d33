"""A desk with real files: model bundles, report files and rows as the pipelines leave them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from dosvotos.contracts.features import FEATURE_ORDER, FEATURE_ORDER_HASH, MARKET_FEATURES
from dosvotos.database.connection import open_database, reading, writing
from dosvotos.database.registry import add_model, add_proposal, get_model, get_proposal, list_proposals
from dosvotos.database.signals import add_signal
from dosvotos.hashing import digest_bytes, digest_json
from dosvotos.market.calendar import BOGOTA, scheduled_sessions
from dosvotos.market.normalization import NormStats
from dosvotos.policy.bundle import write_bundle
from dosvotos.policy.forward import ServedPolicy
from dosvotos.promotion.audit import read_audit_log
from dosvotos.promotion.reasons import Reason, explanation, sentence
from tests.findings import findings_of, metrics_of
from tests.laid import INSTRUMENT, PERIODS, lay_contract, lay_market, records_behind

START = 100_000.0
REASONS = (
    Reason(code="passes", figures={"psr": 0.973}),
    Reason(code="beats_naive"),
    Reason(code="no_production"),
)
BEATEN = Reason(code="naive", figures={"own": 1.92, "rivals": {"random": 2.01}})
SPECIFIED_METRICS = (
    "sharpe_ratio",
    "max_drawdown",
    "win_rate",
    "profit_factor",
    "total_trades",
    "avg_trade_pnl",
)


@dataclass(frozen=True)
class Desk:
    """A database and a project folder; paths in rows are relative to the folder."""

    engine: Engine
    root: Path
    n_sessions: int = 4

    def propose(self, experiment: str = "demo", seed: int = 1, **changes: Any) -> int:
        """Register a model with its bundle and propose it; `changes` replace columns of the proposal."""
        trained_by = changes.pop("trained_by", "alice")
        planted_edge = changes.pop("planted_edge", 0.45)
        baseline = changes.pop("baseline_model_id", None)
        bundle = write_bundle(self.root / "data/06_models", tiny_policy(seed), {"config.yaml": b"seed: 1\n"})
        model_id = f"{experiment}_{bundle.policy.model_hash[:12]}"
        backtest = changes.pop("results", dict)(_backtest(model_id, experiment, seed, self.n_sessions))
        contract = lay_contract(self.engine, experiment)
        records = records_behind(contract, bundle, lay_market(self.engine, contract), model_id, baseline)
        backtest |= {"model_hash": bundle.policy.model_hash, "backtest_hash": digest_json("backtest")}
        lineage = _lineage(records, planted_edge)
        recommendation = changes.get("recommendation", "PROMOTE")
        proposed = {"model_id": model_id, "recommendation": recommendation, "lineage": lineage}
        files = {
            f"backtest_results_{experiment}.json": _json(backtest),
            f"comparison_report_{experiment}.json": _json(_comparison(model_id, baseline, backtest)),
            f"promotion_proposal_{experiment}.json": _json(proposed),
            **{name: _json(record) for name, record in records.items()},
        }
        folder = Path("data/08_reporting") / experiment / model_id
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (self.root / folder / name).write_bytes(content)
        now = datetime.now(UTC)
        proposal = {
            "model_id": model_id,
            "instrument": INSTRUMENT,
            "experiment_name": experiment,
            "recommendation": "PROMOTE",
            "confidence": 0.85,
            "reason": explanation("PROMOTE", backtest["metrics"], REASONS),
            "reasons": [reason.model_dump(mode="json") for reason in REASONS],
            "metrics": {name: backtest["metrics"][name] for name in SPECIFIED_METRICS},
            "vs_baseline": {"sharpe_improvement": "+33%", "drawdown_improvement": "-20%"}
            if baseline
            else None,
            "criteria_results": _criteria(backtest["metrics"]),
            "evidence": _evidence(now),
            "requires_human_approval": True,
            "lineage": lineage,
            "report_folder": str(folder),
            "report_files": {name: digest_bytes(content) for name, content in files.items()},
            "content_hash": digest_json(lineage),
            "created_at": now,
        }
        model = {
            "model_id": model_id,
            "instrument": INSTRUMENT,
            "experiment_name": experiment,
            "model_path": str(bundle.folder.relative_to(self.root)),
            "model_hash": bundle.policy.model_hash,
            "manifest_hash": bundle.manifest_hash,
            "feature_order_hash": FEATURE_ORDER_HASH,
            "trained_by": trained_by,
            "metrics": backtest["metrics"],
            "lineage": {**lineage, "date_ranges": PERIODS},
            "created_at": now,
        }
        with writing(self.engine) as connection:
            add_model(connection, model)
            return add_proposal(connection, {**proposal, **changes})

    def signal(self, n_bars: int, model_id: str, instrument: str = INSTRUMENT) -> None:
        """Store signals of the last bars, every tenth of them missing."""
        rng = np.random.default_rng(7)
        with writing(self.engine) as connection:
            for index, time in enumerate(_bars(10)[-n_bars:]):
                missing = index % 10 == 9
                row = {
                    "instrument": instrument,
                    "timestamp": time.to_pydatetime(),
                    "inference_id": f"{instrument}-{index}",
                    "status": "NO_SIGNAL" if missing else "SIGNAL",
                    "reason_code": "STALE_BAR" if missing else None,
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


def _backtest(model_id: str, experiment: str, seed: int, n_sessions: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    times = _bars(n_sessions)
    equity = START * np.cumprod(1 + rng.normal(4e-5, 8e-4, len(times)))
    peaks = np.maximum.accumulate(np.append(START, equity))[1:]
    ends = equity[59::60]
    days = [str(time.tz_convert(BOGOTA).date()) for time in times[59::60]]
    metrics = metrics_of(
        max_drawdown=float((1 - equity / peaks).max()), total_return=float(equity[-1] / START - 1)
    )
    returns = dict(zip(days, (np.diff(ends, prepend=START) / ends).tolist(), strict=True))
    stamps = [time.isoformat() for time in times]
    entries = range(0, len(times) - 5, 5)
    return {
        "model_id": model_id,
        "experiment_name": experiment,
        "test_period": f"{days[0]} to {days[-1]}",
        **findings_of(metrics, returns).model_dump(mode="json"),
        "oracle_sharpe": 5.41,
        "equity_curve": list(zip(stamps, equity.tolist(), strict=True)),
        "drawdown_series": list(zip(stamps, (1 - equity / peaks).tolist(), strict=True)),
        "trades": [
            {
                "entry_time": stamps[i],
                "exit_time": stamps[i + 5],
                "direction": 1 if i % 2 else -1,
                "units": 24.1,
                "entry_price": 4100.0,
                "exit_price": 4101.5,
                "pnl": float(rng.normal(20, 160)),
            }
            for i in entries
        ],
        "daily_returns": returns,
    }


def _comparison(model_id: str, baseline: str | None, backtest: dict[str, Any]) -> dict[str, Any]:
    metrics = backtest["metrics"]
    weaker = [(time, START + 0.6 * (equity - START)) for time, equity in backtest["equity_curve"]]
    return {
        "model_id": model_id,
        "baseline_model_id": baseline,
        "status": "compared" if baseline else "not_applicable",
        "metrics": metrics,
        "baseline_metrics": {**metrics, "sharpe_ratio": 1.44, "max_drawdown": 0.15} if baseline else None,
        "sharpe_difference": 0.4834 if baseline else None,
        "sharpe_improvement": 0.334 if baseline else None,
        "drawdown_improvement": -0.2 if baseline else None,
        "interval_90": [0.11, 0.87] if baseline else None,
        "reached": True if baseline else None,
        "baseline_equity_curve": weaker if baseline else None,
    }


def _criteria(metrics: dict[str, Any]) -> dict[str, str]:
    return {
        "min_sharpe": "PASS (1.92 > 0.5)",
        "max_drawdown": f"PASS ({metrics['max_drawdown']:.3f} < 0.15)",
        "min_win_rate": "PASS (0.55 > 0.45)",
        "min_trades": "PASS (1204 > 50)",
        "lineage": "PASS (26 links from L0 to L4 hold)",
        "improvement": "NOT APPLICABLE (no production model)",
    }


def _evidence(now: datetime) -> dict[str, Any]:
    return {
        "looks": 1,
        "prior_trials": 0,
        "psr": 0.973,
        "deflated_sharpe": 0.973,
        "sessions": 245,
        "min_track_record": 181,
        "power": {"1": 0.26, "2": 0.63, "3": None},
        "intervals_90": {
            "sharpe_ratio": [1.92, 0.31, 3.6],
            "total_return": [0.22, 0.03, 0.44],
            "max_drawdown": [0.071, 0.05, 0.14],
        },
        "level": None,
        "spa_p_value": None,
        "in_superior_set": None,
        "passed": True,
        "luck_excluded": True,
        "beats_naive": True,
        "covered": True,
        "seeds": "2 of 2 seeds positive on val",
        "val_returns": {"42": 0.13, "142": 0.041},
        "point_in_time": "simulated",
        "ledger": {"id": "5f0f6a0e-9a57-4b39-8d5a-2a7c6c4f9e10", "created_at": now.isoformat()},
        "missing": [BEATEN.model_dump(mode="json")],
        "notes": [sentence(BEATEN)],
    }


def _lineage(records: dict[str, Any], planted_edge: float | None) -> dict[str, Any]:
    """What the proposal repeats of the records, later ones over earlier ones."""
    names = (
        *("acquisition_hash", "feature_order_hash", "dataset_hash", "norm_stats_hash", "test_dataset_hash"),
        *("config_hash", "reward_config_hash", "model_hash", "manifest_hash", "backtest_hash"),
        *("test_period", "baseline_model_id", "mlflow_run_id", "promotion_decision"),
    )
    said = {name: value for record in records.values() for name, value in record.items()}
    return {**{name: said[name] for name in names}, "planted_edge": planted_edge}


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode()
