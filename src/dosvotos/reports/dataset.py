"""What a dataset holds, for a person to judge before anything is trained on it.

Of test the page knows its record alone, which is coverage and hashes: its rows are not among the inputs.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable, PublicationRule
from dosvotos.contracts.features import MACRO_SOURCES, MARKET_FEATURES
from dosvotos.contracts.records import DatasetRecord, FeatureDrift
from dosvotos.formats import PERCENT, RATIO, Form
from dosvotos.market.calendar import BAR, BOGOTA, session_dates
from dosvotos.market.drift import FALSE_ALARMS_A_YEAR
from dosvotos.market.normalization import CLIP, NormStats
from dosvotos.market.visibility import first_visible, staleness
from dosvotos.reports.bilingual import BOTH, Text, Texts
from dosvotos.reports.figures import BLUE, CAUTION, DIVERGING, GRID, MUTED, figure, line, subplots
from dosvotos.reports.rendering import render
from dosvotos.reports.tables import Cell, Table, rows_table, table

_T: Final = Texts("dataset")
_SPLIT_COLOURS: Final = {"train": BLUE, "val": CAUTION, "test": MUTED}
_BINS: Final = 50
_COLUMNS: Final = 4
_SESSIONS_SHOWN: Final = 8
_HIGH_CORRELATION: Final = 0.8
"""Absolute correlation from which two features are named as saying much the same."""
_LIMITS: Final = {
    "clip": CLIP, "correlation": _HIGH_CORRELATION, "sessions": _SESSIONS_SHOWN,
    "false_alarms": FALSE_ALARMS_A_YEAR,
}  # fmt: skip


def render_dataset(
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
    """
    bar_times = pd.DatetimeIndex(train.index.append(val.index))
    seen = first_visible(macro, bar_times)
    correlation = train[list(MARKET_FEATURES)].corr()
    return render(
        "dataset",
        t=_T,
        record=record,
        splits=_splits(record),
        split_bars=draw_splits(record),
        missing=_missing(record),
        distributions=_distributions(train, val, norm_stats),
        drift=_drift(record.drift) if record.drift else None,
        alarms=[d.feature for d in record.drift or () if d.first_alarm],
        histograms=_histograms(train, val, norm_stats),
        correlated_pairs=_correlated_pairs(correlation),
        correlation=_heatmap(correlation),
        visibility=_visibility(seen, staleness(macro, bar_times, variables), variables),
        timeline=_timeline(seen, bar_times),
        hashes=_hashes(record),
        limits=_LIMITS,
    )


def _splits(record: DatasetRecord) -> Table:
    rows = [
        {
            _T("column.split"): name, _T("column.first"): pd.Timestamp(part.first_session),
            _T("column.last"): pd.Timestamp(part.last_session), _T("column.sessions"): part.sessions,
            _T("column.uncovered"): part.uncovered_sessions, _T("column.bars"): part.bars,
            _T("column.bars_a_session"): part.bars / part.sessions,
            _T("column.complete"): part.complete_rows, _T("column.share"): part.complete_rows / part.bars,
        }
        for name, part in record.splits.items()
    ]  # fmt: skip
    return table(rows, {_T("column.bars_a_session"): Form(1), _T("column.share"): PERCENT})


def draw_splits(record: DatasetRecord) -> Any:
    """Draw train, val and test as spans of time."""
    drawn = figure(height=170)
    for name, part in record.splits.items():
        start, end = pd.Timestamp(part.first_session), pd.Timestamp(part.last_session)
        drawn.add_bar(
            base=[start], x=[(end - start) / pd.Timedelta(milliseconds=1)], y=[""], orientation="h",
            marker_color=_SPLIT_COLOURS[name], name=name, text=name, insidetextanchor="middle",
            hovertext=f"{name}: {part.first_session} / {part.last_session}", hoverinfo="text",
        )  # fmt: skip
    return drawn.update_layout(barmode="overlay", showlegend=False, xaxis_type="date", yaxis_visible=False)


def _missing(record: DatasetRecord) -> Table:
    counts = pd.DataFrame({name: part.missing_by_reason for name, part in record.splits.items()})
    counts = counts.reindex(columns=list(record.splits)).fillna(0).astype(int)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False).index]
    rows = [
        {_T("column.feature"): feature, _T("column.cause"): _cause(cause), **per_split}
        for (feature, cause), per_split in zip(
            (str(key).split(": ", 1) for key in counts.index), counts.to_dict("records"), strict=True
        )
    ]
    return table(rows)


