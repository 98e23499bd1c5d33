import datetime as dt
import re
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dosvotos.quality
from dosvotos.market.calendar import published_at, session_bar_times
from dosvotos.quality.bars import judge_bars
from dosvotos.quality.report import RULES, render_report
from dosvotos.quality.summary import source_table, summary_table

DXY = "fxrt_index_dxy_usa_d_dxy"
CPI = "infl_cpi_all_usa_m_cpiaucsl"
FED_FUNDS = "polr_fed_funds_usa_m_fedfunds"
CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = "</script><script>alert(1)</script><img src=http://evil.test/a.png onerror=alert(2)>"


def observations(variables, name: str, days: list[dt.date], values: list[float]) -> pd.DataFrame:
    published = published_at(days, variables[name].publication)
    rows = {"variable": name, "observation_date": days, "published_at": published, "value": values}
    return pd.DataFrame(rows).assign(vintage="final", source="files")


def bars(n_days: int = 3) -> pd.DataFrame:
    days = ("2025-07-01", "2025-07-02", "2025-07-03")[:n_days]
    times = pd.DatetimeIndex(
        np.concatenate([session_bar_times(np.datetime64(day)) for day in days]), tz="UTC"
    )
    close = 4000 + np.sin(np.arange(len(times)))
    prices = {"open": close, "high": close + 1, "low": close - 1, "close": close}
    return pd.DataFrame({"timestamp": times.as_unit("us"), **prices}).assign(volume=0, source="a")


@pytest.fixture
def some_findings(bar_limits):
    spoilt = pd.concat([bars(), bars(1).assign(timestamp=lambda b: b["timestamp"] - pd.Timedelta(hours=1))])
    return judge_bars(spoilt, bar_limits, pd.Timestamp("2025-07-03 18:00", tz="UTC")).findings


NOW = pd.Timestamp("2025-07-03 23:00", tz="UTC")


# ---- tables


def test_the_summary_says_value_age_and_coverage_of_what_is_known(variables, some_findings):
    """27 and 30 June and 1 July are due, and known; the 2nd is missing, the 3rd comes at 18:00 New York."""
    days = [dt.date(2025, 6, 27), dt.date(2025, 6, 30), dt.date(2025, 7, 1), dt.date(2025, 7, 3)]
    stored = observations(variables, DXY, days, [97.4, 96.9, 96.8, 97.1])
    now = pd.Timestamp("2025-07-03 12:00", tz="UTC")
    table = summary_table(stored, some_findings, variables, now).set_index("variable")
    assert len(table) == 40
    row = table.loc[DXY]
    assert row["last_value"] == 96.8
    assert row["observation_date"] == dt.date(2025, 7, 1)
    assert row["published_at"] == pd.Timestamp("2025-07-01 18:00", tz="America/New_York")
    assert row["age_days"] == pytest.approx(38 / 24)
    assert row["coverage"] == pytest.approx(3 / 4)
    assert (row["observations"], row["used_by"], row["state"]) == (3, "features", "fresh")
    assert table.loc[CPI, "state"] == "absent"
    assert np.isnan(table.loc[CPI, "last_value"])


@pytest.mark.parametrize(
    ("age", "state"), [(3.7, "fresh"), (3.8, "ageing"), (5.0, "ageing"), (5.01, "stale")]
)
def test_an_old_value_shows_its_age_and_is_never_carried_forward(variables, some_findings, age, state):
    stored = observations(variables, DXY, [dt.date(2025, 6, 20)], [98.0])
    now = stored["published_at"][0] + pd.Timedelta(days=age)
    row = summary_table(stored, some_findings, variables, now).set_index("variable").loc[DXY]
    assert (row["state"], row["limit_days"], row["observations"]) == (state, 5, 1)
    assert row["age_days"] == pytest.approx(age)


def test_monthly_coverage_counts_the_months_due_by_now(variables, some_findings):
    """January's index is due on 15 February, February's on 15 March, March's on 15 April."""
    stored = observations(variables, CPI, [dt.date(2025, 1, 1), dt.date(2025, 3, 1)], [319.0, 319.6])
    for now, coverage, value in [("2025-04-14", 1 / 2, 319.0), ("2025-04-16", 2 / 3, 319.6)]:
        moment = pd.Timestamp(now, tz="UTC")
        row = summary_table(stored, some_findings, variables, moment).set_index("variable").loc[CPI]
        assert (row["coverage"], row["last_value"]) == (pytest.approx(coverage), value)


def test_the_latest_revision_known_gives_the_value(variables, some_findings):
    first = observations(variables, CPI, [dt.date(2025, 1, 1)], [319.0])
    revised = first.assign(value=319.2, published_at=first["published_at"] + pd.Timedelta(days=30))
    both = pd.concat([first, revised])
    for days, value in [(29, 319.0), (31, 319.2)]:
        now = first["published_at"][0] + pd.Timedelta(days=days)
        row = summary_table(both, some_findings, variables, now).set_index("variable").loc[CPI]
        assert (row["last_value"], row["observations"]) == (value, 1)


