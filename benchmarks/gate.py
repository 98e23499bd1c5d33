"""How often the first vote is fooled: PROMOTE for traders without skill, at zero cost, look after look.

A family is a series of looks by one desk: at other models, at more sessions, at both. It is fooled if any
look passes. Counted are the ledger's rules 4 to 9 by the project's own code (`judge_luck`: level, p-value,
SPA and StepM, stopped trading, serial correlation, short window), without the hard criteria and the naive
rivals; the whole vote stands beside it. Windows come from the real market (where ../shared/data is at hand)
and from simulated markets without an edge; each kind is also given apart.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from kedro.config import OmegaConfigLoader
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import stats

from dosvotos.backtest.luck import luck_p_value
from dosvotos.backtest.metrics import last_bars, measure, returns_between, sharpe_ratio
from dosvotos.backtest.naive import random_sharpe_percentile, random_traders
from dosvotos.contracts.parameters import Parameters, read_parameters
from dosvotos.contracts.sample_market import SampleMarketParams
from dosvotos.market.accounting import Tape, run_account
from dosvotos.market.calendar import SESSIONS_PER_YEAR, scheduled_sessions, session_dates
from dosvotos.market.window_status import judge_window
from dosvotos.promotion.criteria import hard_criteria, is_passed
from dosvotos.promotion.gate_policy import packaged_policy
from dosvotos.promotion.luck import count_looks, judge_luck, level_of
from dosvotos.simulation.market import FIRST_SESSION, simulate_market
from dosvotos.sources.checks import check_market
from dosvotos.sources.files import read_folder
from dosvotos.sources.raw_market import MACRO_COLUMNS

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data"
NOW = "2026-01-31T23:00:00+00:00"
FLOORS = packaged_policy().evidence
WINDOW, SHORT, LONGEST = 145, 60, 360
MONTH, WEEK = 21, 5
CAPITAL = 100_000.0
EDGE = 3.0
SIZES = {"a05": 0.05, "a005": 0.005, "a001": 0.001}
GOAL, UPPER_GOAL = 0.06, 0.07
N_FAMILIES = {"models": 4800}
"""A market; of other lines 1,200. Three figures and the sizes rest on this one."""


@cache
def parameters() -> Parameters:
    """Base's thresholds; nothing else of the experiment matters here."""
    loader = OmegaConfigLoader(
        str(ROOT / "conf"),
        env="null_market",
        base_env="base",
        default_run_env="null_market",
        merge_strategy={"parameters": "soft", "globals": "soft"},
        custom_resolvers={"now": lambda: NOW},
    )
    return read_parameters(dict(loader["parameters"]))


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
    """Some scheduled sessions of a market."""

    tape: Tape
    sessions: np.ndarray
    last_bar: np.ndarray
    """Of each session."""

    def returns(self, targets: np.ndarray, cost: float = 0.0) -> np.ndarray:
        """Daily net returns of a trader."""
        equity = run_account(self.tape, targets, cost, CAPITAL).equity
        return returns_between(equity, self.last_bar)


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

    def window(self, random: np.random.Generator, n_sessions: int) -> Window:
        """A window from a random session on; one with many sessions without bars is drawn again."""
        which = random.integers(len(self.histories))
        days = self.days[which]
        scheduled = scheduled_sessions(days[0].astype(object), days[-1].astype(object))
        first = random.integers(len(scheduled) - n_sessions)
        sessions = scheduled[first : first + n_sessions]
        chosen = slice(*np.searchsorted(days, [sessions[0], sessions[-1] + 1]))
        empty = n_sessions - len(np.unique(days[chosen]))
        if empty > parameters().quality_thresholds.max_uncovered_sessions * n_sessions:
            return self.window(random, n_sessions)
        closes = self.histories[which].iloc[chosen]
        times = pd.DatetimeIndex(closes.index)
        tape = Tape(times, closes.to_numpy(float), np.zeros(len(times)))
        return Window(tape, sessions, last_bars(times, sessions))


# ---- traders


