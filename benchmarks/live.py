"""How fast a bar becomes a signal, and that it is the right one, in time, once, whatever happens.

A loop with a fake clock and a database on disk (SQLite, WAL, ``synchronous=FULL``) serves an imitated vendor.

`predict_speedup_p50` sets the served policy's observation and probabilities against `PPO.predict` of SB3 with
the same weights, one observation at a time. `compute_us_p50` is one bar's features and decision without the
database. A tick (`tick_p50_ms`, `tick_p99_ms`) is all from the bar being stored to its row being committed;
`bar_to_row_s_p50`, `_p99` run from the bar's close to its row, vendor's delay, poll, quality rules and tick
included, of bars that came within five seconds.

`bars`, `rows`, `bad_rows`: sessions of a vendor that is late by 1 to 400 s, revises, leaves out and fails,
while models are promoted, the loop is killed and halts come and go; bad is a bar without a row or with two,
and a row that breaks a rule. `signals_after_deadline`, `stale_model_signals` and `signals_after_halt` are
counted in the same run.

`reasons_without_cause`, `alerts_without_cause`: rows of that run whose reason code is none of what was put
in (no bar, too late, down, halted), and codes of alerts but those about the source. Its policies are random
and reverse often, so the limit on reversals has to act: at which bars is computed from the rows' targets by a
rule of this benchmark's own, a row reduced elsewhere or left alone there counts, and an admin resumes
(`limit_resumes` times).

`start_seconds` runs from the command `dosvotos live --env demo` to what it tells systemd when its model is
open and its features are ready, in a project with three years of bars; `start_cpu_seconds` is what it has
worked by then, which other processes on the machine do not stretch. Medians of restarts; `first_start_...`
of starts without saved features, which are computed from all stored bars.

`delivery_s_p50`, `_p99` run from a row's commit to its line in a consumer's file, flushed to disk, through
the thread that a loop has for it. `verify_seconds` is the median of walking a signal of a small dossier back
by its hashes.

`restart_points`, `restart_mismatches`: the loop restarted before every bar, against one that was not.
`replay_mismatches`: targets and features of ``--replay`` against L4's and L2's, bit for bit, over a year;
`replay_year_seconds` is what that takes.

`limit_faults`: faults put into the judging of a limit, on a loop of its own each; `fail_open` counts the
policy's own signals after them. `halt_to_flat_bars` is the most bars from a halt's commit to the flat row,
over halts at `halts` moments of a bar. `dst_seeds`, `dst_divergences`: seeds of the seeded universe
(tests/live/universe.py), and those that broke an invariant or were not the same run twice; `dst_seed_ms` is
what one costs.

`drift_false_alarm_year` is the share of simulated years, each judged by the two years of train before it,
in which any of the 13 features alarms though nothing changed; `drift_support_alarm_year` is that of the
slow levels. `drift_caught_2sd_20s` is the share of shifts of two standard deviations of the session means,
one fast feature at a time, found within 20 sessions; `drift_caught_lowest` is the worst feature's.

`shadow_false_claim` is how often two equal models are called different at any of 1,000 daily looks, the
worst of four laws of returns; `shadow_power_gap4_250` and `shadow_power_gap2_490` are how often a gap of
annual Sharpe ratios is found by then (normal returns). `live_false_claim` is how often a model as good as
claimed is called worse. `shadows_false_claim` is how often any of `shadows` equal models beside one
production model is called different, each with its part of the 5%; `_alone` is the same with 5% for each.

Needs ``pip install -e '.[test]'``.
"""

import argparse
import gc
import json
import logging
import sys
import tempfile
import time
from contextlib import chdir
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest
from rich.console import Console
from rich.table import Table

