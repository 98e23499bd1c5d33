"""Deliveries as their sender lives them: each step a command, each answer read."""

from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import select

from dosvotos.database.connection import reading
from dosvotos.database.deliveries import list_deliveries
from dosvotos.database.market_data import BarTable
from dosvotos.database.tables import usdcop_m5_ohlcv
from tests.project import Project, new_project
from tests.quality.test_levels import BARS, MACRO, SESSIONS, of_sessions, scaled, window

pytestmark = pytest.mark.slow
ENV = "walk"
WHY = "the vendor's closes were half a percent too high"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = new_project(tmp_path / "project")
    conf = project.root / "conf" / ENV
    conf.mkdir()
    (conf / "globals.yml").write_text(f"experiment: {ENV}\ninstrument: USD/COP\n")
    (conf / "parameters.yml").write_text("experiment:\n  description: a walk\n")
    return project


def lay(project: Project, name: str, bars: pd.DataFrame) -> str:
    folder = project.root / name
    folder.mkdir()
    bars.drop(columns="source").to_csv(folder / "usdcop_5m.csv", index=False)
    last = str(pd.Timestamp(bars["timestamp"].max()).date())
    days = MACRO["observation_date"].astype(str)
    recent = MACRO[MACRO["variable"].str.contains("_d_") & (days <= last) & (days >= str(SESSIONS[380]))]
    recent[["variable", "observation_date", "value"]].to_csv(folder / "macro_daily.csv", index=False)
    return name


def deliver(project: Project, folder: str, hour: int, *params: str) -> tuple[int, str]:
    moment = f"data_acquisition.as_of={pd.Timestamp(SESSIONS[405]).date()}T{hour}:00:00+00:00"
    source = "data_acquisition.source=files", f"data_acquisition.folder={folder}", moment, *params
    words = "run", "--pipelines", "data_acquisition", "--env", ENV, "--params", ",".join(source)
    done = project.command("kedro", *words, COLUMNS="300")
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def stored_closes(project: Project) -> pd.Series:
    return BarTable(project.engine, "USD/COP", "market").frame()["close"]


def test_a_delivery_is_retracted_and_the_corrected_file_takes_its_place(project):
    right = window(400, 4)
    wrong = scaled(right, 1.005, of_sessions(right, 2, 3))
    code, said = deliver(project, lay(project, "wrong", wrong), 20)
    assert code in (0, 3), said
    assert stored_closes(project).to_numpy() == pytest.approx(wrong["close"].to_numpy())

    code, said = deliver(project, lay(project, "again", wrong), 21)
    assert code in (0, 3), said
    with reading(project.engine) as connection:
        n_rows = len(connection.execute(select(usdcop_m5_ohlcv.c.timestamp)).all())
    assert n_rows == len(wrong), "the same file again stores nothing twice"

    unknown = project.command("dosvotos", "data", "retract", "99", "--reason", WHY)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("error: delivery 99: does not exist; 'dosvotos data list' shows")
    gone = project.command("dosvotos", "data", "retract", "1", "--reason", WHY)
    assert gone.returncode == 0 and f"{len(wrong)} bars" in gone.stdout, gone.stderr
    twice = project.command("dosvotos", "data", "retract", "1", "--reason", WHY)
    assert twice.returncode == 1 and "delivery 1: was retracted" in twice.stderr and WHY in twice.stderr
    assert stored_closes(project).empty

    code, said = deliver(project, lay(project, "right", right), 22)
    assert code in (0, 3), said
    assert stored_closes(project).to_numpy() == pytest.approx(right["close"].to_numpy())
    before = pd.Timestamp(f"{pd.Timestamp(SESSIONS[405]).date()} 21:30", tz="UTC").to_pydatetime()
    then = BarTable(project.engine, "USD/COP", "market").as_of(before)
    assert then["close"].to_numpy() == pytest.approx(wrong["close"].to_numpy()), "the past stays"
    shown = project.command("dosvotos", "data", "list", COLUMNS="250").stdout
    assert "retracted by" in shown and f"retracts 1: {WHY}" in shown
    with reading(project.engine) as connection:
        assert [row.retracts for row in list_deliveries(connection)][-2:] == [1, None]


@pytest.mark.campaign
def test_after_a_retraction_the_identical_file_is_a_delivery_like_any_other(project):
    bars = window(400, 4)
    assert deliver(project, lay(project, "one", bars), 20)[0] in (0, 3)
    assert project.command("dosvotos", "data", "retract", "1", "--reason", WHY).returncode == 0
    code, said = deliver(project, lay(project, "two", bars), 22)
    assert code in (0, 3), said
    assert stored_closes(project).to_numpy() == pytest.approx(bars["close"].to_numpy())
    assert len(BARS) > len(bars)
