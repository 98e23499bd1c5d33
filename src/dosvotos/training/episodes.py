"""Episodes on the market that step together: the one step behind every environment.

One step decides at a bar's close, fills at the next bar's close and is rewarded with what the filled position
earns until the close after, less the fees: the account's own marks and fills.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.backtest.simulate import tape_of
from dosvotos.compiled import njit
from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.errors import DataError
from dosvotos.market.accounting import RUIN_SHARE, fill, mark
from dosvotos.market.calendar import session_dates
from dosvotos.market.normalization import NormStats
from dosvotos.policy.forward import TARGETS
from dosvotos.training.reward import COMPONENTS, RewardWeights

_POSITION = FEATURE_ORDER.index("position")
_N_TARGETS = len(TARGETS)


class MarketTape(NamedTuple):
    """A training split ready for episodes: its complete rows in time order."""

    observations: np.ndarray
    """Normalised market features, shape (n_rows, 13), float32."""
    clock: np.ndarray
    close: np.ndarray
    overnight_yield: np.ndarray
    """Financing a unit of notional held long into each row earns; zeros without financing."""
    starts: np.ndarray
    """Rows at which a session begins and a whole episode fits."""


def market_tape(
    rows: pd.DataFrame, norm_stats: NormStats, episode_bars: int, financed: bool = False
) -> MarketTape:
    """Prepare a split for training; rows without all features are left out.

    Raises
    ------
    DataError
        If no episode of `episode_bars` fits into the complete rows, a complete row holds infinity, a close is
        not positive, or `financed` and a rate is unknown.
    """
    complete = complete_rows(rows, "train")
    days = session_dates(pd.DatetimeIndex(complete.index))
    first_of_session = np.flatnonzero(np.diff(days, prepend=days[:1] - 1).astype(int) > 0)
    starts = first_of_session[first_of_session + episode_bars + 1 < len(complete)]
    if len(starts) == 0:
        raise DataError(
            f"training.episode_bars: an episode of {episode_bars} bars does not fit into the "
            f"{len(complete)} complete rows of train{_most_missing(rows)}"
        )
    tape = tape_of(complete)
    return MarketTape(
        observations=norm_stats.apply(complete[list(MARKET_FEATURES)].to_numpy(float)).astype(np.float32),
        clock=complete["time_normalized"].to_numpy(np.float32),
        close=tape.close,
        overnight_yield=tape.overnight_yield() if financed else np.zeros(len(complete)),
        starts=starts,
    )


def complete_rows(rows: pd.DataFrame, split: str) -> pd.DataFrame:
    """Rows with all features.

    Raises
    ------
    DataError
        If one of them holds infinity or no clock, or any close is not a positive number.
    """
    if not (np.isfinite(rows["close"]) & (rows["close"] > 0)).all():
        raise DataError(f"{split}: every close must be a positive number, found {rows['close'].min()}")
    complete = rows.dropna(subset=list(MARKET_FEATURES))
    for name in (*MARKET_FEATURES, "time_normalized"):
        if n_bad := int((~np.isfinite(complete[name])).sum()):
            raise DataError(
                f"{split}: {name} must be finite, found NaN or infinity in {n_bad} complete row(s)"
            )
    return complete


def _most_missing(rows: pd.DataFrame) -> str:
    missing = rows[list(MARKET_FEATURES)].isna().sum()
    if not missing.any():
        return ""
    return f"; of its {len(rows)} rows {missing.max()} miss {missing.idxmax()}"


class Account(NamedTuple):
    """Where each episode stands; arrays of shape (n_episodes,) that steps change in place."""

    row: np.ndarray
    """Of the tape."""
    age: np.ndarray
    """Decisions made; a staggered episode begins aged."""
    equity: np.ndarray
    peak: np.ndarray
    units: np.ndarray
    returns: np.ndarray
    """What each component has added to the reward, shape (n_episodes, 7) in the order of COMPONENTS."""


class Step(NamedTuple):
    """What one step brought each episode; arrays of shape (n_episodes,)."""

    rewards: np.ndarray
    """float32, the sum of the contributions."""
    contributions: np.ndarray
    """What each component added to the reward, shape (n_episodes, 7) in the order of COMPONENTS."""
    terminated: np.ndarray
    """Ruined."""
    truncated: np.ndarray
    """The episode has lasted its bars."""


class Episodes:
    """N episodes that step together.

    Parameters
    ----------
    tape : MarketTape
    n_episodes : int
    episode_bars : int
        Decisions an episode lasts; reaching it truncates, ruin terminates.
    cost : float
        Fraction of the traded notional paid a side.
    weights : RewardWeights
        May be replaced between steps.

    Notes
    -----
    The draws of the i-th of N episodes seeded with `seed` are those of one episode seeded with `seed + i`.
    """

    def __init__(
        self, tape: MarketTape, n_episodes: int, episode_bars: int, cost: float, weights: RewardWeights
    ) -> None:
        self.weights = weights
        self.account = Account(
            row=np.zeros(n_episodes, dtype=np.int64),
            age=np.zeros(n_episodes, dtype=np.int64),
            equity=np.ones(n_episodes),
            peak=np.ones(n_episodes),
            units=np.zeros(n_episodes),
            returns=np.zeros((n_episodes, len(COMPONENTS))),
        )
        self.randoms = [np.random.default_rng() for _ in range(n_episodes)]
        self._tape, self._episode_bars, self._cost = tape, episode_bars, cost
        self._table = np.zeros((len(tape.close), len(FEATURE_ORDER)), dtype=np.float32)
        self._table[:, :_POSITION] = tape.observations
        self._table[:, _POSITION + 1] = tape.clock

    def seed(self, seeds: Sequence[int | None]) -> None:
        """Restart the draws of each episode's starts."""
        self.randoms = [np.random.default_rng(seed) for seed in seeds]

    def begin_all(self, staggered: bool) -> np.ndarray:
        """Begin all episodes anew; staggered ones in their middle, so that later resets spread."""
        self.begin(range(len(self.randoms)))
        if staggered:
            self.account.age[:] = [random.integers(self._episode_bars) for random in self.randoms]
            self.account.row[:] += self.account.age
        return self.observe()

    def begin(self, which: Sequence[int] | np.ndarray) -> None:
        """Begin the named episodes at the start of a session each."""
        starts, account = self._tape.starts, self.account
        for i in which:
            account.row[i] = starts[self.randoms[i].integers(len(starts))]
            account.age[i], account.units[i], account.returns[i] = 0, 0.0, 0.0
            account.equity[i] = account.peak[i] = 1.0

    def step(self, actions: np.ndarray) -> Step:
        """Fill, mark and reward the actions: 0 short, 1 flat, 2 long.

        Raises
        ------
        ValueError
            If an action is none of the three.
        """
        tape, rules = self._tape, (self._cost, self.weights.signed, self._episode_bars)
        return Step(*_step(tape.close, tape.overnight_yield, self.account, actions, *rules))

    def observe(self) -> np.ndarray:
        """Observations of shape (n_episodes, 15), float32, as the served policy sees them."""
        observations: np.ndarray = self._table[self.account.row]
        observations[:, _POSITION] = np.sign(self.account.units)
        return observations

    def state(self) -> dict[str, Any]:
        """All that the next steps depend on, JSON-like, for `restore`."""
        account = {name: values.tolist() for name, values in self.account._asdict().items()}
        return {"account": account, "randoms": [random.bit_generator.state for random in self.randoms]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken, with as many episodes on the same tape."""
        for name, values in self.account._asdict().items():
            values[:] = state["account"][name]
        for random, drawn in zip(self.randoms, state["randoms"], strict=True):
            random.bit_generator.state = drawn


@njit()
def _step(
    close: np.ndarray,
    overnight_yield: np.ndarray,
    account: Account,
    actions: np.ndarray,
    cost: float,
    weights: np.ndarray,
    episode_bars: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fill each target at the next close and mark it at the close after."""
    n = len(actions)
    rewards, contributions = np.empty(n, np.float32), np.empty((n, len(weights)))
    terminated, truncated = np.empty(n, np.bool_), np.empty(n, np.bool_)
    row, age, equity, peak, units, returns = account
    for i in range(n):
        if not 0 <= actions[i] < _N_TARGETS:
            raise ValueError("action: must be 0 (short), 1 (flat) or 2 (long)")
        target, held = actions[i] - 1.0, np.sign(units[i])
        before, drawdown, price = equity[i], 1 - equity[i] / peak[i], close[row[i] + 1]
        after, units[i], fee = fill(before, units[i], target, price, cost)
        after = mark(after, units[i], price, close[row[i] + 2])
        after += overnight_yield[row[i] + 2] * units[i] * price
        equity[i], peak[i] = after, max(peak[i], after)
        # in the order of COMPONENTS
        contributions[i, 0] = (after - before + fee) / before
        contributions[i, 1] = fee / before
        contributions[i, 2] = max(1 - after / peak[i] - drawdown, 0.0)
        contributions[i, 3] = ((after - before) / before) ** 2
        contributions[i, 4] = abs(target)
        contributions[i, 5] = 1 - abs(target)
        contributions[i, 6] = abs(target - held)
        reward = 0.0
        for k in range(len(weights)):
            contributions[i, k] *= weights[k]
            returns[i, k] += contributions[i, k]
            reward += contributions[i, k]
        row[i] += 1
        age[i] += 1
        rewards[i] = reward
        terminated[i] = after <= RUIN_SHARE
        truncated[i] = age[i] >= episode_bars and not terminated[i]
    return rewards, contributions, terminated, truncated