from benchmarks.starting import start_up
from dosvotos.backtest.sequential import below_claim, volatility_scaled, wealth
from dosvotos.backtest.simulate import policy_targets
from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.contracts.live_limits import CLAIM_LEVEL
from dosvotos.contracts.parameters import Parameters
from dosvotos.contracts.records import InferenceRecord
from dosvotos.database.connection import connect, upgrade
from dosvotos.live.delivered import DeliveredSignal
from dosvotos.live.delivery import SignalDeliveries, SignalDelivery, SignalFile
from dosvotos.live.replay import replay
from dosvotos.live.tick import LiveFeatures, decide, served_model
from dosvotos.live.verify import verify_signal
from dosvotos.market.calendar import SESSIONS_PER_YEAR
from dosvotos.market.dataset import feature_rows
from dosvotos.market.drift import FAST, LEVELS, DriftAlarms, cusum, session_means
from dosvotos.market.features import MarketHistory
from dosvotos.market.features.inputs import NO_PUBLICATIONS, bar_arrays, publication_arrays
from dosvotos.market.normalization import fit_norm_stats
from dosvotos.market.stream import FeatureStream
from dosvotos.policy.forward import ServedPolicy
from dosvotos.promotion.live_acts import SwitchSignals
from dosvotos.promotion.transaction import carry_out
from dosvotos.simulation.market import simulate_market
from dosvotos.sources.checks import add_published_at
from tests.conftest import parameters_of
from tests.live.limit_faults import FAULTS, failed_open
from tests.live.limited_desk import set_limits
from tests.live.live_desk import LiveDesk
from tests.live.production_models import approve
from tests.live.universe import InvariantError, run_seed
from tests.proposal_fixtures import INSTRUMENT

SEED = 21
YEAR = ("2024-01-02", "2024-12-31")
PUT_IN = (None, "NO_BAR", "TOO_LATE", "LOOP_DOWN", "HALTED")
"""Reasons that rows of a troubled run may have."""


def year_market() -> tuple[Parameters, pd.DataFrame, pd.DataFrame]:
    """Three simulated years as L0 would store them: bars (index open) and macro."""
    parameters = parameters_of(sample_market={"start": "2022-12-01", "edge": 0.45})
    variables = parameters.macro_variables.variables
    market = simulate_market(parameters.sample_market, variables, pd.Timestamp("2025-01-01", tz="UTC"))
    macro = add_published_at(market.macro.assign(vintage="simulated", source="sample"), variables)
    return parameters, market.bars.assign(source="sample").set_index("timestamp"), macro


def wide_policy(rows: pd.DataFrame, seed: int = SEED) -> ServedPolicy:
    """A policy of the default size, 2 x 64, that changes its mind now and then."""
    rng, tensors, width = np.random.default_rng(seed), {}, len(FEATURE_ORDER)
    for layer in range(2):
        tensors[f"hidden.{layer}.weight"] = rng.normal(0, 0.4, (64, width)).astype(np.float32)
        tensors[f"hidden.{layer}.bias"] = rng.normal(0, 0.1, 64).astype(np.float32)
        width = 64
    tensors["action.weight"] = rng.normal(0, 0.3, (3, 64)).astype(np.float32)
    tensors["action.bias"] = np.zeros(3, dtype=np.float32)
    return ServedPolicy(tensors, fit_norm_stats(rows))


def predict_speedup(policy: ServedPolicy, rows: pd.DataFrame, n: int) -> float:
    """Median time of SB3's predict over ours, in alternation."""
    import gymnasium as gym
    import torch as th
    from stable_baselines3 import PPO

    class Spaces(gym.Env):
        observation_space = gym.spaces.Box(-5.0, 5.0, (len(FEATURE_ORDER),), np.float32)
        action_space = gym.spaces.Discrete(3)

    th.set_num_threads(1)
    model = PPO("MlpPolicy", Spaces(), seed=0, device="cpu", policy_kwargs={"net_arch": [64, 64]})
    features = rows[list(MARKET_FEATURES)].dropna().to_numpy()
    ours, theirs = [], []
    for row in features[:n]:
        began = time.perf_counter()
        observation = policy.observe(row[None, :], np.zeros(1), np.zeros(1))
        policy.probabilities(observation)
        ours.append(time.perf_counter() - began)
        single = observation[0].astype(np.float32)
        began = time.perf_counter()
        model.predict(single, deterministic=True)
        theirs.append(time.perf_counter() - began)
    return float(np.median(theirs) / np.median(ours))


