import re
from datetime import date

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.features import MACRO_SOURCES, MARKET_FEATURES
from dosvotos.contracts.records import DatasetRecord, FeatureDrift
from dosvotos.market.calendar import scheduled_sessions, session_bar_times
from dosvotos.market.dataset import describe_split
from dosvotos.market.features import MarketHistory
from dosvotos.market.missing import missing_reasons
from dosvotos.market.normalization import fit_norm_stats
from dosvotos.market.splits import Split
from dosvotos.reports.dataset import render_dataset
from tests.languages import english_in_spanish, in_english
from tests.market.test_missing import macro

SPLITS = {
    "train": Split("train", date(2023, 12, 4), date(2023, 12, 15)),
    "val": Split("val", date(2023, 12, 18), date(2023, 12, 29)),
    "test": Split("test", date(2024, 1, 2), date(2024, 1, 12)),
}


def rows(split: Split, seed: int, **shifted: float) -> pd.DataFrame:
    times = pd.DatetimeIndex(
        [t for day in scheduled_sessions(split.first, split.last) for t in session_bar_times(day)]
    )
    values = np.random.default_rng(seed).normal(0, 1, (len(times), len(MARKET_FEATURES)))
    frame = pd.DataFrame(values, columns=list(MARKET_FEATURES), index=times)
    return frame.assign(**{name: frame[name] + by for name, by in shifted.items()})


DRIFT = (
    FeatureDrift(
        feature="rsi_9", rule="cusum", statistic=4.0, limit=12.0, first_alarm=None, sessions_beyond=0
    ),
    FeatureDrift(
        feature="vix_z", rule="support", statistic=3.25, limit=3.0, first_alarm="2023-12-19",
        sessions_beyond=7,
    ),
)  # fmt: skip


def drawn(
    variables,
    known: pd.DataFrame | None = None,
    holed: bool = False,
    drift: tuple[FeatureDrift, ...] | None = None,
    **shifted: float,
) -> str:
    frames = {name: rows(split, 7, **(shifted if name == "val" else {})) for name, split in SPLITS.items()}
    observed = (
        macro(brent=np.array(["2023-12-01", "2023-12-04"], dtype="datetime64[D]")) if holed else macro()
    )
    if holed:
        frames["test"].loc[:, "brent_change_1d"] = np.nan
    history = MarketHistory(frames["train"], observed)
    parts = {
        name: describe_split(
            SPLITS[name], frame, missing_reasons(frame, history, variables), f"DS_x_{name}.parquet"
        )
        for name, frame in frames.items()
    }
    norm_stats, known = fit_norm_stats(frames["train"]), observed if known is None else known
    record = DatasetRecord(
        experiment_name="x", contract_id="CTR-EXP-x", dataset_hash="d" * 64, config_hash="c" * 64,
        feature_order_hash="f" * 64, norm_stats_hash=norm_stats.digest, acquisition_hash="a" * 64,
        date_ranges={}, ohlcv_rows=5, macro_sources={}, point_in_time="unproven", dataset_path="x",
        row_count=sum(part.complete_rows for part in parts.values()),
        dropped_rows=sum(part.bars - part.complete_rows for part in parts.values()),
        dropped_by_reason={}, splits=parts, drift=drift,
    )  # fmt: skip
    return render_dataset(record, frames["train"], frames["val"], norm_stats, known, variables)


@pytest.fixture(scope="module")
def page(variables) -> str:
    return drawn(variables)


def said(page: str) -> str:
    return re.sub(r"<script>.*?</script>|<[^>]+>", " ", in_english(page), flags=re.S)


def test_a_whole_and_steady_dataset_says_so(page):
    assert "Every row of every split has all 13 features." in said(page)
    assert "Train is too short for drift alarms: they need 40 sessions" in said(page)
    assert "No pair reaches 0.8." in said(page)
    assert english_in_spanish(page) == []


def test_a_shifted_feature_is_named_and_a_hole_has_its_cause(variables):
    page = drawn(variables, holed=True, drift=DRIFT, vix_z=1.5)
    text = said(page)
    assert english_in_spanish(page) == []
    assert "Outside what train held: vix_z." in text
    assert re.search(r"vix_z\s+support\s+3.25\s+3.00\s+2023-12-19\s+7", text)
    n_bars = 60 * len(scheduled_sessions(SPLITS["test"].first, SPLITS["test"].last))
    assert re.search(rf"brent_change_1d\s+aged out {MACRO_SOURCES['brent']}\s+0\s+0\s+{n_bars}", text)


def test_each_variable_has_its_row_and_its_course(page, variables):
    for short, name in MACRO_SOURCES.items():
        assert re.search(rf"{name}\s+{re.escape(variables[name].publication.rule)}", said(page))
        assert f'"{short}"' in page


def test_equal_inputs_give_equal_pages(page, variables):
    assert drawn(variables) == page


def test_what_was_published_after_val_is_not_looked_at(page, variables):
    last_close = session_bar_times(np.datetime64(SPLITS["val"].last))[-1] + pd.Timedelta(minutes=5)
    observed = macro()
    assert drawn(variables, observed[observed["published_at"] <= last_close]) == page
