"""A live fetch end to end: the real clients against local providers with a known truth."""

from contextlib import contextmanager
from datetime import date, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from dosvotos.contracts.acquisition import LiveParams, MacroVariable
from dosvotos.database.market_data import MacroTables, StoredMarket
from dosvotos.market.calendar import BAR
from dosvotos.quality.findings import BARS
from dosvotos.sources import live as live_sources
from dosvotos.sources import providers
from dosvotos.sources.checks import add_published_at
from dosvotos.sources.live import LiveMarket, Watermarks, fetch_live
from dosvotos.sources.providers import yahoo
from tests.checked_market import check_delivery
from tests.conftest import ROOT
from tests.sources.fake_providers import FIRST, FakeProviders
from tests.sources.local_server import Reply, live_params, serving

NOW = pd.Timestamp("2025-12-19 23:30", tz="UTC")
NOTHING = Watermarks(None, {})
DXY, VIX, EMBI = "fxrt_index_dxy_usa_d_dxy", "volt_vix_usa_d_vix", "crsk_spread_embi_col_d_embi"
CPI, TPM, CACCT = (
    "infl_cpi_all_usa_m_cpiaucsl",
    "polr_policy_rate_col_d_tpm",
    "rsbp_current_account_col_q_cacct",
)
WITHOUT_ANSWER = {
    "infl_pce_usa_m_pcepi", "gdpp_real_gdp_usa_q_gdp_q", "infl_exp_eof_col_m_infexp",
    "crsk_sentiment_cci_col_m_cci", "crsk_sentiment_ici_col_m_ici", CACCT,
}  # fmt: skip


@pytest.fixture
def fakes(variables):
    return FakeProviders(variables, NOW)


@contextmanager
def settings_of(fakes: FakeProviders, tmp_path, **changes):
    """Live parameters that ask the fake providers; FRED stays off and no drop-in file is there."""
    with serving(fakes) as base_url:
        tree = live_params(
            base_url, start=date(2025, 1, 1), drop_in_folder=str(tmp_path), **changes
        ).model_dump()
        tree["providers"]["fred"]["enabled"] = False
        yield LiveParams.model_validate(tree)


def fetch(
    fakes: FakeProviders, settings: LiveParams, stored: Watermarks = NOTHING, names: list[str] | None = None
):
    chosen = {name: fakes.variables[name] for name in names or fakes.variables}
    keys = {"twelvedata": "key-0123456789"}
    return fetch_live(chosen, settings, keys, stored, fakes.today, lambda _: None)


def outcome_of(live: LiveMarket, subject: str):
    return next(outcome for outcome in live.outcomes if outcome.subject == subject)


def values_of(live: LiveMarket, name: str) -> dict[date, float]:
    rows = live.market.macro[live.market.macro["variable"] == name]
    return dict(zip(rows["observation_date"], rows["value"], strict=True))


def test_every_variable_comes_from_its_primary_source_as_the_truth_has_it(fakes, tmp_path):
    with settings_of(fakes, tmp_path) as settings:
        live = fetch(fakes, settings)
    assert {o.subject for o in live.outcomes if o.source is None} == WITHOUT_ANSWER
    for name in set(fakes.variables) - WITHOUT_ANSWER:
        truth = {day: value for day, value in fakes.truth(name).items() if day >= FIRST}
        fetched = {day: value for day, value in values_of(live, name).items() if day >= FIRST}
        assert fetched == pytest.approx(truth), name
        assert outcome_of(live, name).source == fakes.variables[name].primary.provider, name
    assert (
        check_delivery(live.market.bars, live.market.macro).findings.query("severity == 'quarantined'").empty
    )


def test_the_bars_of_both_sources_are_one_market(fakes, tmp_path):
    with settings_of(fakes, tmp_path) as settings:
        live = fetch(fakes, settings, names=[VIX])
    bars, truth = live.market.bars, fakes.bars()
    assert outcome_of(live, BARS).source == "twelvedata, yahoo"
    assert list(bars["timestamp"]) == list(truth.index)
    assert bars["close"].tolist() == truth["close"].tolist()
    assert set(bars["source"]) == {"twelvedata"}


