"""What the features of CTR-FEAT-001 are made of: periods, columns and the variables behind them.

Technical features come from closes (and highs and lows under ``range_source: bars``), counted in existing bars:

- ``log_ret_*``: ln(close) less ln(close) RETURN_BARS bars before.
- ``rsi_9``: 100 gain / (gain + loss), Wilder's averages of rises and falls; 0 where nothing moves.
- ``atr_pct``: Wilder's average true range over the close.
- ``adx_14``: Wilder's average of DX = 100 abs(plus - minus) / (plus + minus), sums of directional movement.

After a hole of more than 3 scheduled sessions between bars, returns across it and the other three for 145 bars
are missing.

Macro features come from the observations of weekdays that were published by the bar's close (`alignment`):

- ``*_z``: latest value less the mean of the latest 252, over their standard deviation (ddof 1).
- ``*_change_1d``: latest value over the one before, less 1; missing over more than 5 business days.
- ``rate_spread``, ``policy_rate_difference``: latest value of the first variable less that of the second.
"""  # noqa: E501

from collections.abc import Mapping
from typing import Final

from dosvotos.contracts.features import FEATURE_VARIABLES, MARKET_FEATURES, SOURCES_BY_FEATURE
from dosvotos.market.alignment import MAX_BUSINESS_DAYS_APART, Z_WINDOW

RSI_PERIOD: Final = 9
ATR_PERIOD: Final = 10
ADX_PERIOD: Final = 14
RETURN_BARS: Final = (1, 12, 48)
MAX_MISSED_SESSIONS: Final = 3
"""Scheduled sessions without a bar that features bridge; more are a hole."""
BARS_AFTER_HOLE: Final = 145
"""Bars after which Wilder's averages have forgotten the jump over a hole (ATR by (9/10)^145, ADX twice)."""
PERIODS: Final = (
    *(*RETURN_BARS, RSI_PERIOD, ATR_PERIOD, ADX_PERIOD, MAX_MISSED_SESSIONS, BARS_AFTER_HOLE),
    *(Z_WINDOW, MAX_BUSINESS_DAYS_APART),
)
"""All lengths that values depend on; a state computed with others is not restored."""

COLUMNS: Final = (*MARKET_FEATURES, "time_normalized", "policy_rate_difference")
TIME_NORMALIZED: Final = COLUMNS.index("time_normalized")
RATE_DIFFERENCE: Final = COLUMNS.index("policy_rate_difference")
VARIABLES: Final = tuple(FEATURE_VARIABLES.values())
"""The variables behind COLUMNS by full name, in the order in which a state holds them."""


def _rows(feature_by_variable: Mapping[str, str]) -> tuple[int, ...]:
    """For each of VARIABLES the index in COLUMNS of the feature named for it, -1 where none is."""
    features = (feature_by_variable.get(short) for short in FEATURE_VARIABLES)
    return tuple(COLUMNS.index(feature) if feature else -1 for feature in features)


_DIFFERENCES: Final = {name: pair for name, pair in SOURCES_BY_FEATURE.items() if len(pair) == 2}
Z_SCORE_ROW: Final = _rows({v[0]: name for name, v in SOURCES_BY_FEATURE.items() if name.endswith("_z")})
CHANGE_ROW: Final = _rows(
    {v[0]: name for name, v in SOURCES_BY_FEATURE.items() if name.endswith("_change_1d")}
)
MINUEND_ROW: Final = _rows({first: name for name, (first, _) in _DIFFERENCES.items()})
SUBTRAHEND_ROW: Final = _rows({second: name for name, (_, second) in _DIFFERENCES.items()})
"""The kernel subtracts in place: VARIABLES must hold a difference's second variable after its first."""
