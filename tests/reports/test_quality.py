import datetime as dt
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.acquisition import PublicationRule, SeriesSource
from dosvotos.market.calendar import BOGOTA, scheduled_sessions, session_bar_times
from dosvotos.quality.findings import no_findings
from dosvotos.quality.freshness import KINDS, session_calendar, summary_table
from dosvotos.reports.quality import render_quality
from tests.languages import english_in_spanish, in_english
from tests.migrated import copy_migrated

VIX, CPI, GDP = "volt_vix_usa_d_vix", "infl_cpi_total_col_m_ipccol", "gdpp_real_gdp_usa_q_gdp_q"
NOON = pd.Timestamp("2025-07-09 12:00", tz="UTC")
HOSTILE = (
    "</script><script>document.title = 'taken'</script><img src=//evil.test/a onerror=alert(1)> & 'x' \"y\""
)
CHROMIUM = Path("/usr/bin/chromium")
COLUMNS = {
    "subject": "str", "priority": "str", "source": "str", "last_observation": "str", "last_value": "float64",
    "unit": "str", "published_at": "datetime64[us, UTC]", "age_days": "float64", "limit_days": "float64",
    "state": "str", "observations": "int64", "coverage": "float64", "quarantined": "int64",
    "reported": "int64",
}  # fmt: skip


def bars_on(day: str, slots=range(60), source: str = "a", flat: bool = False) -> pd.DataFrame:
    times = session_bar_times(np.datetime64(day))[list(slots)].as_unit("us").rename("timestamp")
    wick = 0.0 if flat else 1.0
    prices = {"open": 4000.0, "high": 4000.0 + wick, "low": 4000.0 - wick, "close": 4000.0}
    return pd.DataFrame(prices | {"volume": 0, "source": source}, index=times)


def observation(variable, day, published, value=1.0, fetched=None, source="files") -> dict:
    moment = pd.Timestamp(published, tz="UTC")
    return {
        "variable": variable, "observation_date": dt.date.fromisoformat(day), "published_at": moment,
        "fetched_at": pd.Timestamp(fetched, tz="UTC") if fetched else moment, "value": value,
        "vintage": "final", "source": source,
    }  # fmt: skip


def finding(rule="spike", severity="quarantined", subject="bars", minute=0, detail="odd", **more) -> dict:
    at = pd.Timestamp("2025-07-01 13:00", tz="UTC") + pd.Timedelta(minutes=minute)
    return {
        "rule": rule, "severity": severity, "subject": subject, "at": at, "value": 1.0, "source": "a",
        "detail": detail, "found_at": at,
    } | more  # fmt: skip


EMPTY = pd.DataFrame(), pd.DataFrame(), no_findings()


def summary(variables, bars=EMPTY[0], observations=(), findings=(), as_of=NOON) -> pd.DataFrame:
    table = summary_table(bars, pd.DataFrame(observations), pd.DataFrame(findings), variables, as_of)
    return table.set_index("subject")


def body(page: str) -> str:
    """The page without plotly.js."""
    return re.sub(r"<script>[^<]*?plotly\.js.*?</script>", "", page, count=1, flags=re.S)


# ---- the table


def test_the_summary_has_a_row_for_the_bars_and_one_a_variable_in_order(variables):
    table = summary_table(*EMPTY, variables, NOON)
    assert table["subject"].tolist() == ["bars", *variables]
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == COLUMNS
    assert (table["state"] == "absent").all()
    assert table[["age_days", "coverage", "last_value"]].isna().all(axis=None)
    assert (table[["observations", "quarantined", "reported"]] == 0).all(axis=None)


def test_the_summary_s_columns_are_plain_and_survive_a_preview(variables):
    rows = [observation(VIX, "2025-07-07", "2025-07-08 00:00")]
    table = summary_table(bars_on("2025-07-08"), pd.DataFrame(rows), EMPTY[2], variables, NOON)
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == COLUMNS
    preview = json.loads(table.to_json(orient="split", date_format="iso"))
    assert preview["data"][0][:5] == ["bars", "HIGH", "a", "2025-07-08 17:55", 4000.0]


def test_age_runs_from_publication_to_now_and_ends_at_the_limit(variables):
    assert variables[VIX].ffill_max_days == 5
    rows = [observation(VIX, "2025-07-03", "2025-07-04 00:00", 17.5, source="cboe")]
    seen = summary(variables, observations=rows, as_of=pd.Timestamp("2025-07-08 12:00", tz="UTC")).loc[VIX]
    assert (seen["age_days"], seen["limit_days"], seen["state"]) == (4.5, 5.0, "fresh")
    assert (seen["last_observation"], seen["last_value"], seen["source"]) == ("2025-07-03", 17.5, "cboe")
    later = summary(variables, observations=rows, as_of=NOON).loc[VIX]
    assert (later["age_days"], later["state"], later["last_value"]) == (5.5, "stale", 17.5)