def test_a_provider_whose_bars_are_labelled_by_closes_is_left_out_and_told(fakes, tmp_path, monkeypatch):
    def closes(*asked):
        bars = yahoo.fetch_bars(*asked)
        return bars.assign(timestamp=bars["timestamp"] + BAR)

    late = SimpleNamespace(fetch_bars=closes)
    real_module = live_sources.provider_module
    monkeypatch.setattr(live_sources, "provider_module", lambda n: late if n == "yahoo" else real_module(n))
    with settings_of(fakes, tmp_path) as settings:
        live = fetch_live({}, settings, {"twelvedata": "key-0123456789"}, NOTHING, NOW, lambda _: None)
    outcome = outcome_of(live, BARS)
    (note,) = [note for note in outcome.notes if note.startswith("yahoo")]
    assert (
        note.startswith("yahoo COP=X: ") and "have a bar labelled 13:00 in Bogota and none at 08:00" in note
    )
    assert note.endswith("; leave it out of data_acquisition.live.bars")
    assert "yahoo" not in set(live.market.bars["source"])


def test_without_a_key_yahoo_gives_the_last_sixty_days(fakes, tmp_path):
    with settings_of(fakes, tmp_path) as settings:
        live = fetch_live({}, settings, {}, NOTHING, NOW, lambda _: None)
    outcome = outcome_of(live, BARS)
    assert outcome.source == "yahoo" and "TWELVEDATA_API_KEY" in outcome.notes[0]
    reach = NOW - live.market.bars["timestamp"].iloc[0]
    assert timedelta(days=55) < reach < timedelta(days=60)


def test_a_second_run_asks_only_for_what_is_due_and_stores_only_what_is_new(fakes, tmp_path, engine):
    bar_table, macro = StoredMarket(engine, "USD/COP", "market").tables
    daily = [DXY, VIX, EMBI, TPM, CPI]
    with settings_of(fakes, tmp_path) as settings:

        def run():
            state, series = bar_table.state(fakes.today), macro.state(fakes.today)
            last = {name: found.last_observation for name, found in series.items()}
            live = fetch(fakes, settings, Watermarks(state and state.last, last), daily)
            checked = check_delivery(live.market.bars, live.market.macro)
            stored = macro.store(checked.macro, fakes.today)
            return live, bar_table.store(checked.bars, fakes.today), stored

        _, bars, observations = run()
        assert bars.new == len(fakes.bars()) and observations.new > 200
        fakes.today += pd.Timedelta(minutes=1)
        fakes.calls.clear()
        live, bars, observations = run()
        assert (bars, observations) == ((0, 0, 0), (0, 0, 0))
        assert [o.due for o in live.outcomes] == [True, False, False, False, False, True]
        assert not fakes.called("/api/global") and len(fakes.called("/publicAPI")) == 1
        fakes.today += pd.Timedelta(days=3)
        live, bars, observations = run()
        assert bars == (60, 0, 0)
        assert observations == (4, 0, 0)  # Monday's DXY, VIX and TPM, and EMBI of Thursday; no CPI


def test_a_revision_is_a_new_row_known_from_its_fetch(fakes, tmp_path, engine):
    macro, month = MacroTables(engine, "USD/COP", "market"), date(2025, 10, 1)
    before = fakes.truth(CPI)[month]
    revised = round(before * 1.004, 3)
    with settings_of(fakes, tmp_path) as settings:
        first = check_delivery(macro=fetch(fakes, settings, names=[CPI]).market.macro).macro
        macro.store(first, fakes.today)
        fakes.revise(CPI, month, revised)
        fakes.today += pd.Timedelta(days=1)
        again = check_delivery(macro=fetch(fakes, settings, names=[CPI]).market.macro).macro
        assert macro.store(again, fakes.today) == (0, 1, 0)
    known = macro.as_of(fakes.today)
    october = known[known["observation_date"] == month]
    assert october["value"].tolist() == [before, revised]
    assert october["published_at"].tolist() == [pd.Timestamp("2025-11-15 13:30", tz="UTC"), fakes.today]


def test_one_provider_s_failure_is_told_and_loses_nobody_else_s_data(fakes, tmp_path):
    fakes.answer("/api/global/us_indices/*", Reply("down for maintenance", 503, "text/plain"))
    fakes.answer("/publicAPI/*", Reply("<html>sorry</html>", content_type="text/html"))
    with settings_of(fakes, tmp_path) as settings:
        live = fetch(fakes, settings, names=[VIX, CPI, DXY])
    vix = outcome_of(live, VIX)
    assert vix.source == "yahoo" and "cboe" in vix.notes[0] and "503" in vix.notes[0]
    assert values_of(live, VIX) == pytest.approx(fakes.truth(VIX))
    cpi = outcome_of(live, CPI)
    assert cpi.source is None and "web page" in cpi.notes[0] and "fred: off" in cpi.notes[1]
    assert values_of(live, DXY) == pytest.approx(fakes.truth(DXY))


