"""Features as a user writes them: a clean set, and one with the commonest leak."""

import pandas as pd

DXY = "fxrt_index_dxy_usa_d_dxy"
BAR = pd.Timedelta(minutes=5)


def clean(bars: pd.DataFrame, macro: pd.DataFrame) -> pd.DataFrame:
    """Momentum over an hour, and the DXY value that was known at the bar's close, at most five days old."""
    dxy = macro[macro["variable"] == DXY].sort_values("published_at")
    closes = pd.DataFrame({"published_at": (bars.index + BAR).as_unit("us")})
    known = pd.merge_asof(
        closes, dxy[["published_at", "value"]], on="published_at", tolerance=pd.Timedelta(days=5)
    )
    momentum = bars["close"].pct_change(12)
    return pd.DataFrame({"momentum": momentum, "dxy": known["value"].to_numpy()}, index=bars.index)


def leaking(bars: pd.DataFrame, macro: pd.DataFrame) -> pd.DataFrame:
    """The same, with a mean of the closes around each bar."""
    smooth = bars["close"].rolling(7, center=True).mean()
    return clean(bars, macro).assign(gap=bars["close"] / smooth - 1)