def compute_us(parameters: Parameters, history: MarketHistory, policy: ServedPolicy, n: int) -> float:
    """Median microseconds of a bar's features and decision."""
    served = served_model("m", "h" * 64, 1, policy)
    stream = FeatureStream(parameters.macro_variables.variables)
    bars = bar_arrays(history.bars, "close")
    stream.add_bars(type(bars)(*(a[:-n] for a in bars)), publication_arrays(history.macro))
    times, position = [], 0.0
    for opened, bar in history.bars.iloc[-n:].iterrows():
        began = time.perf_counter()
        row = stream.add_bar(opened, bar["close"], bar["high"], bar["low"], NO_PUBLICATIONS)
        live = LiveFeatures(opened, row[: len(MARKET_FEATURES)], 0.5)
        position = decide(live, served, position).signal or position
        times.append(time.perf_counter() - began)
    return float(np.median(times) * 1e6)


class TimedDesk(LiveDesk):
    """A desk that measures from the end of a poll to the row."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.ticks: list[float] = []
        self.waits: list[float] = []
        self._began = self._stored = 0.0
        super().__init__(*args, **settings)

    def ports(self):
        ports, poll = super().ports(), self.feed.poll

        def timed_poll(bar, now) -> None:
            self._began = time.perf_counter()
            poll(bar, now)
            self._stored = time.perf_counter()

        def written(record) -> None:
            if record.signal is not None and record.reason_code is None:
                done = time.perf_counter()
                self.ticks.append(done - self._stored)
                waited = (self.clock.now() - record.timestamp).total_seconds() - 300
                self.waits.append(waited + done - self._began)
            self.written.append(record)

        self.feed.poll = timed_poll  # type: ignore[method-assign]
        return ports._replace(on_row=written)


def ticks(desk: TimedDesk, n_bars: int) -> dict[str, float]:
    """Time ticks, with the housekeeping between them that a loop does."""
    desk.run(3)
    desk.ticks.clear()
    desk.waits.clear()
    gc.collect()
    for _ in range(n_bars):
        desk.loop.housekeep()
        desk.run(1)
    quick = [wait for wait in desk.waits if wait <= 5.0]
    return {
        "tick_p50_ms": 1000 * float(np.median(desk.ticks)),
        "tick_p99_ms": 1000 * float(np.percentile(desk.ticks, 99)),
        "bar_to_row_s_p50": float(np.median(quick)),
        "bar_to_row_s_p99": float(np.percentile(quick, 99)),
    }


def troubled(desk: LiveDesk, rows: pd.DataFrame, n_bars: int) -> dict[str, int]:
    """Run bars through everything that goes wrong, and count what must not be."""
    rng = np.random.default_rng(SEED)
    opens = desk.market.index[desk.first :]
    vendor = desk.vendor
    vendor.delays = {o: float(rng.choice([1.0, rng.uniform(1, 400)], p=[0.7, 0.3])) for o in opens}
    vendor.missing = {o for o in opens if rng.random() < 0.02}
    closes = desk.market["close"]
    vendor.revisions = {o: (closes[o] * 1.0003, 700.0) for o in opens if rng.random() < 0.03}
    alerts, raised = desk.alerts.raise_alert, set[str]()
    set_limits(desk.engine, reduce_at_drawdown=1.0, halt_at_drawdown=1.0)  # policies without skill get there
    desk.alerts.raise_alert = lambda code, message: (raised.add(code), alerts(code, message))  # type: ignore[method-assign,assign,func-returns-value]
    epochs: list[tuple[Any, int]] = [(desk.clock.now(), 1)]
    halts: list[list[Any]] = []
    resumes: list[datetime] = []
    for index in range(n_bars):
        draw = rng.random()
        if draw < 0.02:
            policy = wide_policy(rows, SEED + 1 + index)
            made = approve(desk.engine, desk.folder / "bundles", policy, f"1.0.{index + 1}")
            epochs.append((desk.clock.now(), made.epoch))
        elif draw < 0.05:
            desk.restart()
        elif draw < 0.07 and not desk.controls.halt_file.exists():
            desk.controls.halt_file.write_text("a benchmark")
            halts.append([desk.clock.now(), None])
        elif draw < 0.20 and desk.controls.halt_file.exists():
            desk.controls.halt_file.unlink()
            halts[-1][1] = desk.clock.now()
        elif draw < 0.50 and "LIMIT FLIPS" in desk.alerts.open:
            resume = SwitchSignals("RESUME", INSTRUMENT, "a benchmark lets the limit begin anew")
            carry_out(desk.engine, resume, "bob", datetime.now(UTC))
            resumes.append(desk.clock.now())
        vendor.failing = rng.random() < 0.02
        desk.run(1)
    reduced = reduced_by_flips(desk.rows(), resumes)
    known = {"BAR_SOURCE"} | ({"LIMIT FLIPS"} if reduced else set())
    figures = counted(desk, epochs, halts, reduced)
    return figures | {"alerts_without_cause": len(raised - known), "limit_resumes": len(resumes)}


def reduced_by_flips(rows: list[Any], resumes: list[datetime], limit: int = 6) -> dict[datetime, bool]:
    """Bars at which the limit on reversals holds, from the rows' positions and targets alone.

    True where it is reached: the row must be REDUCING there. What a reduced row's policy wanted is the other
    side of what was held before.
    """
    held: dict[datetime, bool] = {}
    wanted: list[tuple[datetime, float]] = []
    reached_at, reached = datetime.min.replace(tzinfo=UTC), None
    for row in rows:
        if reached is not None and any(reached.created_at < at <= row.created_at for at in resumes):
            reached = None
        start = max(row.timestamp - timedelta(hours=1), reached_at)
        before = [target for at, target in wanted if at <= start][-1:]
        sides = [side for side in (*before, *(target for at, target in wanted if at > start)) if side]
        target = row.signal
        if row.reason_code == "REDUCING":
            target = -(row.position or (sides or [1.0])[-1])
        sides += [target] if target else []
        if reached is None and sum(a != b for a, b in pairwise(sides)) >= limit:
            reached, reached_at = row, row.timestamp
            held[row.timestamp] = True
        elif reached is not None:
            held[row.timestamp] = False
        if row.signal is not None:
            wanted.append((row.timestamp, row.signal))
    return held


def unexplained(row: Any, reduced: dict[datetime, bool]) -> bool:
    """Whether nothing that was put in explains a row's reason, or a limit that was reached left it alone."""
    if row.reason_code == "REDUCING":
        return row.timestamp not in reduced
    return row.reason_code not in PUT_IN or reduced.get(row.timestamp, False)


