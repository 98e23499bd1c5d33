"""Hazards of 5-minute bars: one function each, which edits a market's bars and records what it changed."""

from typing import Final

import numpy as np
import pandas as pd

from dosvotos.contracts.sample_market import Hazard
from dosvotos.market.calendar import BAR, BARS_PER_SESSION, BOGOTA, session_dates
from dosvotos.simulation.hazards.schedule import Defect, TargetSessions, by_name

_PRICES: Final = ("open", "high", "low", "close")
_DECIMALS: Final = 5
_BOGOTA_OFFSET: Final = np.timedelta64(5, "h")
_MIN_TICK_MOVES, _MIN_SPIKE_MOVES = 70, 25
"""Least size of a bad tick and of a close spike, in RMS moves of their session: above any true one."""


class BarEditor:
    """The bars of a market while hazards change, add and remove some of them.

    `labels` (UTC, ``datetime64[us]``) and `prices` (by column) are edited in place, in the rows of the clean
    market; rows added or removed show in `to_frame` only.
    """

    def __init__(self, clean: pd.DataFrame) -> None:
        self._clean = clean.reset_index(drop=True)
        times = pd.DatetimeIndex(clean["timestamp"])
        self._days = session_dates(times)
        self.labels = times.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[us]", copy=True)
        self.prices = {name: clean[name].to_numpy(float, copy=True) for name in _PRICES}
        self._removed = np.zeros(len(clean), dtype=bool)
        self._added: list[pd.DataFrame] = []
        self.defects: list[Defect] = []

    def session_rows(self, day: np.datetime64) -> np.ndarray:
        """Row numbers of a session, none unless all its 60 bars are there."""
        first, after = np.searchsorted(self._days, [day, day + 1])
        whole = after - first == BARS_PER_SESSION
        return np.arange(first, after) if whole else np.arange(0)

    def rms_move(self, rows: np.ndarray) -> float:
        """Root mean square of the 5-minute log returns in these rows; 0 without rows."""
        moves = np.diff(np.log(self.prices["close"][rows]))
        return float(np.sqrt(np.mean(moves**2))) if len(moves) else 0.0

    def last_row_before(self, day: np.datetime64) -> tuple[int, bool]:
        """Row number of the last bar before a day, and whether there are bars on both sides of that day."""
        row = int(np.searchsorted(self._days, day)) - 1
        return row, bool(row >= 0 and self._days[-1] > day)

    def remove(self, rows: np.ndarray) -> None:
        """Leave these rows out of `to_frame`."""
        self._removed[rows] = True

    def add(self, template: np.ndarray | int, labels: np.ndarray, prices: dict[str, np.ndarray]) -> None:
        """Add bars with these labels and prices; other columns are copied from the rows `template`."""
        rows = self._clean.iloc[np.broadcast_to(template, len(labels))]
        times = pd.DatetimeIndex(labels).tz_localize("UTC")
        rounded = {name: values.round(_DECIMALS) for name, values in prices.items()}
        self._added.append(rows.assign(timestamp=times, **rounded))

    def record(self, hazard: Hazard, labels: np.ndarray, description: str) -> None:
        """Record one event with the bars at these labels; nothing if there are none."""
        if len(labels):
            first, last = (pd.Timestamp(label, tz="UTC") for label in (labels.min(), labels.max()))
            self.defects.append(Defect(hazard, "bars", first, last, len(labels), description))

    def to_frame(self) -> pd.DataFrame:
        """Return the edited bars, ordered by label, with a fresh index."""
        labels = pd.DatetimeIndex(self.labels).tz_localize("UTC")
        kept = self._clean.assign(timestamp=labels, **self.prices)[~self._removed]
        together = pd.concat([kept, *self._added]).astype({"timestamp": self._clean["timestamp"].dtype})
        return together.sort_values("timestamp", kind="stable", ignore_index=True)


def _mixed_zone_labels(bars: BarEditor, targets: TargetSessions, rng: np.random.Generator) -> None:
    for day in targets.mixed_zone:
        first = int(rng.integers(1, BARS_PER_SESSION)) if rng.random() < 0.5 else 0
        rows = bars.session_rows(day)[first:]
        bars.labels[rows] -= _BOGOTA_OFFSET
        bars.record("mixed_zone_labels", bars.labels[rows], "Bogota wall clock tagged +00:00")


