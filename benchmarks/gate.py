"""How often the first vote is fooled: PROMOTE for traders without skill, at zero cost, look after look.

A family is N traders at random who are tried one after the other on one window of 145 sessions; the ledger
holds every earlier one. The family is fooled if any of them is promoted. Windows come from the real market
(where ../shared/data is at hand) and from simulated markets without an edge. Every figure comes from the
project's own criteria, evidence and vote.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from kedro.config import OmegaConfigLoader
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import stats

from dosvotos.backtest.evidence import family_test, moments_of, probabilistic_sharpe_ratio
from dosvotos.backtest.metrics import Metrics, daily_returns, measure, sharpe_ratio
from dosvotos.backtest.naive import Naive, random_sharpe_percentile, random_traders
from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.experiment import ExperimentContract, make_contract
from dosvotos.contracts.parameters import Parameters, SampleMarketParams, read_parameters
from dosvotos.contracts.records import DatasetRecord, LayerRecords, LedgerGenesis, SplitRecord, TrainingRecord
from dosvotos.market.accounting import Account, Tape, run_account
from dosvotos.market.calendar import SESSIONS_PER_YEAR, scheduled_sessions, session_dates
from dosvotos.promotion import evidence as evidence_module
from dosvotos.promotion.criteria import CriterionResult, hard_criteria, is_passed
from dosvotos.promotion.evidence import Evidence, make_evidence
from dosvotos.promotion.proposal import recommend
from dosvotos.simulation.market import FIRST_SESSION, simulate_market
from dosvotos.sources.checks import check_market
from dosvotos.sources.files import read_folder
from dosvotos.sources.raw_market import MACRO_COLUMNS

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data"
NOW = "2026-01-31T23:00:00+00:00"
WINDOW = 145
CAPITAL = 100_000.0
EDGE = 3.0
FLAT_LEVEL = 0.05
LOOKS = (1, 20, 100)
# a look with less cannot be in a superior set of size 0.05: its mean would have to exceed the 95% quantile of
# a maximum over means that hold its own
LEAST_PSR = 0.90
NO_PRODUCTION = CriterionResult(
    name="improvement",
    found=None,
    sign=">",
    needed=0.05,
    verdict="NOT APPLICABLE",
    not_compared="not_applicable",
)


@cache
def contract() -> ExperimentContract:
    """Base's thresholds; nothing else of the experiment matters here."""
    loader = OmegaConfigLoader(
        str(ROOT / "conf"),
        env="null_market",
        base_env="base",
        default_run_env="null_market",
        merge_strategy={"parameters": "soft", "globals": "soft"},
        custom_resolvers={"now": lambda: NOW},
    )
    return make_contract(read_parameters(dict(loader["parameters"])), date(2026, 1, 31), "benchmark")


@cache
def parameters() -> Parameters:
    return contract().parameters


# ---- markets


def real_bars() -> list[pd.DataFrame]:
    raw = read_folder(REAL, mixed_timezone="detect")
    known = pd.DataFrame(columns=[*MACRO_COLUMNS, "vintage", "source"])
    limits, variables = parameters().quality_thresholds, parameters().macro_variables.variables
    return [check_market(raw, variables, limits, pd.Timestamp(NOW), known).bars]


def null_bars(n_seeds: int) -> list[pd.DataFrame]:
    variables, end = parameters().macro_variables.variables, pd.Timestamp(NOW)
    params = [SampleMarketParams(seed=seed, start=FIRST_SESSION, edge=0.0) for seed in range(1, n_seeds + 1)]
    return [simulate_market(one, variables, end).bars for one in params]


class Window(NamedTuple):
    """145 scheduled sessions of a market."""

    tape: Tape
    sessions: np.ndarray
    test: SplitRecord
    always_long: Metrics
    always_short: Metrics