def counted(desk: LiveDesk, epochs: list, halts: list, reduced: dict[datetime, bool]) -> dict[str, int]:
    rows = desk.rows()
    bar, expected = desk.schedule.at(rows[0].timestamp), []
    while bar.opened <= rows[-1].timestamp:
        expected.append(bar.opened)
        bar = desk.schedule.after(bar.opened)
    found = [row.timestamp for row in rows]
    bad = len(set(expected) ^ set(found)) + len(found) - len(set(found))
    bad += sum((row.signal is None) != (row.status == "NO_SIGNAL") for row in rows)
    signals = [row for row in rows if row.signal is not None]
    late = sum(row.created_at > row.valid_until for row in signals)
    own = [row for row in signals if row.reason_code is None]
    stale = sum(row.epoch != max(e for at, e in epochs if at <= row.created_at) for row in own)
    after_halt = sum(
        any(at <= row.created_at and (end is None or row.created_at < end) for at, end in halts)
        for row in own
    )
    return {
        "bars": len(expected), "rows": len(rows), "bad_rows": bad, "signals_after_deadline": late,
        "stale_model_signals": stale, "signals_after_halt": after_halt,
        "reasons_without_cause": sum(unexplained(row, reduced) for row in rows),
    }  # fmt: skip


def delivery(desk: LiveDesk, n_bars: int) -> dict[str, float]:
    """Seconds from a row's commit to its line in a file, through a thread as a loop has one."""
    committed: dict[str, float] = {}
    took: list[float] = []

    class TimedFile(SignalFile):
        def send(self, signal: DeliveredSignal) -> None:
            super().send(signal)
            took.append(time.perf_counter() - committed[signal.inference_id])

    ports = desk.loop._ports
    file = TimedFile(desk.folder / "signals.jsonl")
    written_at = desk.clock.now()
    """The fake clock leaps to the next bar as soon as a row is written; the signal is handed over before."""
    out = SignalDeliveries([SignalDelivery(file, 1.0, ports.book.standing, lambda: written_at)])

    def on_row(record: InferenceRecord) -> None:
        nonlocal written_at
        written_at = desk.clock.now()
        committed[record.inference_id] = time.perf_counter()
        desk.written.append(record)
        out.take(record)

    desk.loop._ports = ports._replace(on_row=on_row)
    for _ in range(n_bars):
        desk.run(1)
        time.sleep(0.05)  # a loop waits for the next bar; the fake clock would leave the file behind
    out.close()
    return {
        "deliveries": len(took),
        "delivery_s_p50": float(np.median(took)),
        "delivery_s_p99": float(np.percentile(took, 99)),
    }


