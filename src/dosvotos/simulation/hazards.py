"""Defects of real files, put into a clean market as it is delivered, with the truth of what was done.

Where a defect strikes is drawn once a calendar half-year from a generator seeded by that half-year alone, so
that a later delivery carries the same defects in the same places. Defects never meet on one bar or on one
observation. Two belong to the end of a delivery by nature: the fabricated tail and the future observation.
"""

from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.parameters import HAZARDS, Hazard
from dosvotos.market.calendar import (
    BAR,
    BARS_PER_SESSION,
    BOGOTA,
    closed_days,
    scheduled_sessions,
    session_bar_times,
    session_dates,
)

_STREAM: Final = 101
_PRICES: Final = ("open", "high", "low", "close")
_DECIMALS: Final = 5
_BOGOTA_BEHIND: Final = np.timedelta64(5, "h")

_CHUNK: Final = 20
"""Sessions of a half-year's parts; a defect that lasts stays inside one, those of a day share the others."""
_MIXED_SESSIONS, _FLAT_SESSIONS = 8, 15
_TICK_MOVES, _SPIKE_MOVES = 70, 25
"""Least size of a bad tick and of a close's spike, in moves of their session: no true one goes that far."""
_STRETCH: Final = 40
"""Weekdays of a half-year's parts, one for each defect of daily variables that lasts."""
_HOLE_DAYS, _COMMA_DAYS, _OTHER_DAYS = 25, 30, 35
_N_WEEKENDS: Final = 4
_TAIL_MONTHS: Final = 3
_PADDING_FROM: Final = "1954-07-31"

_BRENT, _WTI = "comm_oil_brent_glb_d_brent", "comm_oil_wti_glb_d_wti"
_DXY, _VIX = "fxrt_index_dxy_usa_d_dxy", "volt_vix_usa_d_vix"
_USDMXN, _USDCLP = "fxrt_spot_usdmxn_mex_d_usdmxn", "fxrt_spot_usdclp_chl_d_usdclp"
_TPM, _UST10 = "polr_policy_rate_col_d_tpm", "finc_bond_yield10y_usa_d_ust10y"
_LOST_COMMA: Final = {_USDMXN: 10_000, _USDCLP: 100}
_STANDS_IN: Final = {_BRENT: ("an oil fund", 0.3, 0.004), _DXY: ("the broad dollar index", 1.22, 0.001)}
"""What moves with a variable and is taken for it: level over the variable's, and how far it drifts a day."""
_WITH_HOLES: Final = (
    "comm_agri_coffee_glb_d_coffee",
    "comm_metal_gold_glb_d_gold",
    _BRENT,
    "crsk_spread_embi_col_d_embi",
    "eqty_index_colcap_col_d_colcap",
    "finc_bond_yield10y_col_d_col10y",
    _UST10,
    "finc_bond_yield2y_usa_d_dgs2",
    "finc_bond_yield5y_col_d_col5y",
    _DXY,
    _USDCLP,
    _USDMXN,
    "polr_prime_rate_usa_d_prime",
    _VIX,
)
_WITH_WEEKENDS: Final = (_TPM, _WTI)
_PADDED: Final = (_TPM, _UST10)
_US_MONTHLY: Final = (
    "infl_cpi_all_usa_m_cpiaucsl",
    "infl_cpi_core_usa_m_cpilfesl",
    "infl_pce_usa_m_pcepi",
    "labr_unemployment_usa_m_unrate",
    "mnys_m2_supply_usa_m_m2sl",
    "prod_industrial_usa_m_indpro",
    "sent_consumer_usa_m_umcsent",
)
_DRAWS: Final[tuple[str, ...]] = (*HAZARDS, "places", "stretches")
_N_REPEATED: Final = 4
"""Of the US monthly series; the others get the fabricated tail."""