def test_a_value_not_published_yet_is_not_known(variables):
    rows = [
        observation(VIX, "2025-07-07", "2025-07-08 00:00", 17.0),
        observation(VIX, "2025-07-08", "2025-07-09 12:01", 18.0),
    ]
    seen = summary(variables, observations=rows).loc[VIX]
    assert (seen["last_value"], seen["observations"], seen["age_days"]) == (17.0, 1, 1.5)
    assert summary(variables, observations=rows[1:]).loc[VIX, "state"] == "absent"


def test_of_several_prints_of_a_date_the_last_counts_once_and_is_as_old_as_the_first(variables):
    rows = [
        observation(CPI, "2025-05-01", "2025-07-01 00:00", 102.0),
        observation(CPI, "2025-05-01", "2025-06-09 23:00", 100.0),
        observation(CPI, "2025-04-01", "2025-07-08 00:00", 99.0),
    ]
    seen = summary(variables, observations=rows).loc[CPI]
    assert (seen["last_value"], seen["observations"], seen["age_days"]) == (102.0, 2, 29.54)


def test_coverage_of_a_daily_series_counts_the_business_days_that_are_out(variables):
    # 30 June to 8 July without Friday 4 July, a US holiday, and the weekend: 30, 1, 2, 3, 7, 8.
    rows = [
        observation(VIX, day, f"{day} 23:30")
        for day in ("2025-06-30", "2025-07-01", "2025-07-03", "2025-07-05", "2025-07-07")
    ]
    assert summary(variables, observations=rows).loc[VIX, "coverage"] == pytest.approx(4 / 6)
    before = pd.Timestamp("2025-07-08 23:00", tz="UTC")  # that day's close is not out yet
    assert summary(variables, observations=rows, as_of=before).loc[VIX, "coverage"] == pytest.approx(4 / 5)


def test_coverage_of_months_and_quarters_counts_the_periods_that_are_out(variables):
    # Colombian CPI is out on the fifth business day: June's on 8 July, and not before.
    months = ["2025-01-01", "2025-02-01", "2025-04-01", "2025-05-15"]
    rows = [observation(CPI, day, "2025-06-30 00:00") for day in months]
    assert summary(variables, observations=rows).loc[CPI, "coverage"] == pytest.approx(4 / 6)
    before = pd.Timestamp("2025-07-01 12:00", tz="UTC")
    assert summary(variables, observations=rows, as_of=before).loc[CPI, "coverage"] == pytest.approx(4 / 5)
    # US GDP 30 days after the quarter: the first of 2025 is the last one out on 9 July.
    rows = [observation(GDP, day, "2025-06-30 00:00") for day in ("2024-01-01", "2024-07-01", "2025-01-01")]
    assert summary(variables, observations=rows).loc[GDP, "coverage"] == pytest.approx(3 / 5)


def test_a_source_that_publishes_later_owes_its_last_value_later(variables):
    rule = PublicationRule(rule="B+3", time=dt.time(8), zone="America/New_York")
    late = SeriesSource(provider="fred", series="VIXCLS", publication=rule)
    mine = {VIX: variables[VIX].model_copy(update={"fallback": late})}
    days = ("2025-06-30", "2025-07-01", "2025-07-02", "2025-07-03")
    rows = [observation(VIX, day, "2025-07-08 12:00") for day in days]
    assert summary(mine, observations=rows).loc[VIX, "coverage"] == pytest.approx(4 / 6)
    rows = [row | {"source": "fred"} for row in rows]  # of 3 July on 9 July at 12:00 UTC, 8 in New York
    assert summary(mine, observations=rows).loc[VIX, "coverage"] == 1.0


def test_bars_are_fresh_with_the_last_ended_session_and_their_age_has_no_limit(variables):
    bars = bars_on("2025-07-08")
    seen = summary(variables, bars=bars).loc["bars"]
    assert (seen["state"], seen["last_observation"], seen["age_days"]) == ("fresh", "2025-07-08 17:55", 0.75)
    assert np.isnan(seen["limit_days"])
    assert seen["published_at"] == pd.Timestamp("2025-07-08 18:00", tz="UTC")
    over = pd.Timestamp("2025-07-09 13:00", tz=BOGOTA)
    assert summary(variables, bars=bars, as_of=over).loc["bars", "state"] == "stale"