class Market(NamedTuple):
    """Histories to draw windows from."""

    name: str
    histories: list[pd.Series]
    """Closes by bar open (UTC)."""
    days: list[np.ndarray]
    """The session of each of their bars."""

    @classmethod
    def of(cls, name: str, bars: list[pd.DataFrame]) -> "Market":
        closes = [one.set_index("timestamp")["close"] for one in bars]
        return cls(name, closes, [session_dates(pd.DatetimeIndex(one.index)) for one in closes])

    def window(self, random: np.random.Generator) -> Window:
        """A window that begins at a random session; one with many sessions without bars is drawn again."""
        which = random.integers(len(self.histories))
        days = self.days[which]
        scheduled = scheduled_sessions(days[0].astype(object), days[-1].astype(object))
        first = random.integers(len(scheduled) - WINDOW)
        sessions = scheduled[first : first + WINDOW]
        chosen = slice(*np.searchsorted(days, [sessions[0], sessions[-1] + 1]))
        empty = WINDOW - len(np.unique(days[chosen]))
        if empty > parameters().quality_thresholds.max_uncovered_sessions * WINDOW:
            return self.window(random)
        closes = self.histories[which].iloc[chosen]
        times, n_bars = pd.DatetimeIndex(closes.index), len(closes)
        tape = Tape(times, closes.to_numpy(float), np.zeros(n_bars))
        test = SplitRecord(
            path="", digest="", first_session=str(sessions[0]), last_session=str(sessions[-1]),
            sessions=WINDOW, uncovered_sessions=empty, bars=n_bars, complete_rows=n_bars,
            missing_by_feature={}, missing_by_reason={},
        )  # fmt: skip
        long, short = (
            measure(run_account(tape, np.full(n_bars, side), 0.0, CAPITAL), times, sessions)
            for side in (1, -1)
        )
        return Window(tape, sessions, test, long, short)


# ---- traders


def style(window: Window, random: np.random.Generator) -> np.ndarray:
    """Positions of somebody's own taste in holding, exposure and side, shape (n_bars,)."""
    n_bars = len(window.tape.close)
    holding = np.exp(random.uniform(np.log(6), np.log(60)))
    flat, long = random.uniform(0.0, 0.6), random.uniform(0.3, 0.7)
    lengths = random.geometric(1 / holding, size=int(3 * n_bars / holding) + 50)
    sides = np.where(random.random(len(lengths)) < long, 1, -1) * (random.random(len(lengths)) >= flat)
    return np.repeat(sides, lengths)[:n_bars].astype(float)


def without_skill(window: Window, random: np.random.Generator) -> np.ndarray:
    return random_traders(style(window, random), 1, int(random.integers(2**31)))[0]


def with_edge(window: Window, random: np.random.Generator) -> np.ndarray:
    """A trader of the same tastes, right about a spell's direction so often that the expected Sharpe is 3."""
    taste = style(window, random)
    starts = np.flatnonzero(np.diff(taste, prepend=np.nan))
    ends = np.append(starts[1:], len(taste))
    close = np.append(window.tape.close, window.tape.close[-1])
    # an order decided at bar t fills at t + 1 and lasts until the fill of the next
    moves = close[np.minimum(ends + 1, len(taste))] / close[starts + 1] - 1
    moves[taste[starts] == 0] = 0.0
    size = np.abs(moves)
    daily = EDGE / np.sqrt(SESSIONS_PER_YEAR)
    advantage = daily * np.sqrt(WINDOW * (size**2).sum() / (1 + daily**2)) / size.sum()
    right = random.random(len(size)) < (1 + min(advantage, 1.0)) / 2
    sides = np.where(right, np.sign(moves), -np.sign(moves))
    return np.repeat(sides, ends - starts).astype(np.int8)


class Look(NamedTuple):
    """One trader's run over the window, as the ledger and the vote see it."""

    row: SimpleNamespace
    account: Account
    psr: float
    sharpe: float


