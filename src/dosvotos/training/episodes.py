"""Batched market episodes: the step that every environment interface takes.

An action decided at a bar's close is filled at the next bar's close; its reward is what the filled position
earns until the close after, less fees, computed with the accounting of backtest and live. Profit may be
credited in advance, see `Episodes`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.compiled import njit
from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.contracts.parameters import CalendarParams
from dosvotos.errors import DataError
from dosvotos.market.accounting import RUIN_SHARE, Tape, fill, mark
from dosvotos.market.calendar import scheduled_sessions, session_dates
from dosvotos.market.normalization import NormStats
from dosvotos.policy.forward import TARGETS
from dosvotos.training.reward import COMPONENTS, RewardWeights

_POSITION = FEATURE_ORDER.index("position")
_N_TARGETS = len(TARGETS)


class TrainingArrays(NamedTuple):
    """A training split as arrays: its complete rows in time order."""

    observations: np.ndarray
    """Normalised market features, shape (n_rows, 13), float32."""
    clock: np.ndarray
    """time_normalized, float32; this and the next two of shape (n_rows,)."""
    close: np.ndarray
    overnight_yield: np.ndarray
    """Financing earned by a long unit of notional held into each row; zeros without financing."""
    credit_close: np.ndarray
    """Close up to which a position held at each row has been credited its profit; its own: no further."""
    starts: np.ndarray
    """Rows at which an episode may start: a session begins, and a whole episode fits."""


def training_arrays(
    rows: pd.DataFrame, norm_stats: NormStats, episode_bars: int, financed: bool = False, credit_bars: int = 0
) -> TrainingArrays:
    """Build the arrays of a split from its complete rows.

    Parameters
    ----------
    rows : DataFrame
        A split of L2.
    norm_stats : NormStats
    episode_bars : int
    financed : bool
        Whether positions held over a session's end accrue the rate difference.
    credit_bars : int
        Bars of the session whose profit is credited in advance; a session's 59 are all of them.

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
            f"{len(complete)} complete rows of train{_most_missing_feature(rows)}; set an earlier "
            "date_ranges.train.start"
        )
    tape = Tape.from_rows(complete)
    last_of_session = np.searchsorted(days, days, side="right") - 1
    return TrainingArrays(
        observations=norm_stats.apply(complete[list(MARKET_FEATURES)].to_numpy(float)).astype(np.float32),
        clock=complete["time_normalized"].to_numpy(np.float32),
        close=tape.close,
        overnight_yield=tape.overnight_yield() if financed else np.zeros(len(complete)),
        credit_close=tape.close[np.minimum(np.arange(len(days)) + credit_bars, last_of_session)],
        starts=starts,
    )


def complete_rows(rows: pd.DataFrame, split: str) -> pd.DataFrame:
    """Select the rows that have all features.

    Raises
    ------
    DataError
        If one of them holds infinity or lacks time_normalized, or any close is not a positive number.
    """
    if not (np.isfinite(rows["close"]) & (rows["close"] > 0)).all():
        raise DataError(
            f"{split}: every close must be a positive number, found {rows['close'].min()}; run the "
            "dataset layer again"
        )
    complete = rows.dropna(subset=list(MARKET_FEATURES))
    for name in (*MARKET_FEATURES, "time_normalized"):
        if n_bad := int((~np.isfinite(complete[name])).sum()):
            raise DataError(
                f"{split}: {name} must be finite, found NaN or infinity in {n_bad} complete row(s); run "
                "the dataset layer again"
            )
    return complete


def validation_window(val_rows: pd.DataFrame, calendar: CalendarParams) -> tuple[Tape, np.ndarray]:
    """Build the tape that policies are validated on, and list its scheduled sessions.

    Raises
    ------
    DataError
        As `complete_rows`; also if no row has all features.
    """
    if complete_rows(val_rows, "val").empty:
        raise DataError(
            f"val: no row of {len(val_rows)} has all features, so no policy can be judged; deliver what "
            "is missing, or state other date_ranges"
        )
    tape = Tape.from_rows(val_rows)
    days = session_dates(tape.times)
    return tape, scheduled_sessions(days[0].item(), days[-1].item(), calendar)