def test_coverage_of_bars_counts_the_slots_closed_by_now(variables):
    # Fifty bars of 7 July from its tenth slot on, none of the 8th, and two of three closed on the 9th.
    now = pd.Timestamp("2025-07-09 08:17", tz=BOGOTA)
    bars = pd.concat([bars_on("2025-07-07", range(10, 60)), bars_on("2025-07-09", [0, 2])])
    seen = summary(variables, bars=bars, as_of=now).loc["bars"]
    assert seen["coverage"] == pytest.approx(52 / (50 + 60 + 3))
    assert seen["observations"] == 52
    assert summary(variables, bars=bars_on("2025-07-07"), as_of=now.normalize()).loc[
        "bars", "coverage"
    ] == pytest.approx(60 / 120)


def test_findings_are_counted_by_subject_and_severity(variables):
    rows = [finding(), finding(minute=5), finding(severity="reported"), finding(subject=VIX)]
    table = summary(variables, findings=[*rows, finding(subject="unknown")])
    assert table.loc["bars", ["quarantined", "reported"]].tolist() == [2, 1]
    assert table.loc[VIX, ["quarantined", "reported"]].tolist() == [1, 0]
    assert table[["quarantined", "reported"]].sum().sum() == 4


# ---- the calendar


def test_each_day_of_the_calendar_is_told_by_its_bars():
    # Monday 30 June 2025 is a holiday in Colombia; 4 and 7 July are sessions, without bars here.
    parts = [("06-27", 60), ("07-01", 59), ("07-02", 47), ("07-03", 23), ("07-05", 1), ("07-08", 48)]
    times = pd.DatetimeIndex(pd.concat([bars_on(f"2025-{day}", range(n)) for day, n in parts]).index)
    calendar = session_calendar(times, NOON)
    kinds = calendar["kind"].set_axis(calendar.index.strftime("%m-%d")).to_dict()
    assert kinds == {
        "06-27": "60 bars", "06-28": "closed day", "06-29": "closed day", "06-30": "closed day",
        "07-01": "48 to 59", "07-02": "24 to 47", "07-03": "1 to 23", "07-04": "none, though scheduled",
        "07-05": "bars on a closed day", "07-06": "closed day", "07-07": "none, though scheduled",
        "07-08": "48 to 59",
    }  # fmt: skip
    assert set(calendar["kind"]) == set(KINDS)
    assert calendar["bars"].sum() == 60 + 59 + 47 + 23 + 1 + 48


def test_a_session_enters_the_calendar_once_it_is_over():
    times = pd.DatetimeIndex(pd.concat([bars_on("2025-07-08"), bars_on("2025-07-09", range(3))]).index)
    assert len(session_calendar(times, pd.Timestamp("2025-07-09 12:59", tz=BOGOTA))) == 1
    over = session_calendar(times, pd.Timestamp("2025-07-09 13:00", tz=BOGOTA))
    assert over["kind"].tolist() == ["60 bars", "1 to 23"]
    assert session_calendar(times[60:], NOON).empty


def test_sessions_of_the_calendar_are_those_of_the_schedule():
    times = pd.DatetimeIndex(pd.concat([bars_on("2020-01-02"), bars_on("2025-07-08")]).index)
    kinds = session_calendar(times, NOON)["kind"]
    missing = kinds.index[kinds == "none, though scheduled"].to_numpy("datetime64[D]")
    sessions = scheduled_sessions(dt.date(2020, 1, 2), dt.date(2025, 7, 8))
    assert np.array_equal(missing, sessions[1:-1])


# ---- the page


def test_flat_shares_stand_by_source_and_by_year(variables):
    parts = [bars_on("2024-12-27", range(30), "a", True), bars_on("2024-12-27", range(30, 60), "a")]
    parts += [bars_on("2025-07-07", range(15), "a", True), bars_on("2025-07-08", range(60), "b")]
    page = body(in_english(render_quality(pd.concat(parts), *EMPTY[1:], variables, NOON)))
    assert "<tr><td>a<td class=n>75<td class=n>60.0%<tr><td>b<td class=n>60<td class=n>0.0%" in page
    flat = page[page.index('id="flat-bars"') :]
    drawn = [json.loads(f"[{ys}]".replace("null", "-1")) for ys in re.findall(r'"y":\[([^]]*)\]', flat)]
    assert drawn == [[0.5, 1.0], [-1, 0.0]]


def test_the_page_shows_a_value_carried_forward_as_its_age(variables):
    rows = [observation(VIX, "2025-07-03", "2025-07-04 00:00", 17.5)]
    page = render_quality(EMPTY[0], pd.DataFrame(rows), EMPTY[2], variables, NOON)
    row = re.search(r"(?s)<tr><td><b>volt_<wbr>vix.*?(?=<tr)", page)
    assert row and "5.5 of 5 d" in row[0] and "background:#c0563b" in row[0]
    assert f"{VIX} (stale)" in page
    fresh = render_quality(EMPTY[0], pd.DataFrame(rows), EMPTY[2], variables, NOON - pd.Timedelta(days=3))
    row = re.search(r"(?s)<tr><td><b>volt_<wbr>vix.*?(?=<tr)", fresh)
    assert row and "2.5 of 5 d" in row[0] and "width:33.3%;background:#2f7f79" in row[0]


