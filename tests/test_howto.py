"""Each recipe of docs/howto is applied as printed to a copy of the project, and what it adds works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dosvotos.config_loader import load_parameters
from dosvotos.sources.files import read_folder
from tests.conftest import ROOT
from tests.market_files import write_market
from tests.printed import SHELLS, Block, Shell, blocks_of, files_of
from tests.sources.local_server import LocalServer, Reply, serving

pytestmark = pytest.mark.slow
RECIPES = sorted(page.stem for page in (ROOT / "docs/howto").glob("*.md"))
RUNS = re.compile(r"(?:kedro|dosvotos) ")
VARIABLES = "conf/base/parameters/macro_variables.yml"


def page_of(recipe: str) -> Path:
    return ROOT / f"docs/howto/{recipe}.md"


def commands_of(recipe: str) -> list[Block]:
    return [block for block in blocks_of(page_of(recipe)) if block.language in SHELLS]


def apply_recipe(recipe: str, root: Path) -> Path:
    """Copy conf and source, and change them as a page says: its diffs, new files, entries and shell lines."""
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, root)
    shell = Shell(root)
    for block in blocks_of(page_of(recipe)):
        if block.language == "diff":
            subprocess.run(["git", "apply", "-"], input=block.text, text=True, cwd=root, check=True)
        elif block.language == "yaml" and block.text.startswith("    "):
            with (root / VARIABLES).open("a") as entries:
                entries.write(block.text)
        elif block.language in SHELLS:
            shell.run(line for line in block.commands if not RUNS.match(line))
        else:
            write_files(page_of(recipe), root, block)
    return root


def write_files(page: Path, root: Path, block: Block) -> None:
    """Write the file that a block names in its first line, if it does."""
    for path, text in files_of(page).items():
        if block.text.startswith(f"# {path}"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)


def run_there(root: Path, code: str, *arguments: str) -> None:
    """Run Python on the copied source; kernels are not compiled, since each runs a few times."""
    environment = {**os.environ, "PYTHONPATH": f"{root}/src", "NUMBA_DISABLE_JIT": "1"}
    words = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


SHORT_IS_CHARGED = """
import numpy as np
from dosvotos.config_loader import load_parameters
from dosvotos.training.episodes import Episodes, TrainingArrays
from dosvotos.training.reward import COMPONENTS, phase_weights
parameters = load_parameters("no_shorts")
weights = phase_weights(parameters.curriculum.phases[0], parameters.reward)
close = np.ones(6)
seen, clock = np.zeros((6, 13), np.float32), np.zeros(6, np.float32)
data = TrainingArrays(seen, clock, close, 0 * close, close, np.array([0]))
episodes = Episodes(data, 3, 3, 0.0, weights)
episodes.reset_all(staggered=False)
charged = episodes.step(np.array([0, 1, 2])).contributions[:, COMPONENTS.index("short")]
assert charged.tolist() == [-0.0001 * parameters.reward.scale, 0.0, 0.0], charged
assert "short" not in load_parameters("demo").reward.model_dump(mode="json")
"""
FACTOR_IS_JUDGED = """
from dosvotos.backtest.metrics import SpecifiedMetrics
from dosvotos.config_loader import load_parameters
from dosvotos.contracts.quality_thresholds import SuccessCriteriaParams
from dosvotos.promotion.criteria import failure_reasons, hard_criteria
from dosvotos.promotion.reasons import sentence
from dosvotos.reports.criteria import CRITERIA
found = dict(sharpe_ratio=2.0, max_drawdown=0.05, win_rate=0.6, total_trades=99, avg_trade_pnl=1.0)
wanted = load_parameters("paying").quality_thresholds.success_criteria
low, none = "its profit factor is 1.20, and more than 1.33 is needed", "so it has no profit factor"
for factor, said in ((1.5, []), (1.2, [low]), (None, [f"it closed no losing trade, {none}"])):
    criteria = hard_criteria(SpecifiedMetrics(profit_factor=factor, **found), wanted)
    assert [sentence(reason) for reason in failure_reasons(criteria)] == said
before = load_parameters("demo").quality_thresholds.success_criteria
assert len(hard_criteria(SpecifiedMetrics(profit_factor=None, **found), before)) == 4
assert "min_profit_factor" not in before.model_dump()
assert "min_profit_factor" in CRITERIA
"""
RATES_ARE_FETCHED = """
import sys
from datetime import date
from dosvotos.config_loader import load_parameters
from dosvotos.sources.http import ProviderClient
from dosvotos.sources.providers import provider_module
from dosvotos.sources.series import SeriesRequest
parameters = load_parameters("demo")
tree = parameters.data_acquisition.live.model_dump(mode="json")
tree["providers"]["ecb"]["base_url"] = sys.argv[1]
settings = type(parameters.data_acquisition.live).model_validate(tree)
variable = parameters.macro_variables.variables["fxrt_spot_eurusd_emu_d_eurusd"]
request = SeriesRequest(variable.primary.series, "daily", date(2026, 1, 5), date(2026, 1, 7))
with ProviderClient("ecb", settings) as client:
    fetched = provider_module("ecb").fetch(request, client)