class Injected(NamedTuple):
    """One defect as it was put in."""

    hazard: Hazard
    subject: str
    """``bars``, or the macro variable."""
    when: pd.Timestamp | date
    """First label (UTC, as delivered) or observation date touched; of what is missing, its place."""
    until: pd.Timestamp | date
    """The last one."""
    rows: int
    """How many bars or observations were changed, added or left out."""
    what: str


class Delivery(NamedTuple):
    """What a source with defects hands over."""

    bars: pd.DataFrame
    macro: pd.DataFrame
    injected: tuple[Injected, ...]


def inject_hazards(bars: pd.DataFrame, macro: pd.DataFrame, names: Sequence[Hazard], seed: int) -> Delivery:
    """Put defects into a clean market.

    Parameters
    ----------
    bars : DataFrame
        timestamp (bar open, UTC, in order, each once), open, high, low, close; further columns are kept.
    macro : DataFrame
        variable, observation_date (date), value; further columns are kept.
    names : sequence of Hazard
    seed : int

    Returns
    -------
    Delivery
        New frames, ordered by label and by observation date, and what was done, in the order of `HAZARDS`.
        Without names the frames come back as they are.

    Notes
    -----
    The kinds are those found in real files: one event a half-year of each, on sessions that are delivered
    whole, so that a defect near the end appears once its session is complete.
    """
    if not names:
        return Delivery(bars, macro, ())
    faulty_bars, faulty_macro = _Bars(bars), _Macro(macro)
    for half in _half_years(bars, macro):
        for hazard, strike in _BAR_HAZARDS.items():
            if hazard in names:
                strike(faulty_bars, half.places(seed), half.generator(seed, hazard))
        for hazard, hit in _DAILY_HAZARDS.items():
            if hazard in names:
                hit(faulty_macro, half.stretches(seed)[hazard], half.generator(seed, hazard))
    now = pd.Timestamp(bars["timestamp"].iloc[-1]).tz_convert(BOGOTA).date()
    for name, spoil in _SERIES_HAZARDS.items():
        if name in names:
            spoil(faulty_macro, np.random.default_rng([seed, _STREAM]), now)
    injected = sorted(faulty_bars.injected + faulty_macro.injected, key=lambda row: HAZARDS.index(row.hazard))
    return Delivery(faulty_bars.frame(), faulty_macro.frame(), tuple(injected))


# ---- where and when


class _Places(NamedTuple):
    """Sessions of a half-year, ``datetime64[D]``, that no two hazards share."""

    mixed: np.ndarray
    flat: np.ndarray
    of_a_day: dict[str, np.datetime64]
    closed: np.datetime64


class _HalfYear(NamedTuple):
    year: int
    second: bool

    def days(self) -> np.ndarray:
        first = np.datetime64(f"{self.year}-{'07' if self.second else '01'}", "M")
        return np.arange(first.astype("datetime64[D]"), (first + 6).astype("datetime64[D]"))

    def weekdays(self) -> np.ndarray:
        days = self.days()
        return days[np.is_busday(days)]

    def generator(self, seed: int, draws: str) -> np.random.Generator:
        return np.random.default_rng([seed, _STREAM, self.year, self.second, _DRAWS.index(draws)])

    def places(self, seed: int) -> _Places:
        rng = self.generator(seed, "places")
        days = self.days()
        sessions = scheduled_sessions(days[0].astype(object), days[-1].astype(object))
        chunks = [sessions[i : i + _CHUNK] for i in range(0, len(sessions) - _CHUNK + 1, _CHUNK)]
        mixed, flat, *others = (chunks[i] for i in rng.permutation(len(chunks)))
        from_mixed, from_flat = rng.integers(_CHUNK - _MIXED_SESSIONS), rng.integers(_CHUNK - _FLAT_SESSIONS)
        single = rng.choice(np.concatenate(others), size=len(_OF_A_DAY), replace=False)
        closed = closed_days("CO", self.year, self.year)
        inside = closed[(closed >= days[0]) & (closed <= days[-1]) & np.is_busday(closed)]
        return _Places(
            mixed[from_mixed : from_mixed + _MIXED_SESSIONS],
            flat[from_flat : from_flat + _FLAT_SESSIONS],
            dict(zip(_OF_A_DAY, single, strict=True)),
            inside[rng.integers(len(inside))],
        )

    def stretches(self, seed: int) -> dict[Hazard, np.ndarray]:
        """Weekdays of the half-year that each hazard of daily variables may use."""
        rng = self.generator(seed, "stretches")
        weekdays = self.weekdays()
        parts = [weekdays[i * _STRETCH : (i + 1) * _STRETCH] for i in rng.permutation(3)]
        lasting: tuple[Hazard, ...] = ("decimal_comma", "wrong_instrument", "macro_hole")
        return {**dict(zip(lasting, parts, strict=True)), "weekend_observations": weekdays}


