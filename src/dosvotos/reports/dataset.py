"""What a dataset holds, for a person to judge before anything is trained on it.

Of test the page knows its record alone, which is coverage and hashes: its rows are not among the inputs.
"""

from typing import Any, Final

import numpy as np
import pandas as pd
from markupsafe import Markup

from dosvotos.contracts.acquisition import MacroVariable, PublicationRule
from dosvotos.contracts.features import MACRO_SOURCES, MARKET_FEATURES
from dosvotos.contracts.records import DatasetRecord
from dosvotos.hashing import short
from dosvotos.market.calendar import BAR, BOGOTA, session_dates
from dosvotos.market.drift import SLIGHT, STRONG, feature_drift
from dosvotos.market.normalization import CLIP, NormStats
from dosvotos.market.visibility import ages, first_visible
from dosvotos.reports import pages

_SPLIT_COLOURS: Final = {"train": pages.BLUE, "val": pages.NEAR, "test": pages.MUTED}
_BINS: Final = 50
_COLUMNS: Final = 4
_SESSIONS_SHOWN: Final = 9
_CLOSE: Final = 0.8
"""Correlation from which two features are named as saying much the same."""


def render_dataset_page(
    record: DatasetRecord,
    train: pd.DataFrame,
    val: pd.DataFrame,
    norm_stats: NormStats,
    macro: pd.DataFrame,
    variables: dict[str, MacroVariable],
) -> str:
    """Draw the dataset's report.

    Parameters
    ----------
    record : DatasetRecord
    train, val : DataFrame
        Index bar open (UTC); raw MARKET_FEATURES among the columns, NaN where missing.
    norm_stats : NormStats
        Of train.
    macro : DataFrame
        Observations: variable, observation_date, published_at (UTC). What was published after val's last bar
        is not looked at.
    variables : dict of MacroVariable by full name

    Returns
    -------
    str
        One HTML page that needs no network.
    """
    seen = pd.DatetimeIndex(train.index.append(val.index))
    drift = feature_drift(train, val, norm_stats)
    return pages.page(
        f"Dataset {record.experiment_name}",
        f"{record.contract_id}, dataset {short(record.dataset_hash)}, configuration "
        f"{short(record.config_hash)}. Test is closed: this page knows its coverage and its hash.",
        pages.tiles(_figures(record)),
        pages.section("Splits", _split_table(record), _split_plot(record)),
        pages.section("Rows without all features", *_missing(record)),
        pages.section("Distributions", *_distributions(drift, train, val, norm_stats)),
        pages.section("Correlation in train", *_correlation(train)),
        pages.section("When macro values became visible", *_visibility(macro, seen, variables)),
        pages.section("Hashes", _hashes(record)),
    )


def _figures(record: DatasetRecord) -> dict[str, object]:
    return {
        "session bars read": f"{record.ohlcv_rows:,}",
        "complete rows": f"{record.row_count:,}",
        "rows without all features": f"{record.dropped_rows:,}",
        "point in time": record.point_in_time,
    }


def _split_table(record: DatasetRecord) -> Markup:
    rows = [
        {
            "split": name,
            "first session": part.first_session,
            "last session": part.last_session,
            "sessions": part.sessions,
            "without a complete row": part.uncovered_sessions,
            "bars": part.bars,
            "bars a session": part.bars / part.sessions,
            "complete rows": part.complete_rows,
            "share": part.complete_rows / part.bars,
        }
        for name, part in record.splits.items()
    ]
    return pages.table(rows, {"bars a session": ".1f", "share": ".1%"})


def _split_plot(record: DatasetRecord) -> Markup:
    drawn = pages.figure(height=170)
    for name, part in record.splits.items():
        start, end = pd.Timestamp(part.first_session), pd.Timestamp(part.last_session)
        drawn.add_bar(
            base=[start], x=[(end - start) / pd.Timedelta(milliseconds=1)], y=["splits"], orientation="h",
            marker_color=_SPLIT_COLOURS[name], name=name, text=name, insidetextanchor="middle",
            hovertext=f"{name}: {part.first_session} to {part.last_session}", hoverinfo="text",
        )  # fmt: skip
    drawn.update_layout(barmode="overlay", showlegend=False, xaxis_type="date", yaxis_visible=False)
    return pages.plot(drawn, "splits")


