"""How much of a planted edge PPO finds, what it does without one, and whether the linear rival does better.

In the markets `EASY` and `HARD` a slow signal announces each bar's return, in `NULL` nothing does. The
oracle knows the signal and the market's parameters and trades it best after costs. Each seed trains on bars
of its own, keeps its best policy on val, and trades held-out bars that nothing has seen. The figures are
medians over the seeds: the policy's held-out return (the logarithm of what its account has grown by) as a
fraction of the oracle's; on the null market before costs, and as a fraction of what the easy market's
oracle earns.

`unseen` is demo's own market, drawn with other seeds and trained on as `UNSEEN_ENV` does: the candidate's
Sharpe ratio on test after costs, as L4 measures it, as a share of the oracle's. `unseen_expected` is the same
with each bar's return replaced by the drift planted in it, which a year's luck does not move; the spread of
the days stays as it was.

`vs_linear` is the Sharpe ratio of a policy that starts as the linear rival over the rival's own, fitted on
the same rows, and `from_linear` its share of the oracle's return: the policy that earns the most is always in
the market and has the lower Sharpe ratio for it.

The markets, the seeds and the lengths below were committed before any training on them.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rivals import simulated, tree_of

from dosvotos.backtest.metrics import daily_returns, sharpe_ratio
from dosvotos.backtest.simulate import policy_targets
from dosvotos.contracts.features import MARKET_FEATURES
from dosvotos.contracts.parameters import Parameters, read_parameters
from dosvotos.market.accounting import Tape, run_account
from dosvotos.market.calendar import SESSIONS_PER_YEAR, scheduled_sessions, session_bar_times, session_dates
from dosvotos.market.normalization import fit_norm_stats
from dosvotos.simulation import oracle
from dosvotos.training.linear import fit_linear_rival

BAR_VOLATILITY = 0.00721 / np.sqrt(60)
"""Of the real market: 0.721% a session of 60 bars."""


@dataclass(frozen=True)
class Market:
    """A planted market.

    Attributes
    ----------
    edge : float
        Correlation of the signal with the return it announces.
    persistence : float
        Of the signal and of every feature, from bar to bar.
    n_signals : int
        Features that make up the signal, in equal parts; the others are noise that looks like them.
    cost_bps : float
        Of the traded notional, a side.
    """

    edge: float
    persistence: float
    n_signals: int
    cost_bps: float


EASY = Market(edge=0.10, persistence=0.98, n_signals=1, cost_bps=1.0)
HARD = Market(edge=0.06, persistence=0.97, n_signals=3, cost_bps=2.0)
NULL = Market(edge=0.0, persistence=0.98, n_signals=1, cost_bps=1.0)
SEEDS = (1, 2, 3, 4, 5)
"""Of the training; seed s trains on bars drawn with 1000 + s and is validated on 2000 + s."""
HELD_OUT_SEEDS = (9001, 9002, 9003, 9004, 9005)
TUNING_SEEDS = (11, 12, 13, 14)
"""Settings are compared on these seeds alone, held out bars drawn with 9100 + s."""
UNSEEN_ENV = "demo_linear_start"
UNSEEN_SEEDS = (201, 202, 203, 204, 205, 206, 207, 208, 209)
"""Of sample markets; benchmarks/README.md tells how often they were looked at."""
UNSEEN_TUNING_SEEDS = (101, 102, 103, 104, 105, 106, 107, 108)
"""Of the sample markets on which settings are compared."""
TRAIN_SESSIONS, VAL_SESSIONS, HELD_OUT_SESSIONS = 1500, 250, 2000
TIMESTEPS = 400_000


def planted_rows(market: Market, seed: int, n_sessions: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of a split, and its signal.

    The signal of bar t announces the return from the next close to the one after: what a decision at t earns.
    """
    random = np.random.default_rng(seed)
    days = scheduled_sessions(date(2000, 1, 3), date(2020, 12, 30))[:n_sessions]
    times = pd.DatetimeIndex([time for day in days for time in session_bar_times(day)])
    shocks = random.normal(size=(len(times), len(MARKET_FEATURES)))
    shocks[1:] *= np.sqrt(1 - market.persistence**2)
    features = shocks.copy()
    for t in range(1, len(times)):
        features[t] += market.persistence * features[t - 1]
    signal = features[:, : market.n_signals].sum(axis=1) / np.sqrt(market.n_signals)
    noise = random.normal(size=len(times))
    returns = BAR_VOLATILITY * noise
    returns[2:] *= np.sqrt(1 - market.edge**2)
    returns[2:] += BAR_VOLATILITY * market.edge * signal[:-2]
    rows = pd.DataFrame(features, index=times, columns=list(MARKET_FEATURES))
    rows["close"] = 4000 * np.cumprod(1 + returns)
    rows["time_normalized"] = np.tile(np.arange(60) / 59, n_sessions)
    rows["policy_rate_difference"] = 0.0
    return rows, signal