def _half_years(bars: pd.DataFrame, macro: pd.DataFrame) -> list[_HalfYear]:
    """Those the delivery touches; macro values may reach further back than bars."""
    first = min(bars["timestamp"].iloc[0].date(), macro["observation_date"].min())
    last = max(bars["timestamp"].iloc[-1].date(), macro["observation_date"].max())
    years = range(first.year, last.year + 1)
    return [_HalfYear(year, second) for year in years for second in (False, True)]


# ---- bars


class _Bars:
    """A delivery's bars while defects are put in."""

    def __init__(self, clean: pd.DataFrame) -> None:
        self._clean = clean.reset_index(drop=True)
        times = pd.DatetimeIndex(clean["timestamp"])
        self._days = session_dates(times)
        self.labels = times.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[us]", copy=True)
        self.prices = {name: clean[name].to_numpy(float, copy=True) for name in _PRICES}
        self._left_out = np.zeros(len(clean), dtype=bool)
        self._added: list[pd.DataFrame] = []
        self.injected: list[Injected] = []

    def session(self, day: np.datetime64) -> np.ndarray:
        """Row numbers of a session that is delivered whole, else of none."""
        first, after = np.searchsorted(self._days, [day, day + 1])
        whole = after - first == BARS_PER_SESSION
        return np.arange(first, after) if whole else np.arange(0)

    def typical_move(self, rows: np.ndarray) -> float:
        """Root mean square 5-minute move of a session; 0 of none."""
        moves = np.diff(np.log(self.prices["close"][rows]))
        return float(np.sqrt(np.mean(moves**2))) if len(moves) else 0.0

    def last_close_before(self, day: np.datetime64) -> tuple[int, bool]:
        """Row number of the last bar before a day, and whether bars before and after it are delivered."""
        row = int(np.searchsorted(self._days, day)) - 1
        return row, bool(row >= 0 and self._days[-1] > day)

    def leave_out(self, rows: np.ndarray) -> None:
        self._left_out[rows] = True

    def add(self, like: np.ndarray | int, labels: np.ndarray, prices: dict[str, np.ndarray]) -> None:
        """Add rows with given labels and prices, all else as in the rows `like`."""
        rows = self._clean.iloc[np.broadcast_to(like, len(labels))]
        times = pd.DatetimeIndex(labels).tz_localize("UTC")
        rounded = {name: values.round(_DECIMALS) for name, values in prices.items()}
        self._added.append(rows.assign(timestamp=times, **rounded))

    def note(self, hazard: Hazard, labels: np.ndarray, what: str) -> None:
        if len(labels):
            first, last = (pd.Timestamp(label, tz="UTC") for label in (labels.min(), labels.max()))
            self.injected.append(Injected(hazard, "bars", first, last, len(labels), what))

    def frame(self) -> pd.DataFrame:
        kept = self._clean.assign(timestamp=pd.DatetimeIndex(self.labels).tz_localize("UTC"), **self.prices)[
            ~self._left_out
        ]
        together = pd.concat([kept, *self._added]).astype({"timestamp": self._clean["timestamp"].dtype})
        return together.sort_values("timestamp", kind="stable", ignore_index=True)