def _most_missing_feature(rows: pd.DataFrame) -> str:
    missing = rows[list(MARKET_FEATURES)].isna().sum()
    if not missing.any():
        return ""
    return f"; of its {len(rows)} rows {missing.max()} miss {missing.idxmax()}"


class Accounts(NamedTuple):
    """The account of each episode; arrays of shape (n_episodes,) that steps change in place."""

    row: np.ndarray
    """Current row of the training data."""
    age: np.ndarray
    """Steps since the start; a staggered episode starts above 0."""
    equity: np.ndarray
    peak: np.ndarray
    units: np.ndarray
    """Position, signed, in units of the instrument."""
    returns: np.ndarray
    """Sum of each component's contributions, shape (n_episodes, 7) in the order of COMPONENTS."""


class Step(NamedTuple):
    """The result of one step; arrays of shape (n_episodes,)."""

    rewards: np.ndarray
    """float32, the sum of the contributions."""
    contributions: np.ndarray
    """Each component's part of the reward, shape (n_episodes, 7) in the order of COMPONENTS."""
    terminated: np.ndarray
    """Whether the episode ended in ruin."""
    truncated: np.ndarray
    """Whether the episode reached its number of bars."""


class Episodes:
    """A batch of episodes that step together.

    Parameters
    ----------
    data : TrainingArrays
    n_episodes : int
    episode_bars : int
        Steps of an episode; reaching them truncates it, ruin terminates it.
    cost : float
        Fee of each trade as a fraction of its notional.
    weights : RewardWeights
        May be replaced between steps.

    Notes
    -----
    Episode i of N seeded with `seed` starts where a single episode seeded with ``seed + i`` does.

    With u units, the close c and the close C up to which profit is credited, a step adds to the profit
    ``u (C - c)`` after it, less the same before it: over an episode no more than what its last position still
    has ahead. With C the session's last close a decision is rewarded when its fee is due with all that its
    change of position earns by then, and holding on with nothing more. The account is not touched.

    References
    ----------
    Ng, Harada and Russell (1999), Policy invariance under reward transformations.
    """

    def __init__(
        self, data: TrainingArrays, n_episodes: int, episode_bars: int, cost: float, weights: RewardWeights
    ) -> None:
        self.weights = weights
        self.accounts = Accounts(
            row=np.zeros(n_episodes, dtype=np.int64),
            age=np.zeros(n_episodes, dtype=np.int64),
            equity=np.ones(n_episodes),
            peak=np.ones(n_episodes),
            units=np.zeros(n_episodes),
            returns=np.zeros((n_episodes, len(COMPONENTS))),
        )
        self.generators = [np.random.default_rng() for _ in range(n_episodes)]
        self._data = data
        self._episode_bars, self._cost = episode_bars, cost
        self._observations = np.zeros((len(data.close), len(FEATURE_ORDER)), dtype=np.float32)
        self._observations[:, :_POSITION] = data.observations
        self._observations[:, _POSITION + 1] = data.clock

    def seed(self, seeds: Sequence[int | None]) -> None:
        """Seed the generator of each episode's starts."""
        self.generators = [np.random.default_rng(seed) for seed in seeds]

    def reset_all(self, staggered: bool) -> np.ndarray:
        """Reset all episodes; staggered ones start in their middle, so that they do not all end at once."""
        self.reset(range(len(self.generators)))
        if staggered:
            self.accounts.age[:] = [generator.integers(self._episode_bars) for generator in self.generators]
            self.accounts.row[:] += self.accounts.age
        return self.observe()

    def reset(self, indices: Sequence[int] | np.ndarray) -> None:
        """Reset the episodes of the given indices, each to the start of a session."""
        starts, accounts = self._data.starts, self.accounts
        for i in indices:
            accounts.row[i] = starts[self.generators[i].integers(len(starts))]
            accounts.age[i], accounts.units[i], accounts.returns[i] = 0, 0.0, 0.0
            accounts.equity[i] = accounts.peak[i] = 1.0

    def step(self, actions: np.ndarray) -> Step:
        """Fill the actions' positions, mark the accounts and compute rewards: 0 short, 1 flat, 2 long.

        Raises
        ------
        ValueError
            If there is not one action of 0, 1 or 2 an episode.
        """
        actions = self._as_actions(actions)
        data, coefficients = self._data, self.weights.coefficients
        prices = (data.close, data.overnight_yield, data.credit_close)
        return Step(*_step(prices, self.accounts, actions, self._cost, coefficients, self._episode_bars))

    def _as_actions(self, actions: np.ndarray) -> np.ndarray:
        """The actions as int64; ValueError if one is not 0, 1 or 2, 1.5 and NaN included."""
        n, given = len(self.generators), np.asarray(actions)
        if given.shape != (n,):
            raise ValueError(f"actions: one an episode is needed, shape ({n},), was {given.shape}")
        if given.dtype.kind in "iu" and given.min(initial=0) >= 0 and given.max(initial=0) < _N_TARGETS:
            return given.astype(np.int64, copy=False)
        if given.dtype.kind not in "iuf" or not np.isin(given, range(_N_TARGETS)).all():
            raise ValueError(f"action: must be 0 (short), 1 (flat) or 2 (long), found {given.tolist()[:5]}")
        return given.astype(np.int64)

    def observe(self) -> np.ndarray:
        """Return observations of shape (n_episodes, 15), float32, as the served policy gets them."""
        observations: np.ndarray = self._observations[self.accounts.row]
        observations[:, _POSITION] = np.sign(self.accounts.units)
        return observations

    def state(self) -> dict[str, Any]:
        """Return everything that the next steps depend on, ready for JSON, for `restore`."""
        return {
            "account": {name: values.tolist() for name, values in self.accounts._asdict().items()},
            "randoms": [generator.bit_generator.state for generator in self.generators],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state` of as many episodes on the same data."""
        for name, values in self.accounts._asdict().items():
            values[:] = state["account"][name]
        for generator, saved in zip(self.generators, state["randoms"], strict=True):
            generator.bit_generator.state = saved


@njit()
def _step(
    prices: tuple[np.ndarray, np.ndarray, np.ndarray],
    accounts: Accounts,
    actions: np.ndarray,
    cost: float,
    weights: np.ndarray,
    episode_bars: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fill each action's position at the next close, mark it at the close after; return `Step`'s fields."""
    (close, overnight_yield, credit_close), n = prices, len(actions)
    rewards, contributions = np.empty(n, np.float32), np.empty((n, len(weights)))
    terminated, truncated = np.empty(n, np.bool_), np.empty(n, np.bool_)
    row, age, equity, peak, units, returns = accounts
    for i in range(n):
        target, held = actions[i] - 1.0, np.sign(units[i])
        before, drawdown, price = equity[i], 1 - equity[i] / peak[i], close[row[i] + 1]
        credited = units[i] * (credit_close[row[i] + 1] - price)
        after, filled, fee = fill(before, units[i], target, price, cost)
        ruined = after <= RUIN_SHARE
        if ruined:
            target = 0.0
            after, filled, fee = fill(before, units[i], target, price, cost)
        units[i] = filled
        after = mark(after, units[i], price, close[row[i] + 2])
        after += overnight_yield[row[i] + 2] * units[i] * price
        equity[i], peak[i] = after, max(peak[i], after)
        terminated[i] = ruined or after <= RUIN_SHARE
        ahead = 0.0 if terminated[i] else units[i] * (credit_close[row[i] + 2] - close[row[i] + 2])
        # in the order of COMPONENTS
        contributions[i, 0] = (after - before + fee + ahead - credited) / before
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
        truncated[i] = age[i] >= episode_bars and not terminated[i]
    return rewards, contributions, terminated, truncated