def test_variables_behind_features_come_first_then_those_behind_financing(variables, some_findings):
    stored = observations(variables, DXY, [dt.date(2025, 6, 20)], [98.0])
    table = summary_table(stored, some_findings, variables, NOW)
    assert table["used_by"].tolist() == ["features"] * 7 + ["financing"] * 2 + [""] * 31


def test_sources_show_their_flat_share_and_what_was_put_aside(some_findings):
    flat = bars(1).assign(
        source="b", open=lambda b: b["close"], high=lambda b: b["close"], low=lambda b: b["close"]
    )
    table = source_table(pd.concat([bars(), flat]), some_findings)
    assert table[["source", "bars", "flat_share", "quarantined"]].values.tolist() == [
        ["a", 180, 0.0, int((some_findings["severity"] == "quarantined").sum())],
        ["b", 60, 1.0, 0],
    ]


def test_a_source_all_of_whose_bars_were_put_aside_is_listed_too(some_findings):
    table = source_table(bars().assign(source="b"), some_findings)
    assert table[["source", "bars"]].values.tolist() == [["a", 0], ["b", 180]]


# ---- the page


@pytest.fixture
def page(variables, some_findings) -> str:
    stored = pd.concat(
        [
            observations(variables, DXY, [dt.date(2025, 7, 1), dt.date(2025, 7, 2)], [96.8, 96.7]),
            observations(variables, FED_FUNDS, [dt.date(2025, 1, 1)], [4.33]),
        ]
    )
    return render_report(bars(), stored, some_findings, variables, NOW)


def table_row(page: str, name: str) -> str:
    return next(row for row in page.split("<tr>") if f"<small>{name}</small>" in row)


def test_the_page_shows_value_age_and_limit_of_each_variable(page):
    assert "96.7" in table_row(page, DXY)
    assert "1.0 of 5 days, fresh" in table_row(page, DXY)
    assert "148.1 of 35 days, stale" in table_row(page, FED_FUNDS)
    assert "absent" in table_row(page, CPI)


def test_the_page_lists_each_rule_with_its_count_and_examples(page, some_findings):
    row = next(row for row in page.split("<tr>") if "<b>off_session</b>" in row)
    assert ">12<" in row
    assert some_findings["detail"][0] in row
    assert RULES["off_session"] in row


def test_the_page_is_whole_by_itself_and_small_enough_to_send(page):
    body = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=", body)
    assert "default-src 'none'" in page
    assert len(page) < 6e6


def test_texts_of_findings_and_sources_are_never_markup(variables, some_findings):
    hostile = some_findings.assign(rule=HOSTILE, detail=HOSTILE, subject=HOSTILE, source=HOSTILE)
    stored = observations(variables, DXY, [dt.date(2025, 7, 1)], [96.8])
    page = render_report(bars().assign(source=HOSTILE), stored, hostile, variables, NOW, title=HOSTILE)
    assert HOSTILE not in page
    assert "<script>alert(1)" not in page
    assert "onerror=alert(2)>" not in page.replace(escape(HOSTILE), "")
    assert escape(HOSTILE) in page


def test_an_empty_store_has_a_page_too(variables, some_findings):
    nothing = observations(variables, DXY, [], [])
    page = render_report(bars().iloc[:0], nothing, some_findings.iloc[:0], variables, NOW)
    assert "No bars." in page
    assert "Nothing was found." in page


def test_every_rule_in_the_code_has_its_line_and_every_line_its_rule():
    sources = "".join(path.read_text() for path in Path(dosvotos.quality.__path__[0]).glob("*.py"))
    code = sources.split("RULES: Final")[0] + sources.split('"""What each rule says')[1]
    for rule in RULES:
        assert f'"{rule}"' in code, rule
    used = set(re.findall(r'(?:take_out|report|_report)\((?:sieve, line, )?"(\w+)"', code))
    assert used
    assert used <= set(RULES)


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}")
def test_in_a_browser_the_page_draws_filters_and_asks_nobody(variables, some_findings, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    hostile = some_findings.iloc[[0]].assign(detail=HOSTILE, rule="hostile")
    stored = observations(variables, DXY, [dt.date(2025, 7, 1), dt.date(2025, 7, 2)], [96.8, 96.7])
    findings = pd.concat([some_findings, hostile])
    (tmp_path / "page.html").write_text(render_report(bars(), stored, findings, variables, NOW, HOSTILE))
    problems: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith(("file:", "data:", "blob:")) else problems.append(asked.url)
            ),
        )
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_selector(".heatmaplayer image, .heatmaplayer path")
        page.fill("#filter", "hostile")
        assert page.locator("#findings tbody tr:visible").count() == 1
        browser.close()
    assert problems == []