def _mixed_zone_labels(bars: _Bars, places: _Places, rng: np.random.Generator) -> None:
    for day in places.mixed:
        first = int(rng.integers(1, BARS_PER_SESSION)) if rng.random() < 0.5 else 0
        rows = bars.session(day)[first:]
        bars.labels[rows] -= _BOGOTA_BEHIND
        bars.note("mixed_zone_labels", bars.labels[rows], "Bogota wall clock tagged +00:00")


def _disagreeing_duplicates(bars: _Bars, places: _Places, rng: np.random.Generator) -> None:
    differs = rng.random(BARS_PER_SESSION) < 0.2
    differs[rng.integers(BARS_PER_SESSION)] = True
    by = rng.choice([-1, 1], BARS_PER_SESSION) * (0.1 + rng.exponential(1.5, BARS_PER_SESSION)) * differs
    rows = bars.session(places.of_a_day["disagreeing_duplicates"])
    if len(rows):
        prices = {name: values[rows] for name, values in bars.prices.items()}
        prices["close"] = prices["close"] + by
        bars.add(rows, bars.labels[rows], _containing(prices))
    what = f"stored twice, closes differ by up to {np.abs(by).max():.2f} on {differs.sum()}"
    bars.note("disagreeing_duplicates", bars.labels[rows], what)


def _flat_bars(bars: _Bars, places: _Places, rng: np.random.Generator) -> None:
    rows = np.concatenate([bars.session(day) for day in places.flat])
    for name in ("open", "high", "low"):
        bars.prices[name][rows] = bars.prices["close"][rows]
    bars.note("flat_bars", bars.labels[rows], "open, high and low are the close")


def _stale_run(bars: _Bars, places: _Places, rng: np.random.Generator) -> None:
    first, length = rng.integers(5, 15), rng.integers(30, 41)
    rows = bars.session(places.of_a_day["stale_run"])[first : first + length]
    for name in _PRICES:
        bars.prices[name][rows] = bars.prices["close"][rows[:1] - 1]
    bars.note("stale_run", bars.labels[rows], f"{length} closes repeat the one before them")


def _off_session_bars(bars: _Bars, places: _Places, rng: np.random.Generator) -> None:
    day = places.of_a_day["off_session_bars"]
    labels = _labels(day, "00:50", 86)
    path = np.exp(1e-4 * rng.standard_normal(len(labels)).cumsum())
    rows = bars.session(day)
    if len(rows):
        bars.add(int(rows[0]), labels, _walked(bars.prices["open"][rows[0]] * path / path[-1]))
        bars.note("off_session_bars", labels, "quotes before the session opens")


def _weekend_bars(bars: _Bars, places: _Places, rng: np.random.Generator) -> None:
    day = places.of_a_day["weekend_bars"]
    saturday = np.busday_offset(day, 0, roll="forward", weekmask="Sat")
    path = np.exp(2e-4 * rng.standard_normal(57).cumsum())
    _quote_closed_day(bars, "weekend_bars", saturday, path, "quotes on a Saturday")


def _holiday_quotes(bars: _Bars, places: _Places, rng: np.random.Generator) -> None:
    moves = 3e-4 * rng.standard_normal(BARS_PER_SESSION) * (rng.random(BARS_PER_SESSION) < 0.1)
    _quote_closed_day(
        bars, "holiday_quotes", places.closed, np.exp(moves.cumsum()), "a closed day, mostly flat"
    )


def _sparse_session(bars: _Bars, places: _Places, rng: np.random.Generator) -> None:
    left = rng.choice(BARS_PER_SESSION, size=rng.integers(7, 13), replace=False)
    rows = bars.session(places.of_a_day["sparse_session"])
    out = np.delete(rows, left) if len(rows) else rows
    bars.leave_out(out)
    bars.note("sparse_session", bars.labels[out], f"{len(left)} of {BARS_PER_SESSION} bars are left")


