"""Planted leaks: each the few lines someone writes without noticing, in a pipeline clean otherwise."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from dosvotos.contracts.acquisition import MacroVariable
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.features import MACRO_SOURCES
from dosvotos.leakage.pipeline import Dataset, FeaturePipeline
from dosvotos.market.alignment import known_at
from dosvotos.market.calendar import BAR, scheduled_sessions, session_bar_times, session_dates
from dosvotos.market.features import MarketHistory, market_features

Plant = Callable[[FeaturePipeline, ExperimentContract], FeaturePipeline]
Frame = pd.DataFrame
DXY = MACRO_SOURCES["dxy"]


def after(change: Callable[[Frame, Frame, Frame], Frame]) -> Plant:
    """Change the finished features, given bars and macro too."""

    def plant(pipeline: FeaturePipeline, _: ExperimentContract) -> FeaturePipeline:
        return replace(pipeline, features=lambda b, m: change(pipeline.features(b, m), b, m))

    return plant


def before(change: Callable[[Frame], Frame]) -> Plant:
    """Change the macro values before the features are computed."""

    def plant(pipeline: FeaturePipeline, _: ExperimentContract) -> FeaturePipeline:
        return replace(pipeline, features=lambda b, m: pipeline.features(b, change(m)))

    return plant


def scaling(change: Callable[[Dataset], Dataset]) -> Plant:
    """Change the finished dataset."""

    def plant(pipeline: FeaturePipeline, _: ExperimentContract) -> FeaturePipeline:
        return replace(pipeline, dataset=lambda frame: change(pipeline.dataset(frame)))

    return plant


def with_limits(days: int, *names: str) -> Plant:
    """Compute with other age limits, for all variables or those named."""

    def plant(pipeline: FeaturePipeline, contract: ExperimentContract) -> FeaturePipeline:
        known = contract.parameters.macro_variables.variables
        longer: dict[str, MacroVariable] = {
            name: v.model_copy(update={"ffill_max_days": days}) if not names or name in names else v
            for name, v in known.items()
        }
        return replace(
            pipeline,
            features=lambda b, m: market_features(MarketHistory(b, m), longer).assign(close=b["close"]),
        )

    return plant


def known_at_midnight(macro: Frame, days: int) -> Frame:
    """Values known from the midnight, in Bogota, some days after their observation."""
    stamps = pd.to_datetime(macro["observation_date"]) + pd.Timedelta(days=days)
    published = stamps.dt.tz_localize("America/Bogota").dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    return macro.assign(published_at=published)


def latest_vintage(macro: Frame) -> Frame:
    ordered = macro.sort_values("published_at", kind="stable")
    first = ordered.drop_duplicates(["variable", "observation_date"])
    value = ordered.groupby(["variable", "observation_date"])["value"].last()
    keys = pd.MultiIndex.from_frame(first[["variable", "observation_date"]])
    return first.assign(value=value.reindex(keys).to_numpy())


def full_sample_z(features: Frame, bars: Frame, macro: Frame) -> Frame:
    dxy = macro[macro["variable"] == DXY]
    now = known_at(dxy, 5, pd.DatetimeIndex(bars.index) + BAR).value
    return features.assign(dxy_z=(now - dxy["value"].mean()) / dxy["value"].std())


def nearest_join(features: Frame, bars: Frame, macro: Frame) -> Frame:
    dxy = macro[macro["variable"] == DXY].sort_values("published_at")[["published_at", "value"]]
    closes = pd.DataFrame({"published_at": (pd.DatetimeIndex(bars.index) + BAR).as_unit("us")})
    near = pd.merge_asof(closes, dxy, on="published_at", direction="nearest")["value"].to_numpy()
    return features.assign(dxy_change_1d=near)


def on_grid(bars: Frame) -> Frame:
    days = session_dates(pd.DatetimeIndex(bars.index))
    sessions = scheduled_sessions(days[0].astype(object), days[-1].astype(object))
    labels = pd.DatetimeIndex(np.concatenate([session_bar_times(day).as_unit("us") for day in sessions]))
    grid = labels.tz_localize("UTC") if labels.tz is None else labels
    return bars.reindex(grid.union(bars.index).rename(bars.index.name)).ffill().bfill()


def filled(keep_rows: bool) -> Plant:
    def plant(pipeline: FeaturePipeline, _: ExperimentContract) -> FeaturePipeline:
        def features(bars: Frame, macro: Frame) -> Frame:
            found = pipeline.features(on_grid(bars), macro)
            return found if keep_rows else found.loc[bars.index]

        return replace(pipeline, features=features)

    return plant


def whole_day_range(features: Frame, bars: Frame, macro: Frame) -> Frame:
    day = bars.groupby(session_dates(pd.DatetimeIndex(bars.index)))["close"]
    return features.assign(atr_pct=(day.transform("max") - day.transform("min")) / bars["close"])


def standardised(features: Frame, bars: Frame, macro: Frame) -> Frame:
    rsi = features["rsi_9"]
    return features.assign(rsi_9=(rsi - rsi.mean()) / rsi.std())


def fit_on(*parts: str) -> Callable[[Dataset], Dataset]:
    def change(dataset: Dataset) -> Dataset:
        names = list(dataset.norm_stats.index)
        rows = pd.concat([dataset.rows[part] for part in parts])[names].dropna()
        stats = pd.DataFrame({"mean": rows.mean(), "std": rows.std(ddof=1)})
        scaled = {k: (v[names] - stats["mean"]) / stats["std"] for k, v in dataset.rows.items()}
        return dataset._replace(norm_stats=stats, scaled=scaled)

    return change


def each_by_itself(dataset: Dataset) -> Dataset:
    names = list(dataset.norm_stats.index)
    scaled = {k: (v[names] - v[names].mean()) / v[names].std() for k, v in dataset.rows.items()}
    return dataset._replace(scaled=scaled)


def overlapping(dataset: Dataset) -> Dataset:
    train, val = dataset.rows["train"], dataset.rows["val"]
    longer = pd.concat([train, val.iloc[:60]])
    scaled = pd.concat([dataset.scaled["train"], dataset.scaled["val"].iloc[:60]])
    return dataset._replace(
        rows={**dataset.rows, "train": longer}, scaled={**dataset.scaled, "train": scaled}
    )


def random_split(dataset: Dataset) -> Dataset:
    every = pd.concat(dataset.rows.values())
    mixed = every.sample(frac=1.0, random_state=1)
    third = len(mixed) // 3
    rows = {k: mixed.iloc[i * third : (i + 1) * third].sort_index() for i, k in enumerate(dataset.rows)}
    names = list(dataset.norm_stats.index)
    return dataset._replace(rows=rows, scaled={k: v[names] for k, v in rows.items()})


PLANTS: dict[str, tuple[Plant, set[str]]] = {
    # the issue's eight
    "shift(-1)": (after(lambda f, b, m: f.assign(log_ret_5m=f["log_ret_5m"].shift(-1))), {"future"}),
    "global scaler": (scaling(fit_on("train", "val", "test")), {"statistics"}),
    "merge by observation date": (before(lambda m: known_at_midnight(m, 0)), {"future"}),
    "calendar T-1 instead of publication": (before(lambda m: known_at_midnight(m, 1)), {"future"}),
    "z-score over the full sample": (after(full_sample_z), {"future"}),
    "bars filled across sessions": (filled(keep_rows=False), {"filled"}),
    "macro carried past its limit": (with_limits(10_000), {"stale"}),
    "revised macro": (before(latest_vintage), {"future"}),
    # further ones
    "one variable carried past its limit": (with_limits(10_000, MACRO_SOURCES["embi"]), {"stale"}),
    "limit a week too long": (with_limits(12, MACRO_SOURCES["vix"]), {"stale"}),
    "target among the features": (
        after(lambda f, b, m: f.assign(adx_14=np.sign(b["close"].shift(-12) - b["close"]))),
        {"future"},
    ),
    "features standardised over everything": (after(standardised), {"future"}),
    "centred moving average": (
        after(lambda f, b, m: f.assign(rsi_9=f["rsi_9"].rolling(5, center=True).mean())),
        {"future"},
    ),
    "the whole day's range": (after(whole_day_range), {"future"}),
    "missing features filled backward": (after(lambda f, b, m: f.bfill()), {"future"}),
    "missing features interpolated": (after(lambda f, b, m: f.interpolate()), {"future", "stale"}),
    "missing features set to 0": (after(lambda f, b, m: f.fillna(0.0)), {"stale"}),
    "nearest publication": (after(nearest_join), {"future"}),
    "publications a bar early": (
        before(lambda m: m.assign(published_at=m["published_at"] - BAR)),
        {"future"},
    ),
    "publications a bar late (close taken for open)": (
        before(lambda m: m.assign(published_at=m["published_at"] + BAR)),
        {"late"},
    ),
    "rows added for missing bars": (filled(keep_rows=True), {"filled"}),
    "train scaled with val": (scaling(fit_on("train", "val")), {"statistics"}),
    "each split scaled by itself": (scaling(each_by_itself), {"statistics"}),
    "splits that overlap": (scaling(overlapping), {"overlap"}),
    "rows split at random": (scaling(random_split), {"overlap"}),
    "another series by mistake": (after(lambda f, b, m: f.assign(embi_z=f["vix_z"])), {"wired", "deaf"}),
    "a feature that ignores its data": (
        after(lambda f, b, m: f.assign(vix_z=f["time_normalized"])),
        {"deaf", "stale"},
    ),
    "an unseeded random number": (
        after(lambda f, b, m: f.assign(rsi_9=f["rsi_9"] + np.random.default_rng().normal(size=len(f)))),
        {"unrepeatable"},
    ),
}
"""Each plant with the rules of which at least one must be named."""