def _missing(record: DatasetRecord) -> list[Markup]:
    if not record.dropped_rows:
        return [pages.verdict("Every row of every split has all 13 features.", good=True)]
    counts = pd.DataFrame({name: part.missing_by_reason for name, part in record.splits.items()})
    counts = counts.reindex(columns=list(record.splits)).fillna(0).astype(int)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False).index]
    cause = counts.index.str.split(": ", n=1)
    table = counts.assign(feature=cause.str[0], cause=cause.str[1].str.replace("_", " ", n=1))
    text = (
        "Incomplete rows stay in the files: nothing is filled. Training leaves them out; in the backtest "
        "they leave the target unchanged. A row with several missing features counts under each."
    )
    return [
        pages.note(text),
        pages.table(table[["feature", "cause", *counts.columns]]),
        pages.note(
            "warm up: too few bars before. unpublished: no value yet. aged out: the last value was older "
            "than its limit. too short: fewer values known than the feature looks back on. undefined: no "
            "spread, or the last two values lie more than five business days apart."
        ),
    ]


def _distributions(
    drift: pd.DataFrame, train: pd.DataFrame, val: pd.DataFrame, norm_stats: NormStats
) -> list[Markup]:
    strong = drift.loc[drift["psi"] > STRONG, "feature"].tolist()
    said = f"Strong shift (index above {STRONG}): {', '.join(strong)}." if strong else "No strong shift."
    table = drift.rename(columns=lambda name: name.replace("_", " ")).astype(object)
    shown = [pages.mark(f"{v:.2f}") if v > STRONG else f"{v:.2f}" for v in drift["psi"]]
    table["psi"] = pd.Series(shown, dtype=object)
    formats = {"mean shift": "+.2f", "std ratio": ".2f", "ks": ".2f"}
    formats |= {"clipped train": ".2%", "clipped val": ".2%"}
    return [
        pages.verdict(said, good=not strong),
        pages.note(
            f"psi: population stability index over train's deciles; above {SLIGHT} slight, above {STRONG} "
            "strong. Slow features (z-scores, the rate spread) hold few independent values in a split, so "
            "they often move far without a fault in the data: the model then works outside what it was "
            "trained on."
        ),
        pages.table(table, formats, right=["psi"]),
        _histograms(train, val, norm_stats),
    ]