def _missing_session(bars: _Bars, places: _Places, rng: np.random.Generator) -> None:
    rows = bars.session(places.of_a_day["missing_session"])
    bars.leave_out(rows)
    bars.note("missing_session", bars.labels[rows], "no bar of a scheduled session")


def _bad_tick(bars: _Bars, places: _Places, rng: np.random.Generator) -> None:
    slot, down, size = rng.integers(5, 55), rng.random() < 0.5, rng.uniform(0.03, 0.06)
    session = bars.session(places.of_a_day["bad_tick"])
    row = session[slot : slot + 1]
    size = max(size, _TICK_MOVES * bars.typical_move(session))
    name, factor = ("low", 1 - size) if down else ("high", 1 + size)
    bars.prices[name][row] = (bars.prices["close"][row] * factor).round(_DECIMALS)
    bars.note("bad_tick", bars.labels[row], f"{name} lies {size:.1%} off a sound close")


def _close_spike(bars: _Bars, places: _Places, rng: np.random.Generator) -> None:
    slot, side, size = rng.integers(5, 55), rng.choice([-1, 1]), rng.uniform(0.008, 0.016)
    session = bars.session(places.of_a_day["close_spike"])
    rows = session[slot : slot + 2]
    move = side * max(size, _SPIKE_MOVES * bars.typical_move(session))
    if len(rows):
        bars.prices["close"][rows[0]] = np.round(bars.prices["close"][rows[0]] * np.exp(move), _DECIMALS)
        bars.prices["open"][rows[1]] = bars.prices["close"][rows[0]]
        for name, values in _containing({name: values[rows] for name, values in bars.prices.items()}).items():
            bars.prices[name][rows] = values
    bars.note("close_spike", bars.labels[rows[:1]], f"close jumps by {move:+.2%} and is back in the next bar")


def _quote_closed_day(bars: _Bars, hazard: Hazard, day: np.datetime64, path: np.ndarray, what: str) -> None:
    row, between_sessions = bars.last_close_before(day)
    if between_sessions:
        labels = _labels(day, "08:00", len(path))
        bars.add(row, labels, _walked(bars.prices["close"][row] * path))
        bars.note(hazard, labels, what)


def _labels(day: np.datetime64, bogota: str, n_bars: int) -> np.ndarray:
    """Labels in UTC from a Bogota time of a day on, ``datetime64[us]``."""
    opened = session_bar_times(day)[0] + (pd.Timedelta(f"{bogota}:00") - pd.Timedelta("08:00:00"))
    return pd.date_range(opened, periods=n_bars, freq=BAR).tz_localize(None).to_numpy("datetime64[us]")


def _walked(closes: np.ndarray) -> dict[str, np.ndarray]:
    """Bars that open where the one before closed and have no wicks."""
    opens = np.concatenate([closes[:1], closes[:-1]])
    return _containing({"open": opens, "high": opens, "low": opens, "close": closes})