def test_a_series_that_does_not_state_its_name_is_not_taken(fakes, tmp_path):
    other = {
        "id": 59, "nombre": "Tasa de captacion CDT 90", "unidad": "%", "isSerie": "SI",
        "descripcionPeriodicidad": "Diaria", "data": [[1765861200000, 9.25]],
    }  # fmt: skip
    fakes.answer("/estadisticas-economicas-back/*", Reply([other]))
    with settings_of(fakes, tmp_path) as settings:
        outcome = outcome_of(fetch(fakes, settings, names=[TPM]), TPM)
    assert outcome.source is None
    assert "must state ['politica monetaria']" in outcome.notes[0] and "captacion CDT 90" in outcome.notes[0]


def test_what_cannot_be_known_yet_is_left_out_and_said(fakes, tmp_path):
    """TPM is dated ahead, and at noon today's close of VIX is not one."""
    tomorrow = NOW.date() + timedelta(days=1)
    ahead = [[1766120400000 + 86_400_000 * k, 9.25] for k in range(3)]
    record = {
        "id": 59, "nombre": "Tasa de política monetaria", "unidad": "%", "isSerie": "SI",
        "descripcionPeriodicidad": "Diaria", "data": ahead,
    }  # fmt: skip
    fakes.answer("/estadisticas-economicas-back/*", Reply([record]))
    fakes.answer(
        "/api/global/us_indices/*",
        Reply(
            "DATE,OPEN,HIGH,LOW,CLOSE\n12/18/2025,16,16,16,16\n12/19/2025,17,17,17,17\n",
            content_type="text/csv",
        ),
    )
    fakes.today = pd.Timestamp("2025-12-19 17:00", tz="UTC")
    with settings_of(fakes, tmp_path) as settings:
        live = fetch(fakes, settings, names=[TPM, VIX])
    assert list(values_of(live, TPM)) == [date(2025, 12, 19)] and tomorrow not in values_of(live, TPM)
    assert outcome_of(live, TPM).notes == ("2 observation(s) ahead of their time left out",)
    assert values_of(live, VIX) == {date(2025, 12, 18): 16.0}
    assert outcome_of(live, VIX).notes == ("1 observation(s) ahead of their time left out",)


def test_a_defect_in_one_module_does_not_lose_another_s_data(fakes, tmp_path, monkeypatch):
    def broken(request, client):
        raise KeyError("surprise")

    monkeypatch.setattr(providers.provider_module("cboe"), "fetch", broken)
    with settings_of(fakes, tmp_path) as settings:
        live = fetch(fakes, settings, names=[VIX, TPM])
    assert outcome_of(live, VIX).notes[0] == "cboe: defect, KeyError: 'surprise'"
    assert outcome_of(live, VIX).source == "yahoo" and values_of(live, TPM)


def test_a_provider_that_is_off_says_how_to_turn_it_on(fakes, tmp_path):
    with settings_of(fakes, tmp_path) as settings:
        outcome = outcome_of(fetch(fakes, settings, names=["infl_pce_usa_m_pcepi"]), "infl_pce_usa_m_pcepi")
    assert "data_acquisition.live.providers.fred.enabled=true" in outcome.notes[0]


def test_the_documented_new_variable_needs_no_code(fakes, tmp_path):
    text = (
        (ROOT / "docs/data.md")
        .read_text()
        .split("### Adding a variable")[1]
        .split("```yaml\n")[1]
        .split("```")[0]
    )
    ((name, entry),) = yaml.safe_load(text).items()
    fakes.variables = {**fakes.variables, name: MacroVariable.model_validate(entry)}
    with settings_of(fakes, tmp_path) as settings:
        live = fetch(fakes, settings, names=[name])
    assert values_of(live, name) == pytest.approx(fakes.truth(name))
    assert add_published_at(live.market.macro, fakes.variables)["published_at"].notna().all()


def test_one_value_out_of_range_is_put_aside_and_the_rest_stays(fakes, tmp_path):
    fakes.revise(VIX, date(2025, 12, 18), 1_650.0)
    with settings_of(fakes, tmp_path) as settings:
        live = fetch(fakes, settings, names=[VIX, DXY])
    checked = check_delivery(macro=live.market.macro)
    assert len(checked.macro) == len(live.market.macro) - 1
    found = checked.findings.query("severity == 'quarantined'")
    assert found[["subject", "value", "source"]].values.tolist() == [[VIX, 1650.0, "cboe"]]


def test_scaled_values_are_in_the_variable_s_unit(fakes, tmp_path):
    name = "ftrd_exports_total_col_m_expusd"
    with settings_of(fakes, tmp_path) as settings:
        live = fetch(fakes, settings, names=[name])
    assert values_of(live, name)[date(2025, 9, 1)] == pytest.approx(fakes.truth(name)[date(2025, 9, 1)])