def _disagreeing_duplicates(bars: BarEditor, targets: TargetSessions, rng: np.random.Generator) -> None:
    differs = rng.random(BARS_PER_SESSION) < 0.2
    differs[rng.integers(BARS_PER_SESSION)] = True
    shift = rng.choice([-1, 1], BARS_PER_SESSION) * (0.1 + rng.exponential(1.5, BARS_PER_SESSION)) * differs
    rows = bars.session_rows(targets.single["disagreeing_duplicates"])
    if len(rows):
        prices = {name: values[rows] for name, values in bars.prices.items()}
        prices["close"] = prices["close"] + shift
        bars.add(rows, bars.labels[rows], _widen_high_low(prices))
    description = f"stored twice, closes differ by up to {np.abs(shift).max():.2f} on {differs.sum()}"
    bars.record("disagreeing_duplicates", bars.labels[rows], description)


def _flat_bars(bars: BarEditor, targets: TargetSessions, rng: np.random.Generator) -> None:
    rows = np.concatenate([bars.session_rows(day) for day in targets.flat])
    for name in ("open", "high", "low"):
        bars.prices[name][rows] = bars.prices["close"][rows]
    bars.record("flat_bars", bars.labels[rows], "open, high and low are the close")


def _stale_run(bars: BarEditor, targets: TargetSessions, rng: np.random.Generator) -> None:
    first, length = rng.integers(5, 15), rng.integers(30, 41)
    rows = bars.session_rows(targets.single["stale_run"])[first : first + length]
    for name in _PRICES:
        bars.prices[name][rows] = bars.prices["close"][rows[:1] - 1]
    bars.record("stale_run", bars.labels[rows], f"{length} closes repeat the one before them")


def _off_session_bars(bars: BarEditor, targets: TargetSessions, rng: np.random.Generator) -> None:
    day = targets.single["off_session_bars"]
    labels = _bar_opens(day, "00:50", 86)
    path = np.exp(1e-4 * rng.standard_normal(len(labels)).cumsum())
    rows = bars.session_rows(day)
    if len(rows):
        bars.add(int(rows[0]), labels, _bars_from_closes(bars.prices["open"][rows[0]] * path / path[-1]))
        bars.record("off_session_bars", labels, "quotes before the session opens")


def _weekend_bars(bars: BarEditor, targets: TargetSessions, rng: np.random.Generator) -> None:
    day = targets.single["weekend_bars"]
    saturday = np.busday_offset(day, 0, roll="forward", weekmask="Sat")
    path = np.exp(2e-4 * rng.standard_normal(57).cumsum())
    _quote_closed_day(bars, "weekend_bars", saturday, path, "quotes on a Saturday")


def _holiday_quotes(bars: BarEditor, targets: TargetSessions, rng: np.random.Generator) -> None:
    moves = 3e-4 * rng.standard_normal(BARS_PER_SESSION) * (rng.random(BARS_PER_SESSION) < 0.1)
    path = np.exp(moves.cumsum())
    _quote_closed_day(bars, "holiday_quotes", targets.holiday, path, "a closed day, mostly flat")


def _sparse_session(bars: BarEditor, targets: TargetSessions, rng: np.random.Generator) -> None:
    kept = rng.choice(BARS_PER_SESSION, size=rng.integers(7, 13), replace=False)
    rows = bars.session_rows(targets.single["sparse_session"])
    removed = np.delete(rows, kept) if len(rows) else rows
    bars.remove(removed)
    bars.record("sparse_session", bars.labels[removed], f"{len(kept)} of {BARS_PER_SESSION} bars are left")


def _missing_session(bars: BarEditor, targets: TargetSessions, rng: np.random.Generator) -> None:
    rows = bars.session_rows(targets.single["missing_session"])
    bars.remove(rows)
    bars.record("missing_session", bars.labels[rows], "no bar of a scheduled session")


def _bad_tick(bars: BarEditor, targets: TargetSessions, rng: np.random.Generator) -> None:
    slot, down, size = rng.integers(5, 55), rng.random() < 0.5, rng.uniform(0.03, 0.06)
    session = bars.session_rows(targets.single["bad_tick"])
    row = session[slot : slot + 1]
    size = max(size, _MIN_TICK_MOVES * bars.rms_move(session))
    name, factor = ("low", 1 - size) if down else ("high", 1 + size)
    bars.prices[name][row] = (bars.prices["close"][row] * factor).round(_DECIMALS)
    bars.record("bad_tick", bars.labels[row], f"{name} lies {size:.1%} off a sound close")


