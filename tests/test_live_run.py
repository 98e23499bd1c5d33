"""L0 from live sources as a person runs it: what is printed, the exit code, what survives a killed run."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from dosvotos.database.market_data import MacroTables, StoredMarket
from dosvotos.errors import StaleDataError
from tests.project import Project, copied_project, new_project
from tests.sources.fake_providers import FakeProviders
from tests.sources.local_server import Reply, live_params, serving

pytestmark = pytest.mark.slow

NOW = pd.Timestamp("2025-12-19 23:30", tz="UTC")
VIX, DXY = "volt_vix_usa_d_vix", "fxrt_index_dxy_usa_d_dxy"
KEY = "canary-7c1f0e55"


@pytest.fixture(scope="module")
def world(variables):
    made = FakeProviders(variables, NOW)
    with serving(made) as base_url:
        made.base_url = base_url
        yield made


@pytest.fixture
def project(world, tmp_path) -> Project:
    return laid_out(world, tmp_path)


@pytest.fixture(scope="module")
def first_run(world, tmp_path_factory) -> Project:
    made = laid_out(world, tmp_path_factory.mktemp("first"))
    run(made, world)
    return made


@pytest.fixture
def stored(first_run, tmp_path) -> Project:
    return copied_project(first_run, tmp_path)


def laid_out(world: FakeProviders, folder: Path) -> Project:
    made = new_project(folder)
    live = live_params(world.base_url, start="2025-01-01").model_dump(mode="json")
    live["providers"]["fred"]["enabled"] = False
    conf = folder / "conf/live_desk"
    conf.mkdir()
    (conf / "globals.yml").write_text("experiment: live_desk\ninstrument: USD/COP\n")
    (conf / "parameters.yml").write_text(
        yaml.safe_dump({"data_acquisition": {"source": "live", "live": live}, "inference": {"clock": "wall"}})
    )
    return made


def words(world: FakeProviders) -> list[str]:
    return [
        "kedro", "run", "--pipelines", "data_acquisition", "--env", "live_desk",
        "--params", f"data_acquisition.as_of={world.today.isoformat()}",
    ]  # fmt: skip


def run(project: Project, world: FakeProviders) -> None:
    project.run("live_desk", "data_acquisition", data_acquisition={"as_of": world.today.isoformat()})


def test_a_run_prints_one_row_a_variable_and_tells_no_secret(project, world):
    done = project.command(*words(world), TWELVEDATA_API_KEY=KEY)
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.strip().startswith(VIX))
    assert row.split()[:8] == [VIX, "cboe", "2025-12-18", "2025-12-19", "01:00", "0.9", "of", "5"]
    assert "twelvedata, yahoo" in done.stdout
    assert "infl_pce_usa_m_pcepi: fred: off, since its terms need your consent" in done.stdout
    assert world.called("/time_series")[0].headers["Authorization"] == f"apikey {KEY}"
    written = [path for path in project.root.rglob("*") if path.is_file()]
    assert KEY not in done.stdout + done.stderr
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


def test_a_high_variable_past_its_limit_ends_with_exit_code_3_and_the_rest_is_stored(stored, world):
    before, route = world.today, world.routes()
    try:
        world.today = pd.Timestamp("2025-12-29 23:30", tz="UTC")
        world.answer("/api/global/us_indices/*", Reply("down", 503, "text/plain"))
        world.answer("/v8/finance/chart/^VIX", Reply("down", 503, "text/plain"))
        world.answer("/v8/finance/chart/%5EVIX", Reply("down", 503, "text/plain"))
        done = stored.command(*words(world))
        assert done.returncode == 3, done.stdout + done.stderr
        assert f"- {VIX}: last 2025-12-1" in done.stderr and "limit 5; cboe" in done.stderr
        assert "Traceback" not in done.stderr and DXY not in done.stderr
        state = MacroTables(stored.engine, "USD/COP", "market").state(world.today)
        assert str(state[DXY].last_observation) == "2025-12-29"
        with pytest.raises(StaleDataError, match=VIX):
            world.today += pd.Timedelta(minutes=5)
            run(stored, world)
    finally:
        world.today = before
        world.restore(route)


@pytest.mark.campaign
def test_a_killed_run_loses_nothing_stored_and_the_next_one_completes_it(stored, world):
    bars, macro = StoredMarket(stored.engine, "USD/COP", "market").tables
    before_it = bars.state(NOW), macro.state(NOW)
    before, route = world.today, world.routes()
    try:
        world.today = NOW + pd.Timedelta(days=3)
        world.answer("/files/operaciones/*", Reply("slow", 404, "text/plain", delay=20))
        world.calls.clear()
        running = subprocess.Popen(
            [Path(sys.executable).with_name("kedro"), *words(world)[1:]], cwd=stored.root,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        patience = time.monotonic() + 60
        while not world.called("/files/operaciones/") and time.monotonic() < patience:
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
        assert (bars.state(NOW), macro.state(NOW)) == before_it
        world.restore(route)
        run(stored, world)
        assert bars.state(world.today).new == 60
        assert macro.state(world.today)[DXY].new == 1
    finally:
        world.today = before
        world.restore(route)