def look_at(window: Window, targets: np.ndarray, name: str) -> Look:
    account = run_account(window.tape, targets, 0.0, CAPITAL)
    returns = daily_returns(account.equity, window.tape.times, window.sessions)
    by_day = dict(zip(window.sessions.astype(str).tolist(), returns.tolist(), strict=True))
    row = SimpleNamespace(model_hash=name, daily_returns=by_day)
    moments = moments_of(returns)
    psr = probabilistic_sharpe_ratio(moments) if moments else None
    return Look(row, account, psr or 0.0, sharpe_ratio(returns) or 0.0)


# ---- the vote


class Judged(NamedTuple):
    """What the vote makes of one look; parts that were not needed are None."""

    criteria: bool
    luck: bool
    luck_flat: bool
    """At the level the same at every look, as it would be without the tightening."""
    naive: bool | None
    promoted: bool


def check_delivery(window: Window, looks: list[Look], seed: int, every_part: bool = False) -> Judged:
    """Vote on the last look, all of them in the ledger."""
    own = looks[-1]
    wanted = parameters().quality_thresholds.success_criteria
    if own.sharpe <= wanted.min_sharpe and not every_part:
        return Judged(False, False, False, None, False)
    metrics = measure(own.account, window.tape.times, window.sessions)
    criteria = hard_criteria(metrics, wanted)
    naive = Naive(always_long=window.always_long, always_short=window.always_short, random_sharpe_p95=None)
    report = BacktestReport.model_construct(  # of a report only what the vote reads
        model_hash=own.row.model_hash, metrics=metrics, daily_returns=own.row.daily_returns, naive=naive
    )
    if own.psr < LEAST_PSR and not every_part:
        return Judged(is_passed(criteria), False, False, None, False)
    evidence = evidence_of(window, report, looks)
    if not evidence.luck_excluded and not every_part:
        return Judged(is_passed(criteria), False, luck_at_a_flat_level(evidence, looks), None, False)
    settings = parameters().evidence
    rivals = random_traders(own.account.position, settings.n_random_traders, seed)
    random_sharpe = random_sharpe_percentile(
        window.tape, window.sessions, rivals, 0.0, CAPITAL, settings.naive_percentile
    )
    naive = naive.model_copy(update={"random_sharpe_p95": random_sharpe})
    evidence = evidence_of(window, report.model_copy(update={"naive": naive}), looks)
    voted = recommend(criteria, NO_PRODUCTION, evidence)
    flat = luck_at_a_flat_level(evidence, looks)
    return Judged(
        is_passed(criteria),
        evidence.luck_excluded,
        flat,
        evidence.beats_naive,
        voted.recommendation == "PROMOTE",
    )


def evidence_of(window: Window, report: BacktestReport, looks: list[Look]) -> Evidence:
    rows = [look.row for look in looks]
    layers = LayerRecords.model_construct(
        contract=contract(),
        dataset=DatasetRecord.model_construct(splits={"test": window.test}, point_in_time="simulated"),
        training=TrainingRecord.model_construct(seeds=()),
    )
    return make_evidence(layers, report, rows, LedgerGenesis(id="benchmark", created_at=NOW))


def luck_at_a_flat_level(evidence: Evidence, looks: list[Look]) -> bool:
    settings = parameters().evidence
    if evidence.spa_p_value is None:
        return evidence.luck_excluded
    if evidence.spa_p_value > FLAT_LEVEL:
        return False
    series = pd.DataFrame({look.row.model_hash: look.row.daily_returns for look in looks})
    own, level = looks[-1].row.model_hash, FLAT_LEVEL
    return family_test(
        own, series, len(looks), level, settings.bootstrap_replications, settings.seed
    ).in_superior_set


# ---- families


class Task(NamedTuple):
    """One family on one window."""

    market: str
    seed: int
    n_looks: int
    edge: bool


class Outcome(NamedTuple):
    """What became of a task: one `Judged` a look without skill, in order, and the edge's own."""

    task: Task
    nulls: list[Judged]
    edge: Judged | None
    edge_psr: float | None
    edge_sharpe: float | None


MARKETS: dict[str, Market] = {}