assert fetched.observations["value"].tolist() == [1.0302, 1.0426]
assert all(word in fetched.description for word in variable.primary.states)
"""
FEATURE_IS_SERVED = """
import sqlalchemy as sa
from dosvotos.config_loader import load_parameters
from dosvotos.contracts.features import FEATURE_ORDER, MARKET_FEATURES
from dosvotos.database.connection import open_database
from dosvotos.market.features.definition import CHANGE_ROW, COLUMNS, VARIABLES
assert len(FEATURE_ORDER) == 16 and MARKET_FEATURES[-1] == "usdclp_change_1d"
of_peso = VARIABLES.index("fxrt_spot_usdclp_chl_d_usdclp")
assert COLUMNS[CHANGE_ROW[of_peso]] == "usdclp_change_1d"
assert load_parameters("smoke").macro_variables.variables[VARIABLES[of_peso]].priority == "HIGH"
columns = sa.inspect(open_database("sqlite:///data/dosvotos.db")).get_columns("inference_features_5m")
assert {*FEATURE_ORDER} <= {column["name"] for column in columns}
"""
ANSWER = "KEY,TIME_PERIOD,OBS_VALUE\nEXR.D,2026-01-05,1.0302\nEXR.D,2026-01-06,1.0426\n"


@pytest.mark.parametrize(
    ("recipe", "code"),
    [("reward_component", SHORT_IS_CHARGED), ("criterion", FACTOR_IS_JUDGED), ("feature", FEATURE_IS_SERVED)],
)
def test_a_recipe_that_changes_the_source_works_as_printed(recipe, code, tmp_path):
    run_there(apply_recipe(recipe, tmp_path / "project"), code)


def test_a_provider_fetches_as_printed(tmp_path):
    root, bank = apply_recipe("provider", tmp_path / "project"), LocalServer()
    bank.answer("/service/data/EXR/D.USD.EUR.SP00.A", Reply(ANSWER, content_type="text/csv"))
    with serving(bank) as url:
        run_there(root, RATES_ARE_FETCHED, url)
    assert bank.calls[0].query == {
        "format": "csvdata",
        "startPeriod": "2026-01-05",
        "endPeriod": "2026-01-07",
    }


def test_a_variable_is_read_from_files_as_printed(tmp_path):
    root = apply_recipe("macro_variable", tmp_path / "project")
    copper = "comm_metal_copper_glb_d_copper"
    variables = load_parameters("exp2_interbank_costs_v1", root / "conf").macro_variables.variables
    assert len(variables) == 41 and variables[copper].publication.rule == "B+0"
    (root / "usdcop_5m.csv").write_text(
        "timestamp,open,high,low,close,volume\n"
        + "".join(f"2025-07-01T13:{5 * i:02}:00Z,4080.5,4082.1,4079,4081.25,0\n" for i in range(12))
    )
    (root / "macro_daily.csv").write_text(f"variable,observation_date,value\n{copper},2025-07-01,5.08\n")
    read = read_folder(root, variables=variables)
    assert read.macro["variable"].tolist() == [copper] and len(read.bars) == 12


def test_a_copied_experiment_states_its_difference_as_printed(tmp_path):
    conf = apply_recipe("experiment", tmp_path / "project") / "conf"
    own, demo = load_parameters("my_demo", conf), load_parameters("demo", conf)
    assert own.training.seeds == (7, 8) and own.training.hyperparameters.hidden_sizes == (16, 16)
    assert own.sample_market == demo.sample_market and own.reward == demo.reward
    assert own.feed == demo.feed


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("recipe", "shown"),
    [
        ("reward_component", "L3 no_shorts_"),
        ("criterion", "min_profit_factor"),
        ("feature", "usdclp_change_1d"),
        ("experiment", "my_demo"),
        ("macro_variable", "comm_metal_copper_glb_d_copper"),
    ],
)
def test_a_recipe_s_runs_go_through(recipe, shown, tmp_path):
    root = apply_recipe(recipe, tmp_path / "project")
    shell = Shell(root, {"PYTHONPATH": f"{root}/src", "DOSVOTOS_HOME": str(tmp_path / "homes")}, cold=True)
    if recipe == "experiment":
        shell.run(["kedro run --env demo"])
    if recipe == "macro_variable":
        write_market(tmp_path / "files", load_parameters("demo", root / "conf"))
        shell.replaced["/path/to/folder"] = str(tmp_path / "files")
    lines = [line for block in commands_of(recipe) for line in block.commands if RUNS.match(line)]
    assert shown in "".join(ran.output for ran in shell.run(lines, codes=(0, 3)))


def test_every_recipe_is_run():
    tested = (Path(__file__)).read_text()
    assert len(RECIPES) >= 6 and [recipe for recipe in RECIPES if f'"{recipe}"' not in tested] == []
    index = (ROOT / "docs/index.md").read_text()
    assert [recipe for recipe in RECIPES if f"howto/{recipe}.md" not in index] == []