def _containing(prices: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The prices with high and low moved out as far as open and close lie."""
    high = np.maximum.reduce([prices["high"], prices["open"], prices["close"]])
    low = np.minimum.reduce([prices["low"], prices["open"], prices["close"]])
    return {**prices, "high": high, "low": low}


_BAR_HAZARDS: Final[dict[Hazard, Callable[[_Bars, _Places, np.random.Generator], None]]] = {
    "mixed_zone_labels": _mixed_zone_labels,
    "disagreeing_duplicates": _disagreeing_duplicates,
    "flat_bars": _flat_bars,
    "stale_run": _stale_run,
    "off_session_bars": _off_session_bars,
    "weekend_bars": _weekend_bars,
    "holiday_quotes": _holiday_quotes,
    "sparse_session": _sparse_session,
    "missing_session": _missing_session,
    "bad_tick": _bad_tick,
    "close_spike": _close_spike,
}
_OF_A_DAY: Final = tuple(
    name for name in _BAR_HAZARDS if name not in ("mixed_zone_labels", "flat_bars", "holiday_quotes")
)


# ---- macro values


class _Macro:
    """A delivery's observations while defects are put in."""

    def __init__(self, clean: pd.DataFrame) -> None:
        self._clean = clean.reset_index(drop=True)
        self.dates = clean["observation_date"].to_numpy("datetime64[D]")
        self.values = clean["value"].to_numpy(float, copy=True)
        self._rows: dict[str, np.ndarray] = {
            str(name): np.asarray(rows)
            for name, rows in clean.groupby("variable", sort=False).indices.items()
        }
        self._left_out = np.zeros(len(clean), dtype=bool)
        self._added: list[pd.DataFrame] = []
        self.injected: list[Injected] = []

    def rows(self, variable: str, days: np.ndarray | None = None) -> np.ndarray:
        """Row numbers of a variable in time order, all or those observed on given days."""
        rows = self._rows.get(variable, np.arange(0))
        in_order: np.ndarray = rows[np.argsort(self.dates[rows], kind="stable")]
        return in_order if days is None else in_order[np.isin(self.dates[in_order], days)]

    def leave_out(self, rows: np.ndarray) -> None:
        self._left_out[rows] = True

    def add(self, like: int, dates: np.ndarray, values: np.ndarray) -> None:
        """Add observations, all else as in the row `like`."""
        rows = self._clean.iloc[np.full(len(dates), like)]
        self._added.append(rows.assign(observation_date=dates.astype(object), value=values))

    def note(self, hazard: Hazard, variable: str, dates: np.ndarray, what: str) -> None:
        if len(dates):
            first, last = dates.min().astype(object), dates.max().astype(object)
            self.injected.append(Injected(hazard, variable, first, last, len(dates), what))

    def frame(self) -> pd.DataFrame:
        kept = self._clean.assign(value=self.values)[~self._left_out]
        together = pd.concat([kept, *self._added])
        order = {name: place for place, name in enumerate(self._rows)}
        together = together.assign(_place=together["variable"].map(order))
        in_order = together.sort_values(["_place", "observation_date"], kind="stable", ignore_index=True)
        return in_order.drop(columns="_place")


def _decimal_comma(macro: _Macro, stretch: np.ndarray, rng: np.random.Generator) -> None:
    days = _window(stretch, _COMMA_DAYS, rng)
    for variable, factor in _LOST_COMMA.items():
        rows = macro.rows(variable, days)
        macro.values[rows] = np.round(macro.values[rows] * factor)
        macro.note("decimal_comma", variable, macro.dates[rows], f"x {factor:,}")


def _wrong_instrument(macro: _Macro, stretch: np.ndarray, rng: np.random.Generator) -> None:
    days = _window(stretch, _OTHER_DAYS, rng)
    for variable, (what, level, spread) in _STANDS_IN.items():
        drift = np.exp(spread * rng.standard_normal(len(days)).cumsum())
        rows = macro.rows(variable, days)
        other = level * macro.values[rows] * drift[np.searchsorted(days, macro.dates[rows])]
        macro.values[rows] = other.round(2)
        macro.note("wrong_instrument", variable, macro.dates[rows], f"{what} stands in")


def _macro_hole(macro: _Macro, stretch: np.ndarray, rng: np.random.Generator) -> None:
    days = _window(stretch, _HOLE_DAYS, rng)
    for variable in _WITH_HOLES:
        rows = macro.rows(variable, days)
        known = macro.dates[macro.rows(variable)]
        if not (np.any(known < days[0]) and np.any(known > days[-1])):
            continue
        macro.leave_out(rows)
        macro.note("macro_hole", variable, macro.dates[rows], "no observation for weeks")


def _weekend_observations(macro: _Macro, stretch: np.ndarray, rng: np.random.Generator) -> None:
    fridays = stretch[np.is_busday(stretch, weekmask="Fri")]
    chosen = rng.choice(fridays, size=_N_WEEKENDS, replace=False)
    for variable in _WITH_WEEKENDS:
        rows = macro.rows(variable, chosen)
        sundays = macro.dates[rows] + 2
        if len(rows):
            macro.add(int(rows[0]), sundays, macro.values[rows])
        macro.note("weekend_observations", variable, sundays, "Friday's value again on a Sunday")


def _repeated_monthly(macro: _Macro, rng: np.random.Generator, now: date) -> None:
    for variable in rng.permutation(_US_MONTHLY)[:_N_REPEATED]:
        rows = macro.rows(str(variable))
        begins_late = ~np.is_busday(macro.dates[rows])
        for before, row in pairwise(rows[~begins_late | ~np.roll(begins_late, 1)]):
            if not np.is_busday(macro.dates[row]):
                macro.values[row] = macro.values[before]
                macro.note("repeated_monthly", str(variable), macro.dates[[row]], "the month before again")


def _fabricated_tail(macro: _Macro, rng: np.random.Generator, now: date) -> None:
    for variable in rng.permutation(_US_MONTHLY)[_N_REPEATED:]:
        rows = macro.rows(str(variable))
        if len(rows) <= _TAIL_MONTHS:
            continue
        last_true, tail = rows[-_TAIL_MONTHS - 1], rows[-_TAIL_MONTHS:]
        macro.values[tail] = macro.values[last_true]
        months = np.arange(macro.dates[tail[-1]].astype("datetime64[M]") + 1, np.datetime64(now, "M") + 1)
        unpublished = months.astype("datetime64[D]")
        if len(unpublished):
            macro.add(int(last_true), unpublished, np.full(len(unpublished), macro.values[last_true]))
        dates = np.concatenate([macro.dates[tail], unpublished])
        macro.note("fabricated_tail", str(variable), dates, f"carried forward from {macro.dates[last_true]}")


def _future_observation(macro: _Macro, rng: np.random.Generator, now: date) -> None:
    rows = macro.rows(_VIX)
    if len(rows):
        dated = np.busday_offset(macro.dates[rows[-1:]] + 365, 0, roll="forward")
        macro.add(int(rows[-1]), dated, macro.values[rows[-1:]])
        macro.note(
            "future_observation", _VIX, dated, f"the value of {macro.dates[rows[-1]]} under next year's date"
        )


def _nan_padding(macro: _Macro, rng: np.random.Generator, now: date) -> None:
    for variable in _PADDED:
        rows = macro.rows(variable)
        if len(rows):
            month_ends = pd.date_range(_PADDING_FROM, macro.dates[rows[0]], freq="ME", inclusive="left")
            dates = month_ends.to_numpy("datetime64[D]")
            macro.add(int(rows[0]), dates, np.full(len(dates), np.nan))
            macro.note("nan_padding", variable, dates, "month ends without a value")


def _window(stretch: np.ndarray, n_days: int, rng: np.random.Generator) -> np.ndarray:
    first = int(rng.integers(len(stretch) - n_days + 1))
    return stretch[first : first + n_days]


_DAILY_HAZARDS: Final[dict[Hazard, Callable[[_Macro, np.ndarray, np.random.Generator], None]]] = {
    "decimal_comma": _decimal_comma,
    "wrong_instrument": _wrong_instrument,
    "macro_hole": _macro_hole,
    "weekend_observations": _weekend_observations,
}
_SERIES_HAZARDS: Final[dict[Hazard, Callable[[_Macro, np.random.Generator, date], None]]] = {
    "repeated_monthly": _repeated_monthly,
    "fabricated_tail": _fabricated_tail,
    "future_observation": _future_observation,
    "nan_padding": _nan_padding,
}