def without_skill(window: Window, random: np.random.Generator) -> np.ndarray:
    """Positions of somebody's own taste in holding, exposure and side, whatever the prices, (n_bars,)."""
    n_bars = len(window.tape.close)
    holding = np.exp(random.uniform(np.log(6), np.log(60)))
    flat, long = random.uniform(0.0, 0.6), random.uniform(0.3, 0.7)
    lengths = random.geometric(1 / holding, size=int(3 * n_bars / holding) + 50)
    sides = np.where(random.random(len(lengths)) < long, 1, -1) * (random.random(len(lengths)) >= flat)
    return np.repeat(sides, lengths)[:n_bars].astype(np.int8)


def variant(targets: np.ndarray, window: Window, random: np.random.Generator) -> np.ndarray:
    """A trader who differs from another in about a fifth of the bars, by spells of about two sessions."""
    changed = np.repeat(random.random(len(targets) // 120 + 1) < 0.2, 120)[: len(targets)]
    return np.where(changed, without_skill(window, random), targets).astype(np.int8)


def with_edge(window: Window, random: np.random.Generator) -> np.ndarray:
    """A trader of the same tastes, right about a spell's direction so often that the expected Sharpe is 3."""
    taste = without_skill(window, random)
    starts = np.flatnonzero(np.diff(taste, prepend=np.int8(9)))
    ends = np.append(starts[1:], len(taste))
    close = np.append(window.tape.close, window.tape.close[-1])
    # an order decided at bar t fills at t + 1 and lasts until the fill of the next
    moves = close[np.minimum(ends + 1, len(taste))] / close[np.minimum(starts + 1, len(taste))] - 1
    moves[taste[starts] == 0] = 0.0
    size = np.abs(moves)
    daily = EDGE / np.sqrt(SESSIONS_PER_YEAR)
    advantage = daily * np.sqrt(len(window.sessions) * (size**2).sum() / (1 + daily**2)) / size.sum()
    right = random.random(len(size)) < (1 + min(advantage, 1.0)) / 2
    sides = np.where(right, np.sign(moves), -np.sign(moves))
    return np.repeat(sides, ends - starts).astype(np.int8)


def stopped_when_ahead(window: Window, random: np.random.Generator, still_traded: float) -> np.ndarray:
    """Returns of a trader who trades only a share of the sessions after he first seems to have skill."""
    returns = window.returns(without_skill(window, random))
    n = np.arange(1, len(returns) + 1)
    mean, square = returns.cumsum() / n, (returns**2).cumsum() / n
    with np.errstate(divide="ignore", invalid="ignore"):
        t = mean * np.sqrt(n) / np.sqrt(square - mean**2)
    ahead = np.flatnonzero((t > 1.7) & (n >= 20))
    if len(ahead):
        later = n > n[ahead[0]]
        returns = np.where(later & (random.random(len(returns)) >= still_traded), 0.0, returns)
    return returns


# ---- looks


class Trial(NamedTuple):
    """One look, as the ledger has it: a model's returns on sessions of its window."""

    model_hash: str
    window_start: date
    window_end: date
    sessions: np.ndarray
    returns: np.ndarray
    targets: np.ndarray | None = None

    @classmethod
    def of(
        cls, name: str, sessions: np.ndarray, returns: np.ndarray, targets: np.ndarray | None = None
    ) -> "Trial":
        first, last = sessions[[0, -1]].astype(object)
        return cls(name, first, last, sessions, returns, targets)

    @property
    def daily_returns(self) -> dict[str, float]:
        return dict(zip(self.sessions.astype(str).tolist(), self.returns.tolist(), strict=True))


def is_promoted(own: Trial, earlier: list[Trial]) -> bool:
    """Vote on a look by the ledger's rules 4 to 9."""
    count = count_looks(own, earlier, 0)
    if not luck_p_value(own.returns) <= level_of(count, FLOORS):
        return False
    returns = pd.Series(own.returns, index=own.sessions.astype(str))
    luck = judge_luck(returns, own, earlier, 0, FLOORS)
    return not (*luck.not_excluded, *luck.for_a_person)


def promoted(trials: Iterable[Trial]) -> Iterator[int]:
    """Yield the numbers of the looks that pass, each with all earlier ones in the ledger."""
    earlier: list[Trial] = []
    for number, own in enumerate(trials):
        if is_promoted(own, earlier):
            yield number
        earlier.append(own)


def passes_the_rest(own: Trial, window: Window, seed: int) -> bool:
    """Ask the hard criteria and the naive rivals too."""
    account = run_account(window.tape, own.targets, 0.0, CAPITAL)
    metrics = measure(account, window.tape.times, window.sessions)
    wanted = parameters().quality_thresholds.success_criteria
    if not is_passed(hard_criteria(metrics, wanted)):
        return False
    sides = (np.full(len(window.tape.close), side) for side in (1, -1))
    rivals = [sharpe_ratio(window.returns(one)) for one in sides]
    traders = random_traders(account.position, FLOORS.n_random_traders, seed)
    args = (window.tape, window.sessions, traders, 0.0, CAPITAL, FLOORS.naive_percentile)
    rivals.append(random_sharpe_percentile(*args))
    return metrics.sharpe_ratio > max(0.0, *(one for one in rivals if one is not None))


# ---- families without skill


def growing(name: str, window: Window, returns: np.ndarray, ends: Iterable[int]) -> Iterator[Trial]:
    """One model on a window that grows; what it earned until a session does not change later."""
    for end in ends:
        yield Trial.of(name, window.sessions[:end], returns[:end])


def growing_n20(market: Market, random: np.random.Generator) -> Iterator[Trial]:
    """Twenty peeks at one model, from 60 to 250 sessions."""
    window = market.window(random, 250)
    yield from growing("m", window, window.returns(without_skill(window, random)), range(60, 251, 10))


def weekly_n53(market: Market, random: np.random.Generator) -> Iterator[Trial]:
    """A peek a week for a year, from the first window that is long enough on."""
    window = market.window(random, LONGEST)
    ends = range(100, LONGEST + 1, WEEK)
    yield from growing("m", window, window.returns(without_skill(window, random)), ends)


def models_windows_n50(market: Market, random: np.random.Generator) -> Iterator[Trial]:
    """Ten models, each on five windows that grow by 40 sessions."""
    window = market.window(random, 265)
    returns = [window.returns(without_skill(window, random)) for _ in range(10)]
    for end in range(105, 266, 40):
        for number, one in enumerate(returns):
            yield Trial.of(f"m{number}", window.sessions[:end], one[:end])


def variants_growing_n24(market: Market, random: np.random.Generator) -> Iterator[Trial]:
    """A new variant of one idea at each of 24 peeks, from 100 to 238 sessions."""
    window = market.window(random, 238)
    idea = without_skill(window, random)
    for number, end in enumerate(range(100, 239, 6)):
        returns = window.returns(variant(idea, window, random))
        yield Trial.of(f"m{number}", window.sessions[:end], returns[:end])


def rolling(
    market: Market, random: np.random.Generator, trader: Callable[[Window, np.random.Generator], np.ndarray]
) -> Iterator[Trial]:
    """A model trained anew each month, twelve times, on 145 sessions that move by a month."""
    window = market.window(random, WINDOW + 11 * MONTH)
    for number in range(12):
        part = slice(number * MONTH, number * MONTH + WINDOW)
        returns = window.returns(trader(window, random))
        yield Trial.of(f"m{number}", window.sessions[part], returns[part])


def retrained_rolling_n12(market: Market, random: np.random.Generator) -> Iterator[Trial]:
    """The same without skill."""
    yield from rolling(market, random, without_skill)


def mixed_n32(market: Market, random: np.random.Generator) -> Iterator[Trial]:
    """New models, variants and old ones, whichever, while the window grows from 100 to 255 sessions."""
    window = market.window(random, 255)
    known = [without_skill(window, random)]
    returns = [window.returns(known[0])]
    for number in range(32):
        kind = random.integers(3)
        if number and kind < 2:
            new = variant(known[random.integers(len(known))], window, random) if kind else None
            known.append(without_skill(window, random) if new is None else new)
            returns.append(window.returns(known[-1]))
        which = len(known) - 1 if kind < 2 else int(random.integers(len(known)))
        end = 100 + 5 * number
        yield Trial.of(f"m{which}", window.sessions[:end], returns[which][:end])


def stop_when_ahead(market: Market, random: np.random.Generator) -> Iterator[Trial]:
    """One look at who stops trading once he seems to have skill."""
    window = market.window(random, WINDOW)
    yield Trial.of("m", window.sessions, stopped_when_ahead(window, random, 0.0))


def stop_softly(market: Market, random: np.random.Generator) -> Iterator[Trial]:
    """One look at who trades every fourth session from then on."""
    window = market.window(random, WINDOW)
    yield Trial.of("m", window.sessions, stopped_when_ahead(window, random, 0.25))


def cheaper_costs_n5(market: Market, random: np.random.Generator) -> Iterator[Trial]:
    """One model at costs that fall from 2 bps a side to none."""
    window = market.window(random, WINDOW)
    targets = without_skill(window, random)
    for bps in (2.0, 1.5, 1.0, 0.5, 0.0):
        yield Trial.of("m", window.sessions, window.returns(targets, bps / 1e4))


FAMILIES: dict[str, Callable[[Market, np.random.Generator], Iterator[Trial]]] = {
    one.__name__: one
    for one in (
        growing_n20, weekly_n53, models_windows_n50, variants_growing_n24, retrained_rolling_n12, mixed_n32,
        stop_when_ahead, stop_softly, cheaper_costs_n5,
    )
}  # fmt: skip
MODELS = 100
FIRST_OF_MODELS = (1, 20, 100)


# ---- tasks


class Task(NamedTuple):
    """One family on one market."""

    line: str
    market: str
    seed: int


class Outcome(NamedTuple):
    """What became of a task."""

    task: Task
    first: int | None
    """Number of the first look that passed."""
    first_whole: int | None = None
    """The same by the whole vote, for families of models on one window."""
    sizes: tuple[tuple[int, ...], ...] = ()
    """Of 145 and of 60 sessions: how many p-values lie below each of SIZES."""
    passed: tuple[bool, ...] = ()
    """Answers of the lines with an edge."""


MARKETS: dict[str, Market] = {}
MARKET_NAMES = ("null", "real")


def start(markets: list[Market]) -> None:
    MARKETS.update({market.name: market for market in markets})


def run(task: Task) -> Outcome:
    lines = sorted([*FAMILIES, *SPECIAL])
    random = np.random.default_rng([task.seed, lines.index(task.line), MARKET_NAMES.index(task.market)])
    market = MARKETS[task.market]
    if task.line in SPECIAL:
        return SPECIAL[task.line](task, market, random)
    return Outcome(task, next(promoted(FAMILIES[task.line](market, random)), None))


def models(task: Task, market: Market, random: np.random.Generator) -> Outcome:
    """A hundred models on one window; the first and the first twenty of them are families too."""
    window = market.window(random, WINDOW)
    trials = []
    for number in range(MODELS):
        targets = without_skill(window, random)
        trials.append(Trial.of(f"m{number}", window.sessions, window.returns(targets), targets))
    passing = list(promoted(trials))
    whole = (number for number in passing if passes_the_rest(trials[number], window, task.seed))
    returns = np.stack([trial.returns for trial in trials])
    p_values = luck_p_value(returns), luck_p_value(returns[:, :SHORT])
    sizes = tuple(tuple(int((p <= a).sum()) for a in SIZES.values()) for p in p_values)
    return Outcome(task, next(iter(passing), None), next(whole, None), sizes)


def chosen_window(task: Task, market: Market, random: np.random.Generator) -> Outcome:
    """Forty windows of one model's sessions, start and end free, each an experiment of its own."""
    window = market.window(random, 250)
    returns = window.returns(without_skill(window, random))
    hits, last = [], window.sessions[-1].astype(object)
    for _ in range(40):
        first, end = sorted(random.choice(251, 2, replace=False))
        if end - first < 20 or (first, end) == (0, 250):
            continue
        if luck_p_value(returns[first:end]) <= FLOORS.first_look_level:
            hits.append(status_of(window, first, end, last) == "calendar")
    return Outcome(task, None, passed=(len(hits) > 0, any(hits)))


def status_of(window: Window, first: int, end: int, last: date) -> str:
    """Judge a window of an experiment whose val ends the day before the whole one begins."""
    val_end = window.sessions[0].astype(object) - timedelta(days=1)
    dates = parameters().date_ranges
    val = dates.val.model_copy(update={"end": val_end})
    test = dates.test.model_copy(update={"start": window.sessions[first].astype(object)})
    ranges = dates.model_copy(update={"val": val, "test": test})
    sample = parameters().sample_market.model_copy(update={"test_end": last})
    asked = parameters().model_copy(update={"date_ranges": ranges, "sample_market": sample})
    test_end = window.sessions[end - 1].astype(object)
    clock = datetime.fromisoformat(NOW)
    return judge_window(asked, test_end, window.tape.times, None, clock).status


def edge(task: Task, market: Market, random: np.random.Generator) -> Outcome:
    """A true Sharpe ratio of 3, looked at after 145 sessions and again after 290."""
    window = market.window(random, 2 * WINDOW)
    returns = window.returns(with_edge(window, random))
    first, second = growing("m", window, returns, (WINDOW, 2 * WINDOW))
    psr = luck_p_value(first.returns) <= FLOORS.first_look_level
    return Outcome(task, None, passed=(is_promoted(first, []), is_promoted(second, [first]), bool(psr)))


def edge_retrained(task: Task, market: Market, random: np.random.Generator) -> Outcome:
    """A model of that skill trained anew each month: whether any of twelve looks passes."""
    return Outcome(task, next(promoted(rolling(market, random, with_edge)), None))


SPECIAL: dict[str, Callable[[Task, Market, np.random.Generator], Outcome]] = {
    "models": models,
    "chosen_window": chosen_window,
    "edge": edge,
    "edge_retrained": edge_retrained,
}


# ---- tables


class Share(NamedTuple):
    """How many of how many, with exact 95% bounds (Clopper and Pearson)."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else float("nan")

    @property
    def bounds(self) -> tuple[float, float]:
        found = stats.binomtest(self.hits, self.of).proportion_ci(0.95, method="exact")
        return float(found.low), float(found.high)

    def __str__(self) -> str:
        if not self.of:
            return "-"
        low, high = self.bounds
        return f"{self.value:.1%} ({low:.1%} to {high:.1%})"


class Row(NamedTuple):
    """A figure, over all markets and by market."""

    name: str
    shares: dict[str, Share]
    is_error: bool = False


def rows(outcomes: list[Outcome], markets: list[str]) -> Iterator[Row]:
    """Count every line."""

    def row(name: str, line: str, hit: Callable[[Outcome], bool | None], is_error: bool = False) -> Row:
        shares = {}
        for where in ("", *markets):
            answers = [hit(o) for o in outcomes if o.task.line == line and where in ("", o.task.market)]
            known = [answer for answer in answers if answer is not None]
            shares[where] = Share(sum(known), len(known))
        return Row(name, shares, is_error)

    for n in FIRST_OF_MODELS:
        yield row(f"false_promotion_n{n}", "models", lambda o, n=n: o.first is not None and o.first < n, True)
    for line in FAMILIES:
        yield row(f"false_promotion_{line}", line, lambda o: o.first is not None, True)
    for n in FIRST_OF_MODELS:
        hit = lambda o, n=n: o.first_whole is not None and o.first_whole < n  # noqa: E731
        yield row(f"false_promotion_n{n}_whole", "models", hit)
    yield row("chosen_window_luck_alone", "chosen_window", lambda o: o.passed[0])
    yield row("chosen_window_promotions", "chosen_window", lambda o: o.passed[1])
    yield row("power_sharpe3_145d", "edge", lambda o: o.passed[0])
    yield row("psr_power_sharpe3_145d", "edge", lambda o: o.passed[2])
    second = lambda o: None if o.passed[0] else o.passed[1]  # noqa: E731
    yield row("power_sharpe3_second_look_290d", "edge", second)
    yield row("power_sharpe3_two_looks", "edge", lambda o: o.passed[0] or o.passed[1])
    yield row("power_retrained_monthly_n12", "edge_retrained", lambda o: o.first is not None)


def report(outcomes: list[Outcome], markets: list[str], started: float) -> None:
    """Print the tables, end with one JSON object."""
    console, figures = Console(width=150), {}
    table = Table("figure", "all", *markets, "families", box=None)
    for row in rows(outcomes, markets):
        whole = row.shares[""]
        if not whole.of:
            continue
        table.add_row(row.name, *map(str, row.shares.values()), f"{whole.of:,}")
        for where, share in row.shares.items():
            figures[row.name + (f"_{where}" if where else "")] = share.value
        figures[f"{row.name}_low"], figures[f"{row.name}_high"] = whole.bounds
        if row.is_error and not (whole.value <= GOAL and whole.bounds[1] <= UPPER_GOAL):
            console.print(f"{row.name}: misses its goal of {GOAL:.0%}, upper bound {UPPER_GOAL:.0%}: {whole}")
    console.print(table)
    if any(outcome.sizes for outcome in outcomes):
        console.print(size_table(outcomes, markets, figures))
    figures["families"] = len(outcomes)
    figures["seconds"] = time.perf_counter() - started
    print(json.dumps({name: round(float(value), 4) for name, value in figures.items()}))


def size_table(outcomes: list[Outcome], markets: list[str], figures: dict[str, Any]) -> Table:
    """Compare how often the p-value lies below a level with the level."""
    table = Table("rate of p-values below a level, over the level", "all", *markets, "draws", box=None)
    for index, sessions in enumerate((WINDOW, SHORT)):
        for which, (name, level) in enumerate(SIZES.items()):
            ratios = []
            for where in ("", *markets):
                counted = [
                    o.sizes[index][which] for o in outcomes if o.sizes and where in ("", o.task.market)
                ]
                ratios.append(sum(counted) / (MODELS * len(counted)) / level)
            draws = MODELS * sum(bool(o.sizes) for o in outcomes)
            key = f"luck_size_{sessions}d_{name}"
            table.add_row(key, *(f"{ratio:.2f}" for ratio in ratios), f"{draws:,}")
            for where, ratio in zip(("", *markets), ratios, strict=True):
                figures[key + (f"_{where}" if where else "")] = ratio
    return table


def bars_of(name: str, quick: bool) -> list[pd.DataFrame]:
    """Session bars of the real market, or of simulated markets without an edge."""
    return real_bars() if name == "real" else null_bars(1 if quick else 8)


def families(line: str, seeds: tuple[int, int] | None, quick: bool) -> range:
    """Numbers of the families to measure of a line: those asked for, or the line's own."""
    if seeds is not None:
        return range(*seeds)
    return range(10 if quick else N_FAMILIES.get(line, 1200))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    known = [*SPECIAL, *FAMILIES]
    at_hand = [name for name in MARKET_NAMES if name != "real" or REAL.is_dir()]
    parser.add_argument("--quick", action="store_true", help="few families: wide bounds")
    parser.add_argument("--lines", nargs="+", choices=known, default=known, help="only these")
    parser.add_argument("--markets", nargs="+", choices=at_hand, default=at_hand, help="only these")
    parser.add_argument("--seeds", nargs=2, type=int, metavar=("FROM", "BEFORE"), help="other families")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    return parser.parse_args()


def main() -> None:
    """Measure, print tables, end with one JSON object."""
    asked, started = arguments(), time.perf_counter()
    markets = [Market.of(name, bars_of(name, asked.quick)) for name in asked.markets]
    tasks = [
        Task(line, name, seed)
        for line in asked.lines
        for name in asked.markets
        for seed in families(line, asked.seeds, asked.quick)
    ]
    with ProcessPoolExecutor(asked.workers, initializer=start, initargs=(markets,)) as pool:
        done = pool.map(run, tasks, chunksize=4)
        outcomes = list(track(done, "families", len(tasks), console=Console(stderr=True)))
    report(outcomes, asked.markets, started)


if __name__ == "__main__":
    main()