def verifying(root: Path, n: int) -> float:
    """Median seconds of walking a signal back by hashes, of a model with a dossier of its own."""
    from tests.live.test_verify import Signal, voted

    took = []
    with chdir(root):
        engine = connect(f"sqlite:///{root}/votes.db")
        upgrade(engine)
        signal_id = Signal(voted(engine, root)).write()
        for _ in range(n):
            began = time.perf_counter()
            assert not verify_signal(engine, signal_id).broken
            took.append(time.perf_counter() - began)
    return float(np.median(took))


class StoredVendor:
    """A vendor without delay, whose bars are stored as they are: what a restart costs is not its concern."""

    def __init__(self, desk: LiveDesk) -> None:
        self.desk = desk

    def poll(self, bar, now) -> None:
        row = self.desk.market.loc[[pd.Timestamp(bar.opened)]].reset_index()
        self.desk.stored.tables[0].store(row, now())

    def skew(self) -> timedelta | None:
        return None


def restarts(make: Any, n_bars: int) -> tuple[int, int]:
    """Rows of a loop restarted before every bar, against one that never was."""
    straight, broken = make(), make()
    hashes = []
    for desk, restart in ((straight, False), (broken, True)):
        for _ in range(n_bars):
            if restart:
                desk.saved = desk.features.save()
                desk.restart(saved=True)
            desk.loop._ports = desk.loop._ports._replace(feed=StoredVendor(desk))
            desk.run(1)
        hashes.append([(row.inference_hash, row.signal, row.confidence) for row in desk.rows()])
    return n_bars, sum(a != b for a, b in zip(*hashes, strict=True))


def replayed(
    parameters: Parameters, history: MarketHistory, policy: ServedPolicy, rows: pd.DataFrame
) -> dict[str, float]:
    """Targets and features of a year's replay against those of the backtest and the dataset."""
    first, last = rows.index[0].to_pydatetime(), rows.index[-1].to_pydatetime()
    began = time.perf_counter()
    frame = replay(parameters, history, served_model("m", "h" * 64, 1, policy), first, last)
    seconds = time.perf_counter() - began
    served = frame.loc[rows.index]
    targets = int((served["target"].to_numpy() != policy_targets(policy, rows)).sum())
    ours, theirs = (f[list(MARKET_FEATURES)].to_numpy() for f in (served, rows))
    features = int((ours.view(np.int64) != theirs.view(np.int64)).any(axis=1).sum())
    return {
        "replay_mismatches": targets + features,
        "replay_year_seconds": seconds,
        "replay_bars": len(frame),
    }


def drifts(n_markets: int, sessions: tuple[int, int] = (485, 245)) -> dict[str, float]:
    """Alarms of session means in simulated years without a change, and with one put in."""
    n_train, n_year = sessions
    false, support, caught = [], [], []
    for seed in range(1, n_markets + 1):
        means = market_means(seed)
        for start in range(len(means) - n_train - n_year, 0, -n_year)[:3]:
            alarms = DriftAlarms.fit_means(means.iloc[start : start + n_train])
            year = means.iloc[start + n_train : start + n_train + n_year]
            found = [one.feature for one in alarms.judge(year) if one.first_alarm]
            false.append(bool(found))
            support.append(any(name in LEVELS for name in found))
            moved = (year[list(FAST)].to_numpy() - alarms.mean) / alarms.spread + 2
            months = [cusum(moved[at : at + 20]).max(axis=0) > alarms.limit for at in range(0, 220, 40)]
            caught.append(np.mean(months, axis=0))
    return {
        "drift_years": len(false),
        "drift_false_alarm_year": float(np.mean(false)),
        "drift_support_alarm_year": float(np.mean(support)),
        "drift_caught_2sd_20s": float(np.mean(caught)),
        "drift_caught_lowest": float(np.mean(caught, axis=0).min()),
    }


