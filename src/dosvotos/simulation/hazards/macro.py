"""Hazards of macro variables: one function each, which edits a market's values and records the change."""

from datetime import date
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd

from dosvotos.contracts.sample_market import Hazard
from dosvotos.simulation.hazards.schedule import Defect, by_name

_HOLE_DAYS, _COMMA_DAYS, _SUBSTITUTE_DAYS = 25, 30, 35
_FRACTION_DAYS, _SWAPPED_DAYS = 30, 25
_N_WEEKENDS: Final = 4
_TAIL_MONTHS: Final = 3
_PADDING_FROM: Final = "1954-07-31"

_BRENT, _WTI = "comm_oil_brent_glb_d_brent", "comm_oil_wti_glb_d_wti"
_DXY, _VIX = "fxrt_index_dxy_usa_d_dxy", "volt_vix_usa_d_vix"
_USDMXN, _USDCLP = "fxrt_spot_usdmxn_mex_d_usdmxn", "fxrt_spot_usdclp_chl_d_usdclp"
_TPM, _UST10 = "polr_policy_rate_col_d_tpm", "finc_bond_yield10y_usa_d_ust10y"
_UST2, _IBR = "finc_bond_yield2y_usa_d_dgs2", "finc_rate_ibr_overnight_col_d_ibr"
_COMMA_FACTORS: Final = {_USDMXN: 10_000, _USDCLP: 100}
_SUBSTITUTES: Final = {_BRENT: ("an oil fund", 0.3, 0.004), _DXY: ("the broad dollar index", 1.22, 0.001)}
"""By variable: the instrument delivered instead, its level over the variable's, its daily drift (std)."""
_WITH_HOLES: Final = (
    "comm_agri_coffee_glb_d_coffee", "comm_metal_gold_glb_d_gold", _BRENT,
    "crsk_spread_embi_col_d_embi", "eqty_index_colcap_col_d_colcap", "finc_bond_yield10y_col_d_col10y",
    _UST10, "finc_bond_yield2y_usa_d_dgs2", "finc_bond_yield5y_col_d_col5y", _DXY, _USDCLP, _USDMXN,
    "polr_prime_rate_usa_d_prime", _VIX,
)  # fmt: skip
_WITH_WEEKENDS: Final = (_TPM, _WTI)
_PADDED: Final = (_TPM, _UST10)
_US_MONTHLY: Final = (
    "infl_cpi_all_usa_m_cpiaucsl", "infl_cpi_core_usa_m_cpilfesl", "infl_pce_usa_m_pcepi",
    "labr_unemployment_usa_m_unrate", "mnys_m2_supply_usa_m_m2sl", "prod_industrial_usa_m_indpro",
    "sent_consumer_usa_m_umcsent",
)  # fmt: skip
_N_REPEATED: Final = 4
"""Of the US monthly series; the others get the fabricated tail."""


class MacroEditor:
    """The observations of a market while hazards change, add and remove some of them.

    `values` is edited in place, in the rows of the clean market; rows added or removed show only
    in `to_frame`.
    """

    def __init__(self, clean: pd.DataFrame) -> None:
        self._clean = clean.reset_index(drop=True)
        self.dates = clean["observation_date"].to_numpy("datetime64[D]")
        self.values = clean["value"].to_numpy(float, copy=True)
        self._rows = dict(clean.groupby("variable", sort=False).indices)
        self._removed = np.zeros(len(clean), dtype=bool)
        self._added: list[pd.DataFrame] = []
        self.defects: list[Defect] = []

    def rows(self, variable: str, days: np.ndarray | None = None) -> np.ndarray:
        """Row numbers of a variable in time order, all or those observed on given days."""
        rows = np.asarray(self._rows.get(variable, ()), dtype=np.int64)
        in_order: np.ndarray = rows[np.argsort(self.dates[rows], kind="stable")]
        return in_order if days is None else in_order[np.isin(self.dates[in_order], days)]

    def remove(self, rows: np.ndarray) -> None:
        """Leave these rows out of `to_frame`."""
        self._removed[rows] = True

    def add(self, template: int, dates: np.ndarray, values: np.ndarray) -> None:
        """Add observations; other columns are copied from the row `template`."""
        rows = self._clean.iloc[np.full(len(dates), template)]
        self._added.append(rows.assign(observation_date=dates.astype(object), value=values))

    def record(self, hazard: Hazard, variable: str, dates: np.ndarray, description: str) -> None:
        """Record one event with the observations of these dates; nothing if there are none."""
        if len(dates):
            first, last = dates.min().astype(object), dates.max().astype(object)
            self.defects.append(Defect(hazard, variable, first, last, len(dates), description))

    def to_frame(self) -> pd.DataFrame:
        """Return the edited observations by variable and observation date, with a fresh index."""
        kept = self._clean.assign(value=self.values)[~self._removed]
        together = pd.concat([kept, *self._added])
        order = together["variable"].map(list(self._rows).index)
        in_order = together.assign(order=order).sort_values(["order", "observation_date"], kind="stable")
        return in_order.drop(columns="order").reset_index(drop=True)