def oracle_targets(market: Market, signal: np.ndarray) -> np.ndarray:
    """Positions that earn the most a bar after costs, by value iteration over signal and position."""
    grid = np.linspace(-4, 4, 201)
    spread = np.sqrt(1 - market.persistence**2)
    ahead = np.exp(-0.5 * ((grid[None, :] - market.persistence * grid[:, None]) / spread) ** 2)
    ahead /= ahead.sum(axis=1, keepdims=True)
    positions = np.array([-1.0, 0.0, 1.0])
    earned = BAR_VOLATILITY * market.edge * grid[:, None] * positions[None, :]
    paid = market.cost_bps / 10_000 * np.abs(positions[None, :] - positions[:, None])
    worth = np.zeros((len(grid), len(positions)))
    for _ in range(3000):
        value = (earned + ahead @ worth)[:, None, :] - paid[
            None, :, :
        ]  # signal, position held, position taken
        worth = value.max(axis=2)
        worth -= worth[len(grid) // 2, 1]
    choices = value.argmax(axis=2)
    places = np.clip(np.rint((signal + 4) / (grid[1] - grid[0])), 0, len(grid) - 1).astype(int)
    targets, held = np.zeros(len(signal), dtype=np.int8), 1
    for t, place in enumerate(places):
        held = choices[place, held]
        targets[t] = held - 1
    return targets


def growth(rows: pd.DataFrame, targets: np.ndarray, cost_bps: float) -> float:
    """Logarithm of what an account that follows the targets has grown by."""
    equity = run_account(Tape.from_rows(rows), targets, cost_bps / 10_000, 100_000.0).equity
    return float(np.log(equity[-1] / equity[0]))


def parameters_for(market: Market, seed: int, timesteps: int = TIMESTEPS, **training: Any) -> Parameters:
    """The project's training parameters at a market's costs; the reward is the net return, bar by bar."""
    tree = tree_of("null_market")  # base's training, on a market of one's own
    tree["training"] = {**tree["training"], **training, "seeds": [seed]}
    tree["reward"] = {**tree["reward"], "drawdown": 0.0, "volatility": 0.0}
    tree["trading"] = {
        **tree["trading"],
        "costs": {"spread_bps": 2 * market.cost_bps, "slippage_bps": 0.0, "commission_bps": 0.0},
    }
    return read_parameters({**tree, "curriculum": _shortened(tree["curriculum"], timesteps)})


def from_linear(parameters: Parameters) -> Parameters:
    """Return the same training from the linear rival's weights: smaller steps, full costs from the first."""
    tree = parameters.model_dump()
    whole = {**tree["curriculum"]["phases"][-1], "timesteps": _timesteps(tree["curriculum"])}
    hyperparameters = {**tree["training"]["hyperparameters"], "learning_rate": 1e-4}
    training = {**tree["training"], "start": "linear", "hyperparameters": hyperparameters}
    return read_parameters({**tree, "training": training, "curriculum": {"phases": [whole]}})


def _timesteps(curriculum: dict[str, Any]) -> int:
    return sum(phase["timesteps"] for phase in curriculum["phases"])


def _shortened(curriculum: dict[str, Any], timesteps: int) -> dict[str, Any]:
    phases, whole = curriculum["phases"], _timesteps(curriculum)
    return {"phases": [{**phase, "timesteps": phase["timesteps"] * timesteps // whole} for phase in phases]}


# ---- the sample market


def sharpe_of_days(rows: pd.DataFrame, targets: np.ndarray, cost: float) -> float:
    """Annual Sharpe ratio of the targets' daily net returns, as L4 measures it; 0 without variance."""
    return sharpe_ratio(_daily_returns(rows, targets, cost)) or 0.0


def expected_sharpe(rows: pd.DataFrame, targets: np.ndarray, cost: float, edge: float) -> float:
    """The same, with each bar's return replaced by the drift planted in it, and the days' own spread."""
    _, first, lengths = np.unique(_days(rows), return_index=True, return_counts=True)
    changes = (rows[f"{name}_change_1d"].to_numpy(float)[first] for name in oracle.SIGNAL_WEIGHTS)
    drift = np.repeat(oracle.drift_per_bar(oracle.planted_signal(*changes), edge), lengths)
    drift[rows["time_normalized"].to_numpy() == 0] = 0.0  # none is planted overnight
    position = np.concatenate([[0, 0], targets[:-2]]).astype(float)
    fees = cost * np.abs(np.diff(targets[:-1].astype(float), prepend=0.0)).sum()
    spread = _daily_returns(rows, targets, cost).std(ddof=1)
    a_day = ((position * drift).sum() - fees) / len(first)
    return float(a_day / spread * np.sqrt(SESSIONS_PER_YEAR)) if spread > 0 else 0.0


def _daily_returns(rows: pd.DataFrame, targets: np.ndarray, cost: float) -> np.ndarray:
    tape = Tape.from_rows(rows)
    equity = run_account(tape, targets, cost, 100_000.0).equity
    return daily_returns(equity, tape.times, np.unique(_days(rows)))


def _days(rows: pd.DataFrame) -> np.ndarray:
    return session_dates(pd.DatetimeIndex(rows.index))


class Unseen(NamedTuple):
    """Candidate and linear rival on the test of one sample market, as shares of the oracle's Sharpe ratio."""

    share: float
    expected_share: float
    linear: float


def unseen(seed: int, timesteps: int) -> Unseen:
    """Train on one sample market as `UNSEEN_ENV` does; let candidate, rival and oracle trade its test."""
    from dosvotos.training.ppo import train

    edge = tree_of("demo")["sample_market"]["edge"]
    parameters, splits = simulated(seed, edge, UNSEEN_ENV)
    tree, cost = parameters.model_dump(), parameters.trading.costs.per_side
    parameters = read_parameters({**tree, "curriculum": _shortened(tree["curriculum"], timesteps)})
    norm_stats, test = fit_norm_stats(splits["train"]), splits["test"]
    result = train(parameters, seed, splits["train"], splits["val"], norm_stats)
    targets, best = policy_targets(result.policy, test), oracle.oracle_targets(test, edge, cost)
    rival = fit_linear_rival(parameters, splits["train"], splits["val"], norm_stats)
    linear = policy_targets(rival.policy, test)
    of_oracle = sharpe_of_days(test, best, cost)
    return Unseen(
        share=sharpe_of_days(test, targets, cost) / of_oracle,
        expected_share=expected_sharpe(test, targets, cost, edge) / expected_sharpe(test, best, cost, edge),
        linear=sharpe_of_days(test, linear, cost) / of_oracle,
    )


# ---- planted markets


class Outcome(NamedTuple):
    """One seed on held-out bars."""

    policy: float
    before_costs: float
    oracle: float


class AgainstLinear(NamedTuple):
    """One seed that started as the linear rival, on held-out bars."""

    vs_linear: float
    """Its Sharpe ratio over the rival's."""
    share: float
    """Of the oracle's return."""


class Planted(NamedTuple):
    """Train, val and held-out rows of a planted market, and the signal in the last."""

    train: pd.DataFrame
    val: pd.DataFrame
    held_out: pd.DataFrame
    signal: np.ndarray


def planted(market: Market, seed: int, held_out_seed: int) -> Planted:
    """Draw a market's rows for one seed."""
    train_rows, _ = planted_rows(market, 1000 + seed, TRAIN_SESSIONS)
    val_rows, _ = planted_rows(market, 2000 + seed, VAL_SESSIONS)
    return Planted(train_rows, val_rows, *planted_rows(market, held_out_seed, HELD_OUT_SESSIONS))


def outcome(market: Market, seed: int, rows: Planted, timesteps: int) -> Outcome:
    """Train one seed and let its policy and the oracle trade the held-out bars."""
    from dosvotos.training.ppo import train

    parameters = parameters_for(market, seed, timesteps)
    result = train(parameters, seed, rows.train, rows.val, fit_norm_stats(rows.train))
    targets = policy_targets(result.policy, rows.held_out)
    return Outcome(
        policy=growth(rows.held_out, targets, market.cost_bps),
        before_costs=growth(rows.held_out, targets, 0.0),
        oracle=growth(rows.held_out, oracle_targets(market, rows.signal), market.cost_bps),
    )


def against_linear(market: Market, seed: int, rows: Planted, timesteps: int) -> AgainstLinear:
    """Train one seed from the linear rival and let both trade the held-out bars."""
    from dosvotos.training.ppo import train

    norm_stats = fit_norm_stats(rows.train)
    parameters = from_linear(parameters_for(market, seed, timesteps))
    result = train(parameters, seed, rows.train, rows.val, norm_stats)
    rival = fit_linear_rival(parameters, rows.train, rows.val, norm_stats)
    own, linear = (policy_targets(policy, rows.held_out) for policy in (result.policy, rival.policy))
    cost, best = parameters.trading.costs.per_side, oracle_targets(market, rows.signal)
    return AgainstLinear(
        vs_linear=sharpe_of_days(rows.held_out, own, cost) / sharpe_of_days(rows.held_out, linear, cost),
        share=growth(rows.held_out, own, market.cost_bps) / growth(rows.held_out, best, market.cost_bps),
    )


def main() -> None:
    """Train on every market, print tables, end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, a tenth of the steps")
    quick = parser.parse_args().quick
    seeds = list(zip(SEEDS, HELD_OUT_SEEDS, strict=True))[: 1 if quick else None]
    unseen_seeds = UNSEEN_SEEDS[: 1 if quick else None]
    timesteps = TIMESTEPS // 10 if quick else TIMESTEPS
    markets = {"easy": EASY, "hard": HARD, "null": NULL}
    outcomes: dict[str, list[Outcome]] = {name: [] for name in markets}
    started: dict[str, list[AgainstLinear]] = {"easy": [], "hard": []}
    for (name, market), (seed, held_out_seed) in product(markets.items(), seeds):
        rows = planted(market, seed, held_out_seed)
        outcomes[name].append(outcome(market, seed, rows, timesteps))
        if name in started:
            started[name].append(against_linear(market, seed, rows, timesteps))
    easy_oracle = float(np.median([found.oracle for found in outcomes["easy"]]))
    shares = {name: [o.policy / o.oracle for o in outcomes[name]] for name in started}
    shares["null"] = [found.before_costs / easy_oracle for found in outcomes["null"]]
    ratios = {f"vs_linear_{name}": [one.vs_linear for one in ones] for name, ones in started.items()}
    shares_started = {f"from_linear_{name}": [one.share for one in ones] for name, ones in started.items()}
    sample = [unseen(seed, timesteps) for seed in unseen_seeds]
    of_sample = {
        "unseen_share_of_oracle": [one.share for one in sample],
        "unseen_expected_share": [one.expected_share for one in sample],
        "unseen_linear_share": [one.linear for one in sample],
    }
    noise = BAR_VOLATILITY * np.sqrt(60 * HELD_OUT_SESSIONS) / easy_oracle
    _print("share of the oracle's return", SEEDS, shares)
    _print("started as the linear rival: share of the oracle's return", SEEDS, shares_started)
    _print("started as the linear rival: Sharpe ratio over its own", SEEDS, ratios)
    _print("sample markets: share of the oracle's Sharpe ratio", UNSEEN_SEEDS, of_sample)
    Console().print(
        f"null: before costs; a position held all along would stray {noise:.3f} from zero by chance"
    )
    figures = {f"{name}_median": round(float(np.median(values)), 4) for name, values in shares.items()}
    figures |= {f"{name}_worst": round(min(shares[name]), 4) for name in ("easy", "hard")}
    figures |= {
        name: round(float(np.median(v)), 4) for name, v in (ratios | shares_started | of_sample).items()
    }
    print(json.dumps({**figures, "null_standard_error": round(float(noise), 4)}))


def _print(title: str, seeds: Sequence[int], rows: dict[str, list[float]]) -> None:
    n_seeds = len(next(iter(rows.values())))
    table = Table("", *(f"seed {seed}" for seed in seeds[:n_seeds]), "median", title=title)
    for name, values in rows.items():
        table.add_row(name, *(f"{value:.3f}" for value in values), f"{np.median(values):.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