def market_means(seed: int) -> pd.DataFrame:
    """Session means of a simulated market's features, its first year left out, in which z-scores warm up."""
    parameters = parameters_of(sample_market={"start": "2020-01-02", "seed": seed})
    variables = parameters.macro_variables.variables
    market = simulate_market(parameters.sample_market, variables, pd.Timestamp("2026-11-01", tz="UTC"))
    macro = add_published_at(market.macro.assign(vintage="simulated", source="sample"), variables)
    bars = market.bars.assign(source="sample").set_index("timestamp")
    return session_means(feature_rows(MarketHistory(bars, macro), parameters)).iloc[260:].dropna()


def joint_claims(n_paths: int, n_shadows: int = 4, seed: int = SEED) -> dict[str, float]:
    """False claims among shadows beside one production model, each at the whole level and at its part."""
    rng = np.random.default_rng(seed)
    production, any_alone, any_jointly = rng.normal(size=(1000, n_paths)), False, False
    for _ in range(n_shadows):
        scaled = volatility_scaled(rng.normal(size=(1000, n_paths)) - production)
        most = np.maximum(wealth(scaled), wealth(-scaled)).max(axis=0)
        any_alone |= most >= 2 / CLAIM_LEVEL
        any_jointly |= most >= 2 * n_shadows / CLAIM_LEVEL
    return {
        "shadows": n_shadows,
        "shadows_false_claim_alone": float(np.mean(any_alone)),
        "shadows_false_claim": float(np.mean(any_jointly)),
    }


def daily_laws(n_paths: int, seed: int = SEED) -> dict[str, np.ndarray]:
    """1,000 days of mean 0: normal, fat-tailed, of a wandering volatility, and skewed to losses."""
    rng, shape = np.random.default_rng(seed), (1000, n_paths)
    volatility, log_volatility = np.empty(shape), np.zeros(n_paths)
    for day in range(len(volatility)):
        log_volatility = 0.97 * log_volatility + 0.2 * rng.normal(size=n_paths)
        volatility[day] = np.exp(log_volatility)
    return {
        "normal": rng.normal(size=shape),
        "fat_tailed": rng.standard_t(3, shape) / np.sqrt(3),
        "wandering": rng.normal(size=shape) * volatility,
        "skewed": 1 - rng.exponential(size=shape),
    }


def sequential(n_paths: int) -> dict[str, float]:
    """False and right claims of the bounds that are looked at every day."""
    laws, claims = daily_laws(n_paths), {}
    for name, days in laws.items():
        scaled = volatility_scaled(days)
        either = [(wealth(side * scaled) >= 2 / CLAIM_LEVEL).any(axis=0) for side in (1, -1)]
        claims[name] = float((either[0] | either[1]).mean())
    figures = {"shadow_false_claim": max(claims.values())}
    for gap, n_days in ((4, 250), (2, 490)):
        scaled = volatility_scaled(laws["normal"][:n_days] + gap / np.sqrt(SESSIONS_PER_YEAR))
        figures[f"shadow_power_gap{gap}_{n_days}"] = float(
            (wealth(scaled) >= 2 / CLAIM_LEVEL).any(axis=0).mean()
        )
    as_claimed = laws["fat_tailed"] + 3 / np.sqrt(SESSIONS_PER_YEAR)
    worse = wealth(below_claim(as_claimed, 3.0, 1.0)) >= 1 / CLAIM_LEVEL
    return figures | {"live_false_claim": float(worse.any(axis=0).mean())}