def _decimal_comma(macro: MacroEditor, weekdays: np.ndarray, rng: np.random.Generator) -> None:
    days = _draw_window(weekdays, _COMMA_DAYS, rng)
    for variable, factor in _COMMA_FACTORS.items():
        rows = macro.rows(variable, days)
        macro.values[rows] = np.round(macro.values[rows] * factor)
        macro.record("decimal_comma", variable, macro.dates[rows], f"x {factor:,}")


def _wrong_instrument(macro: MacroEditor, weekdays: np.ndarray, rng: np.random.Generator) -> None:
    days = _draw_window(weekdays, _SUBSTITUTE_DAYS, rng)
    for variable, (instrument, ratio, drift_std) in _SUBSTITUTES.items():
        drift = np.exp(drift_std * rng.standard_normal(len(days)).cumsum())
        rows = macro.rows(variable, days)
        values = ratio * macro.values[rows] * drift[np.searchsorted(days, macro.dates[rows])]
        macro.values[rows] = values.round(2)
        macro.record("wrong_instrument", variable, macro.dates[rows], f"{instrument} stands in")


def _macro_hole(macro: MacroEditor, weekdays: np.ndarray, rng: np.random.Generator) -> None:
    days = _draw_window(weekdays, _HOLE_DAYS, rng)
    for variable in _WITH_HOLES:
        rows = macro.rows(variable, days)
        known = macro.dates[macro.rows(variable)]
        if np.any(known < days[0]) and np.any(known > days[-1]):
            macro.remove(rows)
            macro.record("macro_hole", variable, macro.dates[rows], "no observation for weeks")


def _weekend_observations(macro: MacroEditor, weekdays: np.ndarray, rng: np.random.Generator) -> None:
    fridays = weekdays[np.is_busday(weekdays, weekmask="Fri")]
    chosen = rng.choice(fridays, size=_N_WEEKENDS, replace=False)
    for variable in _WITH_WEEKENDS:
        rows = macro.rows(variable, chosen)
        sundays = macro.dates[rows] + 2
        if len(rows):
            macro.add(int(rows[0]), sundays, macro.values[rows])
        macro.record("weekend_observations", variable, sundays, "Friday's value again on a Sunday")


def _percent_fraction(macro: MacroEditor, weekdays: np.ndarray, rng: np.random.Generator) -> None:
    rows = macro.rows(_UST2, _draw_window(weekdays, _FRACTION_DAYS, rng))
    macro.values[rows] = macro.values[rows] / 100
    macro.record("percent_fraction", _UST2, macro.dates[rows], "fractions in place of percents")