def start(markets: list[Market]) -> None:
    """Begin a worker, without what a proposal shows but does not vote on: that costs more than the vote."""
    evidence_module.resampled_intervals = lambda *_: None
    evidence_module._deflated = lambda *_: None
    MARKETS.update({market.name: market for market in markets})


def run(task: Task) -> Outcome:
    random = np.random.default_rng([task.seed, task.n_looks, task.edge])
    window = MARKETS[task.market].window(random)
    place = int(random.integers(task.n_looks)) if task.edge else -1
    looks: list[Look] = []
    nulls, edge = [], None
    for number in range(task.n_looks):
        trader = with_edge if number == place else without_skill
        looks.append(look_at(window, trader(window, random), f"model_{number}"))
        found = check_delivery(window, looks, seed=task.seed)
        if number == place:
            edge = found
        else:
            nulls.append(found)
    own = looks[place] if task.edge else None
    return Outcome(task, nulls, edge, own.psr if own else None, own.sharpe if own else None)


def run_naive(task: Task) -> bool:
    """Whether one trader without skill beats the naive strategies."""
    random = np.random.default_rng([task.seed, 7])
    window = MARKETS[task.market].window(random)
    own = look_at(window, without_skill(window, random), "model_0")
    return bool(check_delivery(window, [own], task.seed, every_part=True).naive)


# ---- tables


class Share(NamedTuple):
    """How many of how many, with exact 95% bounds (Clopper and Pearson)."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        return self.hits / self.of

    @property
    def bounds(self) -> tuple[float, float]:
        found = stats.binomtest(self.hits, self.of).proportion_ci(0.95, method="exact")
        return float(found.low), float(found.high)

    def __str__(self) -> str:
        low, high = self.bounds
        return f"{self.value:.1%} ({low:.1%} to {high:.1%})"


def share(values: Iterable[bool]) -> Share:
    counted = list(values)
    return Share(sum(counted), len(counted))


PARTS: dict[str, Callable[[Judged], bool]] = {
    "criteria": lambda one: one.criteria,
    "luck_flat": lambda one: one.luck_flat,
    "luck": lambda one: one.luck,
    "criteria_and_luck": lambda one: one.criteria and one.luck,
    "whole": lambda one: one.promoted,
}
PART_NAMES = {
    "criteria": "the four criteria alone",
    "luck_flat": f"PSR, then SPA and StepM at {FLAT_LEVEL}",
    "luck": "PSR, then SPA and StepM at max_spa_p_value / looks",
    "criteria_and_luck": "criteria and luck",
    "whole": "whole PROMOTE rule",
}


def fooled(outcomes: list[Outcome], n_looks: int, part: str, market: str | None = None) -> Share:
    """Families of at least `n_looks` in which a part let one of the first `n_looks` through."""
    return share(
        any(PARTS[part](one) for one in outcome.nulls[:n_looks])
        for outcome in outcomes
        if len(outcome.nulls) >= n_looks and market in (None, outcome.task.market)
    )


def main() -> None:
    """Measure, print tables, end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few families: wide bounds")
    quick = parser.parse_args().quick
    started = time.perf_counter()
    bars = {"null": null_bars(1 if quick else 8)}
    if REAL.is_dir():
        bars["real"] = real_bars()
    markets = [Market.of(name, many) for name, many in bars.items()]
    # families of 100 looks are also families of 20 and of 1
    lengths = {100: 3, 20: 8, 1: 40} if quick else {100: 2400, 20: 600, 1: 500}
    edges = {100: 1, 20: 4, 1: 20} if quick else {100: 1600, 20: 400, 1: 500}
    n_naive = 6 if quick else 300
    tasks = [
        Task(market.name, seed, n_looks, edge)
        for edge, counts in ((False, lengths), (True, edges))
        for n_looks, count in counts.items()
        for seed in range(count)
        for market in markets
    ]
    naive_tasks = [Task(market.name, seed, 1, False) for seed in range(n_naive) for market in markets]
    with ProcessPoolExecutor(os.cpu_count(), initializer=start, initargs=(markets,)) as pool:
        done = pool.map(run, tasks, chunksize=1 if quick else 4)
        outcomes = list(track(done, "families", len(tasks), console=Console(stderr=True)))
        naive = dict(zip(naive_tasks, pool.map(run_naive, naive_tasks, chunksize=4), strict=True))
    report(outcomes, naive, [market.name for market in markets], started)