def test_findings_stand_by_rule_with_their_first_five_examples(variables):
    rows = [finding(minute=m, detail=f"example {m}") for m in reversed(range(7))]
    rows += [finding("gap", "reported", f"v{k}", detail="a hole") for k in range(70)]
    page = render_quality(*EMPTY[:2], pd.DataFrame(rows), variables, NOON)
    spike, gap = re.findall(r"(?s)<details class=rule>.*?</details>", page)
    assert re.findall(r"example \d", spike) == [f"example {m}" for m in range(5)]
    assert "<span class=n>7</span>" in spike and "quarantined" in spike
    assert "70 subjects" in gap and "and 10 more" in gap and gap.count("a hole") == 5


@pytest.mark.parametrize("feed", ["bars", "findings", "observations"])
def test_text_that_came_with_the_data_stays_text(variables, feed):
    bars, observations, findings = EMPTY
    if feed == "bars":
        bars = bars_on("2025-07-08", source=HOSTILE, flat=True)
    elif feed == "findings":
        texts = dict.fromkeys(["rule", "severity", "subject", "source", "detail"], HOSTILE)
        findings = pd.DataFrame([finding() | texts, finding() | texts | {"subject": "other"}])
    else:
        observations = pd.DataFrame([observation(VIX, "2025-07-07", "2025-07-08", source=HOSTILE)])
    page = body(render_quality(bars, observations, findings, variables, NOON))
    assert "&lt;/script&gt;&lt;script&gt;document" in page
    assert "<script>document" not in page and "<img" not in page
    assert "onerror=alert(1)>" not in page


def test_huge_texts_are_cut(variables):
    page = render_quality(*EMPTY[:2], pd.DataFrame([finding(detail="x" * 100_000)]), variables, NOON)
    assert "x" * 297 + "..." in page and "x" * 298 not in page


def test_without_data_the_page_says_so(variables):
    page = render_quality(*EMPTY, variables, NOON)
    assert page.count("No bars are stored.") == 2
    assert "Nothing was found." in page
    assert page.count("no value; limit") == len(variables)
    assert english_in_spanish(page) == []
    assert "plotly.js v" not in page


def test_empty_tables_of_the_database_are_empty_inputs(variables, tmp_path):
    from dosvotos.database.connection import connect
    from dosvotos.database.market_data import BarTable, MacroTables
    from dosvotos.database.quarantine import QuarantineTable

    engine = connect(f"sqlite:///{copy_migrated(tmp_path / 'empty.db')}")
    tables = (table(engine, "USD/COP", "market") for table in (BarTable, MacroTables, QuarantineTable))
    frames = [table.as_of(NOON) for table in tables]
    assert render_quality(*frames, variables, NOON) == render_quality(*EMPTY, variables, NOON)
    engine.dispose()


def test_a_page_is_whole_small_and_the_same_again(variables):
    market = bars_on("2025-07-08"), pd.DataFrame([observation(VIX, "2025-07-07", "2025-07-08")]), EMPTY[2]
    page = render_quality(*market, variables, NOON)
    assert page == render_quality(*market, variables, NOON)
    assert len(page.encode()) < 6_000_000
    assert page.count("plotly.js v") == 1
    assert english_in_spanish(page) == []
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*\b(?:src|href)=", body(page))


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}")
def test_in_a_browser_it_draws_filters_asks_nobody_and_runs_nothing_foreign(variables, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    texts = dict.fromkeys(["rule", "subject", "source", "detail"], HOSTILE)
    findings = pd.DataFrame([finding() | texts, finding("gap", detail="a hole")])
    bars = bars_on("2025-07-08", source=HOSTILE, flat=True)
    path = tmp_path / "page.html"
    path.write_text(render_quality(bars, EMPTY[1], findings, variables, NOON))
    asked, said = [], []
    with sync_api.sync_playwright() as playwright:
        args = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=args)
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_selector("#flat-bars .barlayer")
        assert page.locator("#calendar .heatmaplayer image").count() == 1
        assert "</script>" in page.locator("#flat-bars .legendtext").first.text_content()
        page.fill("#filter", "HOLE")
        assert page.locator("details.rule:visible").count() == 1
        assert page.locator("#shown").inner_text() == "1 of 2"
        assert page.title() == "Data quality"
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert said == []