def limits_under_faults(make: Any) -> dict[str, int]:
    """Break the judging of limits in every way known, and count what is signalled all the same."""
    opened = 0
    for fault in FAULTS.values():
        desk = make(LiveDesk, 2, 60)
        desk.run(2)
        with pytest.MonkeyPatch.context() as patch:
            fault(desk, patch.setattr)
            opened += failed_open(desk, 3)
        opened += failed_open(desk, 2)
    return {"limit_faults": len(FAULTS), "fail_open": opened}


def halts(make: Any, seconds: tuple[int, ...] = (1, 60, 150, 280, 299, 301)) -> dict[str, int]:
    """Halt a loop at moments of a bar, and count bars until its flat row."""
    most = 0
    for after in seconds:
        desk = make(LiveDesk, 2, 60)
        desk.run(2)
        desk.run_until(desk.clock.now() + timedelta(seconds=after))
        before = len(desk.rows())
        halt = SwitchSignals("HALT", INSTRUMENT, "a benchmark measures how soon it is flat")
        carry_out(desk.engine, halt, "bob", datetime.now(UTC))
        desk.run(3)
        most = max(most, next(i for i, row in enumerate(desk.rows()[before:], 1) if row.signal == 0.0))
    return {"halts": len(seconds), "halt_to_flat_bars": most}


def universe(n_seeds: int) -> dict[str, float]:
    """Run seeds of the universe; one of ten twice."""
    broken, began = 0, time.perf_counter()
    for seed in range(n_seeds):
        try:
            digest = run_seed(seed)
            broken += seed % 10 == 0 and run_seed(seed) != digest
        except InvariantError as error:
            print(error, file=sys.stderr)
            broken += 1
    spent = time.perf_counter() - began
    return {"dst_seeds": n_seeds, "dst_divergences": broken, "dst_seed_ms": 1000 * spent / (1.1 * n_seeds)}


def measure(quick: bool) -> dict[str, float]:
    n_ticks, n_troubled, n_restarts = (60, 60, 20) if quick else (600, 600, 1260)
    parameters, bars, macro = year_market()
    history = MarketHistory(bars, macro)
    rows = feature_rows(history, parameters)
    policy = wide_policy(rows.dropna())
    year = rows[YEAR[0] : YEAR[1]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def make(desk: type[LiveDesk], live: int, sessions: int = 300) -> Any:
            home = Path(tempfile.mkdtemp(dir=folder))
            engine = connect(f"sqlite:///{home}/dosvotos.db")
            upgrade(engine)
            approve(engine, home / "bundles", policy)
            return desk(engine, home, (bars.iloc[-sessions * 60 :], macro), live=live)

        timed = make(TimedDesk, n_ticks // 60 + 2, 500)
        figures = {"predict_speedup_p50": predict_speedup(policy, rows, 300 if quick else 2000)}
        figures |= ticks(timed, n_ticks)
        figures |= delivery(make(LiveDesk, 3, 500), min(n_ticks, 100))
        figures |= start_up(Path(tempfile.mkdtemp(dir=folder)), bars, macro, policy, 2 if quick else 5)
        figures["verify_seconds"] = verifying(Path(tempfile.mkdtemp(dir=folder)), 5)
        figures["compute_us_p50"] = compute_us(parameters, history, policy, 500)
        desk = make(LiveDesk, n_troubled // 60 + 2)
        figures |= troubled(desk, rows.dropna(), n_troubled)
        points, wrong = restarts(lambda: make(LiveDesk, n_restarts // 60 + 2, 60), n_restarts)
        figures |= {"restart_points": points, "restart_mismatches": wrong}
        figures |= limits_under_faults(make) | halts(make)
    figures |= universe(40 if quick else 1000)
    figures |= drifts(4 if quick else 100) | sequential(400 if quick else 4000)
    figures |= joint_claims(400 if quick else 2000)
    return figures | replayed(parameters, history, policy, year)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    logging.disable(logging.WARNING)
    figures = {name: round(value, 4) for name, value in measure(parser.parse_args().quick).items()}
    table = Table("figure", "value", title="The live loop")
    for name, value in figures.items():
        table.add_row(name, f"{value:,g}")
    Console().print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