def _close_spike(bars: BarEditor, targets: TargetSessions, rng: np.random.Generator) -> None:
    slot, side, size = rng.integers(5, 55), rng.choice([-1, 1]), rng.uniform(0.008, 0.016)
    session = bars.session_rows(targets.single["close_spike"])
    rows = session[slot : slot + 2]
    move = side * max(size, _MIN_SPIKE_MOVES * bars.rms_move(session))
    if len(rows):
        bars.prices["close"][rows[0]] = np.round(bars.prices["close"][rows[0]] * np.exp(move), _DECIMALS)
        bars.prices["open"][rows[1]] = bars.prices["close"][rows[0]]
        spiked = {name: values[rows] for name, values in bars.prices.items()}
        for name, values in _widen_high_low(spiked).items():
            bars.prices[name][rows] = values
    description = f"close jumps by {move:+.2%} and is back in the next bar"
    bars.record("close_spike", bars.labels[rows[:1]], description)


def _session_hundredth(bars: BarEditor, targets: TargetSessions, rng: np.random.Generator) -> None:
    rows = bars.session_rows(targets.single["session_hundredth"])
    for values in bars.prices.values():
        values[rows] = values[rows] / 100
    bars.record("session_hundredth", bars.labels[rows], "a hundredth of every price")


def _inverted_session(bars: BarEditor, targets: TargetSessions, rng: np.random.Generator) -> None:
    rows = bars.session_rows(targets.single["inverted_session"])
    inverse = {name: 1 / values[rows] for name, values in bars.prices.items()}
    inverse["high"], inverse["low"] = inverse["low"], inverse["high"]
    for name, values in inverse.items():
        bars.prices[name][rows] = values
    bars.record("inverted_session", bars.labels[rows], "dollars a peso")


def _bar_at_tenth(bars: BarEditor, targets: TargetSessions, rng: np.random.Generator) -> None:
    slot = rng.integers(5, 55)
    row = bars.session_rows(targets.single["bar_at_tenth"])[slot : slot + 1]
    for values in bars.prices.values():
        values[row] = values[row] / 10
    bars.record("bar_at_tenth", bars.labels[row], "a tenth of every price")


def _quote_closed_day(
    bars: BarEditor, hazard: Hazard, day: np.datetime64, path: np.ndarray, description: str
) -> None:
    row, between_sessions = bars.last_row_before(day)
    if between_sessions:
        labels = _bar_opens(day, "08:00", len(path))
        bars.add(row, labels, _bars_from_closes(bars.prices["close"][row] * path))
        bars.record(hazard, labels, description)


def _bar_opens(day: np.datetime64, first_open: str, n_bars: int) -> np.ndarray:
    """UTC opens of consecutive bars from a Bogota clock time on, ``datetime64[us]``."""
    opened = pd.Timestamp(f"{day} {first_open}", tz=BOGOTA).tz_convert("UTC").tz_localize(None)
    return pd.date_range(opened, periods=n_bars, freq=BAR).to_numpy("datetime64[us]")


def _bars_from_closes(closes: np.ndarray) -> dict[str, np.ndarray]:
    """Bars without wicks, each opening at the close before it."""
    opens = np.concatenate([closes[:1], closes[:-1]])
    return _widen_high_low({"open": opens, "high": opens, "low": opens, "close": closes})


def _widen_high_low(prices: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The prices with high raised and low lowered to contain open and close."""
    high = np.maximum.reduce([prices["high"], prices["open"], prices["close"]])
    low = np.minimum.reduce([prices["low"], prices["open"], prices["close"]])
    return {**prices, "high": high, "low": low}


BAR_HAZARDS: Final = by_name(
    _mixed_zone_labels, _disagreeing_duplicates, _flat_bars, _stale_run, _off_session_bars, _weekend_bars,
    _holiday_quotes, _sparse_session, _missing_session, _bad_tick, _close_spike,
    _session_hundredth, _inverted_session, _bar_at_tenth,
)  # fmt: skip