def _swapped_series(macro: MacroEditor, weekdays: np.ndarray, rng: np.random.Generator) -> None:
    days = _draw_window(weekdays, _SWAPPED_DAYS, rng)
    one, other = (macro.rows(name, days) for name in (_USDMXN, _USDCLP))
    both = np.intersect1d(macro.dates[one], macro.dates[other])
    one, other = (rows[np.isin(macro.dates[rows], both)] for rows in (one, other))
    macro.values[one], macro.values[other] = macro.values[other], macro.values[one]
    for name, of, rows in ((_USDMXN, _USDCLP, one), (_USDCLP, _USDMXN, other)):
        macro.record("swapped_series", name, macro.dates[rows], f"holds the values of {of}")


def _repeated_monthly(macro: MacroEditor, rng: np.random.Generator, today: date) -> None:
    for variable in rng.permutation(_US_MONTHLY)[:_N_REPEATED]:
        rows = macro.rows(str(variable))
        begins_late = ~np.is_busday(macro.dates[rows])
        for before, row in pairwise(rows[~begins_late | ~np.roll(begins_late, 1)]):
            if not np.is_busday(macro.dates[row]):
                macro.values[row] = macro.values[before]
                macro.record("repeated_monthly", str(variable), macro.dates[[row]], "the month before again")


def _fabricated_tail(macro: MacroEditor, rng: np.random.Generator, today: date) -> None:
    for variable in rng.permutation(_US_MONTHLY)[_N_REPEATED:]:
        rows = macro.rows(str(variable))
        if len(rows) <= _TAIL_MONTHS:
            continue
        last_kept, tail = rows[-_TAIL_MONTHS - 1], rows[-_TAIL_MONTHS:]
        macro.values[tail] = macro.values[last_kept]
        months = np.arange(macro.dates[tail[-1]].astype("datetime64[M]") + 1, np.datetime64(today, "M") + 1)
        unpublished = months.astype("datetime64[D]")
        if len(unpublished):
            macro.add(int(last_kept), unpublished, np.full(len(unpublished), macro.values[last_kept]))
        dates = np.concatenate([macro.dates[tail], unpublished])
        description = f"carried forward from {macro.dates[last_kept]}"
        macro.record("fabricated_tail", str(variable), dates, description)


def _future_observation(macro: MacroEditor, rng: np.random.Generator, today: date) -> None:
    rows = macro.rows(_VIX)
    if len(rows):
        dated = np.busday_offset(macro.dates[rows[-1:]] + 365, 0, roll="forward")
        macro.add(int(rows[-1]), dated, macro.values[rows[-1:]])
        description = f"the value of {macro.dates[rows[-1]]} under next year's date"
        macro.record("future_observation", _VIX, dated, description)


def _nan_padding(macro: MacroEditor, rng: np.random.Generator, today: date) -> None:
    for variable in _PADDED:
        rows = macro.rows(variable)
        if len(rows):
            month_ends = pd.date_range(_PADDING_FROM, macro.dates[rows[0]], freq="ME", inclusive="left")
            dates = month_ends.to_numpy("datetime64[D]")
            macro.add(int(rows[0]), dates, np.full(len(dates), np.nan))
            macro.record("nan_padding", variable, dates, "month ends without a value")


def _early_dates(macro: MacroEditor, rng: np.random.Generator, today: date) -> None:
    rows = macro.rows(_IBR)
    if len(rows):
        days = macro.dates[rows]
        macro.remove(rows)
        macro.add(int(rows[0]), days - 1, macro.values[rows])
        both = np.union1d(days, days - 1)
        macro.record("early_dates", _IBR, both, "each value under the date of the day before")


def _draw_window(weekdays: np.ndarray, n_days: int, rng: np.random.Generator) -> np.ndarray:
    first = int(rng.integers(len(weekdays) - n_days + 1))
    return weekdays[first : first + n_days]


DAILY_HAZARDS: Final = by_name(
    _decimal_comma, _wrong_instrument, _macro_hole, _weekend_observations, _percent_fraction, _swapped_series
)
"""Hazards of daily variables, each in every half-year."""
SERIES_HAZARDS: Final = by_name(
    _repeated_monthly, _fabricated_tail, _future_observation, _nan_padding, _early_dates
)
"""Hazards of a variable's whole history, each once a market."""