def _cause(cause: str) -> Text:
    """Write a reason and the variable it names, ``aged_out comm_oil_brent...``."""
    reason, _, variable = cause.partition(" ")
    known = _T.known("cause", reason)
    return Text.join([known, Text(variable, variable)], " ") if variable else known


def _distributions(train: pd.DataFrame, val: pd.DataFrame, norm_stats: NormStats) -> Table:
    names = list(MARKET_FEATURES)
    mean, std = np.array(norm_stats.mean), np.array(norm_stats.std)
    of_val = val[names].mean().to_numpy(), val[names].std(ddof=1).to_numpy()
    clipped = [
        np.where(rows[names].isna().all(), np.nan, _clipped_share(rows, norm_stats)) for rows in (train, val)
    ]
    columns = {
        "feature": names, "train_mean": mean, "train_std": std, "val_mean": of_val[0], "val_std": of_val[1],
        "mean_shift": (of_val[0] - mean) / std, "std_ratio": of_val[1] / std,
        "clipped_train": clipped[0], "clipped_val": clipped[1],
    }  # fmt: skip
    forms = {"mean_shift": Form(2, signed=True), "std_ratio": RATIO}
    forms |= dict.fromkeys(("clipped_train", "clipped_val"), Form(2, percent=True))
    heads = {name: _T(f"column.{name}") for name in columns}
    shown = pd.DataFrame(columns).astype(object).rename(columns=heads)
    return table(shown, {heads[name]: form for name, form in forms.items()})


def _clipped_share(rows: pd.DataFrame, norm_stats: NormStats) -> pd.Series:
    """Share of a feature's known values beyond the clip."""
    beyond = np.abs(norm_stats.distances(rows[list(MARKET_FEATURES)].to_numpy(float))) > CLIP
    share: pd.Series = beyond.sum(axis=0) / rows[list(MARKET_FEATURES)].count().clip(lower=1)
    return share