def _histograms(train: pd.DataFrame, val: pd.DataFrame, norm_stats: NormStats) -> Markup:
    from plotly.subplots import make_subplots

    n_rows = -(-len(MARKET_FEATURES) // _COLUMNS)
    drawn = make_subplots(rows=n_rows, cols=_COLUMNS, subplot_titles=MARKET_FEATURES, vertical_spacing=0.09)
    drawn.update_layout(pages.figure(height=190 * n_rows).layout)
    edges = np.linspace(-CLIP, CLIP, _BINS + 1)
    for name, rows in (("train", train), ("val", val)):
        scaled = norm_stats.apply(rows[list(MARKET_FEATURES)].to_numpy(float))
        for place, values in enumerate(scaled.T):
            counts = np.histogram(values[np.isfinite(values)], edges)[0]
            drawn.add_scatter(
                x=(edges[:-1] + edges[1:]) / 2, y=counts / max(counts.sum(), 1), name=name, legendgroup=name,
                showlegend=place == 0, line={"shape": "hvh", "color": _SPLIT_COLOURS[name]}, mode="lines",
                fill="tozeroy" if name == "train" else None, fillcolor="rgba(31,95,139,0.18)",
                row=place // _COLUMNS + 1, col=place % _COLUMNS + 1,
            )  # fmt: skip
    drawn.update_xaxes(range=[-CLIP, CLIP], gridcolor="#e6eaee")
    drawn.update_yaxes(tickformat=".0%", rangemode="tozero", gridcolor="#e6eaee")
    drawn.update_layout(legend={"y": 1.04})
    return pages.plot(
        drawn, "distributions", "Train and val, in standard deviations of train",
        f"As the model sees them: less train's mean, over train's standard deviation, clipped at {CLIP:.0f}.",
    )  # fmt: skip


def _correlation(train: pd.DataFrame) -> list[Markup]:
    correlation = train[list(MARKET_FEATURES)].corr()
    values: np.ndarray = correlation.to_numpy(float)
    pairs = np.argwhere(np.triu(np.abs(values) >= _CLOSE, 1))
    close = [f"{MARKET_FEATURES[i]} and {MARKET_FEATURES[j]} ({values[i, j]:+.2f})" for i, j in pairs]
    drawn = pages.figure(height=560)
    drawn.add_heatmap(
        z=values, x=list(MARKET_FEATURES), y=list(MARKET_FEATURES), zmin=-1, zmax=1,
        colorscale=[[0, pages.BAD], [0.5, "#ffffff"], [1, pages.BLUE]],
        texttemplate="%{z:.2f}", hovertemplate="%{y} and %{x}: %{z:.2f}<extra></extra>",
    )  # fmt: skip
    drawn.update_yaxes(autorange="reversed")
    said = f"Close to the same: {'; '.join(close)}." if close else f"No pair reaches {_CLOSE}."
    return [pages.note(said), pages.plot(drawn, "correlation")]


def _visibility(
    macro: pd.DataFrame, bar_times: pd.DatetimeIndex, variables: dict[str, MacroVariable]
) -> list[Markup]:
    seen, shares = first_visible(macro, bar_times), ages(macro, bar_times, variables)
    text = (
        "A bar sees a value once it was published at or before the bar's close. Most are out after the "
        "session and wait for the next one's first bar; what is released during a session becomes visible "
        "in its middle. Train and val only."
    )
    return [
        pages.note(text),
        _visibility_table(seen, shares, variables),
        _course(seen, bar_times),
    ]


def _visibility_table(
    seen: pd.DataFrame, shares: pd.DataFrame, variables: dict[str, MacroVariable]
) -> Markup:
    rows = []
    for name, full in MACRO_SOURCES.items():
        own, limit = seen[seen["variable"] == name], variables[full].ffill_max_days
        age = shares[name] * limit
        rows.append(
            {
                "variable": full,
                "published": _in_words(variables[full].publication),
                "values": len(own),
                "seen first at the open": float((own["slot"] == 0).mean()) if len(own) else np.nan,
                "median wait, hours": own["waited"].median(),
                "median age, days": age.median(),
                "greatest age, days": age.max(),
                "limit, days": limit,
                "bars beyond it": int((shares[name] > 1).sum()),
            }
        )
    formats = {"seen first at the open": ".1%", "median wait, hours": ".1f"}
    formats |= dict.fromkeys(("median age, days", "greatest age, days"), ".2f")
    return pages.table(rows, formats)


def _in_words(rule: PublicationRule) -> str:
    return f"{rule.rule}, {rule.time:%H:%M} {rule.zone.split('/')[-1].replace('_', ' ')}"


def _course(seen: pd.DataFrame, bar_times: pd.DatetimeIndex) -> Markup:
    days = session_dates(bar_times)
    shown = np.unique(days)[-_SESSIONS_SHOWN:]
    recent = seen[session_dates(pd.DatetimeIndex(seen["bar"])) > shown[0]]
    drawn = pages.figure(height=340)
    for day in shown[1:]:
        bars = bar_times[days == day].tz_convert(BOGOTA).tz_localize(None)
        drawn.add_vrect(x0=bars[0], x1=bars[-1] + BAR, fillcolor=pages.NEAR, opacity=0.25, line_width=0)
    published = _bogota(recent["published_at"])
    visible = _bogota(recent["bar"]) + BAR
    gap = pd.Series([pd.NaT] * len(recent))
    drawn.add_scatter(
        x=np.column_stack([published, visible, gap]).ravel(), y=np.repeat(recent["variable"].to_numpy(), 3),
        mode="lines", line={"color": pages.MUTED, "width": 2}, name="known, no bar yet", hoverinfo="skip",
    )  # fmt: skip
    for name, moments, symbol in (("published", published, "circle-open"), ("first seen", visible, "circle")):
        drawn.add_scatter(
            x=moments, y=recent["variable"], mode="markers", name=name,
            marker={"symbol": symbol, "size": 8, "color": pages.BLUE}, customdata=recent["observation_date"],
            hovertemplate="%{y} of %{customdata}: %{x|%Y-%m-%d %H:%M}<extra>" + name + "</extra>",
        )  # fmt: skip
    drawn.update_xaxes(title="Bogota; sessions are shaded")
    return pages.plot(drawn, "course", f"The last {_SESSIONS_SHOWN - 1} sessions of val")


def _bogota(moments: pd.Series) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(moments).tz_convert(BOGOTA).tz_localize(None)


def _hashes(record: DatasetRecord) -> Markup:
    rows: list[dict[str, Any]] = [
        {"of": part.path, "SHA-256": part.digest} for part in record.splits.values()
    ] + [
        {"of": name.removesuffix("_hash").replace("_", " "), "SHA-256": getattr(record, name)}
        for name in (
            "dataset_hash", "config_hash", "feature_order_hash", "norm_stats_hash", "acquisition_hash",
        )
    ]  # fmt: skip
    return pages.table(rows)