def report(outcomes: list[Outcome], naive: dict[Task, bool], markets: list[str], started: float) -> None:
    console = Console(width=150)
    nulls = [one for one in outcomes if not one.task.edge]
    edges = [one for one in outcomes if one.task.edge]
    figures: dict[str, Any] = {}
    for market in (None, *markets):
        where = market or "all markets"
        table = Table(f"fooled at least once, {where}", *(f"{n} looks" for n in LOOKS), box=None)
        for part, name in PART_NAMES.items():
            shares = [fooled(nulls, n_looks, part, market) for n_looks in LOOKS]
            table.add_row(name, *map(str, shares))
            for n_looks, found in zip(LOOKS, shares, strict=True):
                key = f"false_promotion_n{n_looks}" + ("" if part == "whole" else f"_{part}")
                note(figures, key + (f"_{market}" if market else ""), found, bounds=part == "whole")
        beside = [o for o in edges if market in (None, o.task.market)]
        with_edge_shares = [
            share(any(one.promoted for one in o.nulls) for o in beside if o.task.n_looks == n)
            for n in LOOKS[1:]
        ]
        table.add_row("whole rule, one of them a real edge", "-", *map(str, with_edge_shares))
        console.print(table)
        for n_looks, found in zip(LOOKS[1:], with_edge_shares, strict=True):
            note(figures, f"false_promotion_beside_edge_n{n_looks}" + (f"_{market}" if market else ""), found)
        beats = share(beaten for task, beaten in naive.items() if market in (None, task.market))
        note(figures, "beats_naive_n1" + (f"_{market}" if market else ""), beats)
        console.print(f"beats the naive strategies, one look: {beats}\n")
    rates = Table("promoted a look, whole rule", "rate", box=None)
    for n_looks in LOOKS:
        found = share(o.promoted for one in nulls if len(one.nulls) >= n_looks for o in one.nulls[:n_looks])
        rates.add_row(f"families of {n_looks}", str(found))
        note(figures, f"promoted_a_look_n{n_looks}", found, bounds=False)
    console.print(rates)
    powers = Table("found, a true Sharpe of 3 over 145 days", *(f"as one of {n}" for n in LOOKS), box=None)
    for name, part in (("criteria", "criteria"), ("luck", "luck"), ("whole rule", "whole")):
        shares = [share(PARTS[part](o.edge) for o in edges if o.edge and o.task.n_looks == n) for n in LOOKS]
        powers.add_row(name, *map(str, shares))
        if part == "whole":
            note(figures, "power_sharpe3_145d", shares[0])
            note(figures, "power_sharpe3_145d_n20", shares[1], bounds=False)
            note(figures, "power_sharpe3_145d_n100", shares[2], bounds=False)
    psr = share(o.edge_psr is not None and o.edge_psr >= parameters().evidence.min_psr for o in edges)
    note(figures, "psr_power_sharpe3_145d", psr)
    powers.add_row("PSR >= 0.95", str(psr))
    console.print(powers)
    figures["edge_mean_sharpe"] = float(np.mean([o.edge_sharpe for o in edges]))
    figures["seconds"] = time.perf_counter() - started
    print(json.dumps({name: round(float(value), 4) for name, value in figures.items()}))


def note(figures: dict[str, Any], name: str, found: Share, bounds: bool = True) -> None:
    figures[name] = found.value
    if bounds:
        figures[f"{name}_low"], figures[f"{name}_high"] = found.bounds


if __name__ == "__main__":
    main()