def _histograms(train: pd.DataFrame, val: pd.DataFrame, norm_stats: NormStats) -> Any:
    n_rows = -(-len(MARKET_FEATURES) // _COLUMNS)
    drawn = subplots(n_rows, _COLUMNS, MARKET_FEATURES, height=150 * n_rows, vertical_spacing=0.09)
    edges = np.linspace(-CLIP, CLIP, _BINS + 1)
    for name, rows in (("train", train), ("val", val)):
        scaled = norm_stats.apply(rows[list(MARKET_FEATURES)].to_numpy(float))
        for i, values in enumerate(scaled.T):
            counts = np.histogram(values[np.isfinite(values)], edges)[0]
            drawn.add_scatter(
                x=(edges[:-1] + edges[1:]) / 2, y=counts / max(counts.sum(), 1), name=name, legendgroup=name,
                showlegend=i == 0, line={"shape": "hvh", "color": _SPLIT_COLOURS[name]}, mode="lines",
                fill="tozeroy" if name == "train" else None, fillcolor="rgba(31,95,139,0.18)",
                row=i // _COLUMNS + 1, col=i % _COLUMNS + 1,
            )  # fmt: skip
    drawn.update_xaxes(range=[-CLIP, CLIP], gridcolor=GRID)
    drawn.update_yaxes(tickformat=".0%", rangemode="tozero", gridcolor=GRID)
    return drawn.update_layout(legend={"y": 1.04})


def _correlated_pairs(correlation: pd.DataFrame) -> list[Text]:
    values: np.ndarray = correlation.to_numpy(float)
    pairs = np.argwhere(np.triu(np.abs(values) >= _HIGH_CORRELATION, 1))
    named = ((MARKET_FEATURES[i], MARKET_FEATURES[j], values[i, j]) for i, j in pairs)
    return [_T("pair", a=a, b=b, r=BOTH.number(r, signed=True)) for a, b, r in named]


def _heatmap(correlation: pd.DataFrame) -> Any:
    drawn = figure(height=560)
    drawn.add_heatmap(
        z=correlation.to_numpy(float), x=list(MARKET_FEATURES), y=list(MARKET_FEATURES), zmin=-1, zmax=1,
        colorscale=DIVERGING, texttemplate="%{z:.2f}", hovertemplate=_T("hover_pair").both,
    )  # fmt: skip
    return drawn.update_yaxes(autorange="reversed")


def _visibility(seen: pd.DataFrame, shares: pd.DataFrame, variables: dict[str, MacroVariable]) -> Table:
    rows = []
    for name, full in MACRO_SOURCES.items():
        own, limit = seen[seen["variable"] == name], variables[full].ffill_max_days
        age = shares[name] * limit
        rows.append({
            _T("column.variable"): full, _T("column.published"): _rule_text(variables[full].publication),
            _T("column.values"): len(own),
            _T("column.seen"): float((own["slot"] == 0).mean()) if len(own) else np.nan,
            _T("column.wait"): own["waited"].median(), _T("column.age"): age.median(),
            _T("column.greatest"): age.max(), _T("column.limit"): limit,
            _T("column.beyond"): int((shares[name] > 1).sum()),
        })  # fmt: skip
    forms = {_T("column.seen"): PERCENT, _T("column.wait"): Form(1)}
    forms |= dict.fromkeys((_T("column.age"), _T("column.greatest")), RATIO)
    return table(rows, forms)


def _rule_text(rule: PublicationRule) -> Text:
    zone = _T.known("zone", rule.zone.split("/")[-1])
    return _T("publication", rule=rule.rule, time=f"{rule.time:%H:%M}", zone=zone)


def _timeline(seen: pd.DataFrame, bar_times: pd.DatetimeIndex) -> Any:
    """Draw when each value was published, and when a bar first saw it, over the last sessions."""
    days = session_dates(bar_times)
    shown = np.unique(days)[-_SESSIONS_SHOWN - 1 :]
    recent = seen[session_dates(pd.DatetimeIndex(seen["bar"])) > shown[0]]
    drawn = figure(height=340)
    for day in shown[1:]:
        bars = bar_times[days == day].tz_convert(BOGOTA).tz_localize(None)
        drawn.add_vrect(x0=bars[0], x1=bars[-1] + BAR, fillcolor=CAUTION, opacity=0.25, line_width=0)
    published, visible = _bogota(recent["published_at"]), _bogota(recent["bar"]) + BAR
    gap = pd.Series([pd.NaT] * len(recent))
    drawn.add_scatter(
        x=np.column_stack([published, visible, gap]).ravel(), y=np.repeat(recent["variable"].to_numpy(), 3),
        mode="lines", line=line(MUTED, 2), name=_T("no_bar_yet").both, hoverinfo="skip",
    )  # fmt: skip
    for name, moments, symbol in (
        (_T("published"), published, "circle-open"),
        (_T("first_seen"), visible, "circle"),
    ):
        drawn.add_scatter(
            x=moments, y=recent["variable"], mode="markers", name=name.both,
            marker={"symbol": symbol, "size": 8, "color": BLUE}, customdata=recent["observation_date"],
            hovertemplate=_T("hover_moment", name=name).both,
        )  # fmt: skip
    return drawn.update_xaxes(title=_T("axis_time").both)


def _bogota(moments: pd.Series) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(moments).tz_convert(BOGOTA).tz_localize(None)


def _hashes(record: DatasetRecord) -> Table:
    files = [(part.path, part.digest) for part in record.splits.values()]
    hashes = [(label, getattr(record, f"{name}_hash")) for name, label in _T.family("hash").items()]
    return rows_table([*files, *hashes], [_T("column.of"), "SHA-256"])


def _drift(drift: Sequence[FeatureDrift]) -> Table:
    """Write one row a feature; what alarms asks for attention."""
    rows = [
        (
            found.feature, _T.known("rule", found.rule),
            Cell(BOTH.write(found.statistic, RATIO), bad=found.first_alarm is not None),
            BOTH.write(found.limit, RATIO), found.first_alarm, found.sessions_beyond,
        )
        for found in drift
    ]  # fmt: skip
    names = ("feature", "rule", "largest", "drift_limit", "since", "sessions_beyond")
    columns = [_T(f"column.{name}") for name in names]
    return rows_table(rows, columns, right=columns[2:4])
