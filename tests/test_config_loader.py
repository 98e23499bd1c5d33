"""YAML that can be read in one way only: the shared cases, and others of their kinds."""

import errno
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from dosvotos.config_loader import StrictConfigLoader, check_yaml
from dosvotos.contracts.parameters import Parameters, read_parameters
from dosvotos.errors import ParameterError
from dosvotos.settings import CONFIG_LOADER_ARGS
from tests.conftest import ROOT

CASES = ROOT.parent / "shared" / "cases"
YAML_CASES = (
    [case for case in json.loads((CASES / "cases.json").read_text())["cases"] if case["kind"] == "yaml"]
    if CASES.is_dir()
    else []
)
GLOBALS = "experiment: case\ninstrument: USD/COP\n"


@pytest.fixture
def parameters_with(tmp_path):
    """What a project reads whose experiment `case` states these parameters."""

    def read(text: str, globals_text: str = GLOBALS) -> Parameters:
        shutil.copytree(ROOT / "conf/base", tmp_path / "conf/base", dirs_exist_ok=True)
        (tmp_path / "conf/case").mkdir(exist_ok=True)
        (tmp_path / "conf/case/globals.yml").write_text(globals_text)
        (tmp_path / "conf/case/parameters.yml").write_text(text)
        loader = StrictConfigLoader(str(tmp_path / "conf"), env="case", **CONFIG_LOADER_ARGS)
        tree = dict(loader["parameters"])
        tree["data_acquisition"] = {**tree["data_acquisition"], "source": "files"}
        return read_parameters(tree)

    return read


@pytest.mark.skipif(not YAML_CASES, reason="needs ../shared/cases, which the repository does not hold")
@pytest.mark.parametrize("case", YAML_CASES, ids=[case["name"] for case in YAML_CASES])
def test_the_shared_cases_are_refused_or_read_as_they_say(case, parameters_with):
    text, (delivery,) = (CASES / case["conf"]).read_text(), case["deliveries"]
    if delivery["right"] == "accepted":
        assert parameters_with(text).training.hyperparameters.learning_rate == 1e-3
        return
    with pytest.raises(ParameterError) as caught:
        parameters_with(text)
    for said in delivery["says"]:
        assert re.search(said, str(caught.value), re.IGNORECASE), said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training: {patience: 1:00:00}", r"line 1: training\.patience: 1:00:00 is a number to base 60"),
        ("reward:\n  scale: 7:30.5", r"line 2: reward\.scale: 7:30\.5"),
        ("evidence: {prior_trials: 08}", r"prior_trials: 08 is an octal"),
        ("evidence: {seed: -017}", r"seed: -017 is an octal"),
        ("evidence: {bootstrap_replications: 10_000}", r"10_000 is a number, or text"),
        ("reward: {scale: 1_0.5e3}", r"reward\.scale: 1_0\.5e3"),
        ("experiment: {description: No}", r"description: No is true or false, or text"),
        ("trading: {costs: {spread_bps: ON}}", r"spread_bps: ON is true or false"),
        ("off: 1", r"line 1: key: off is true or false"),
        ("training: {seeds: [1, 2, 0100]}", r"training\.seeds\.2: 0100"),
        ("a: 1\nb:\n  - {c: 1,\n     c: 2}", r"line 4: b\.0\.c stands in line 3 already"),
        (
            "training: {seeds: [42]}\nsplits: {mode: single}\ntraining: {}",
            r"line 3: training stands in line 1",
        ),
        ("training: {seeds: [42}", r"line 1: no YAML"),
        ("a: *nowhere", r"line 1: no YAML: found undefined alias"),
    ],
)
def test_a_file_with_two_readings_names_itself_the_line_and_the_key(tmp_path, text, said):
    (path := tmp_path / "parameters.yml").write_text(text)
    with pytest.raises(ParameterError, match=said) as caught:
        check_yaml(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    "value", ["'0300'", '"5:30"', "'yes'", "300", "0", "-1", "0.05", "1e-3", "1.0.0", "2025-01-01", "true"]
)
def test_what_has_one_reading_is_left_alone(tmp_path, value):
    (path := tmp_path / "parameters.yml").write_text(f"a: {value}\nb: [{value}]\n")
    check_yaml(path)


@pytest.mark.parametrize("name", ["base/catalog/dataset.yml", "base/globals.yml", "logging.yml"])
def test_a_repeated_key_is_found_in_every_file_that_a_run_reads(tmp_path, name):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    with (tmp_path / "conf" / name).open("a") as file:
        file.write("\nsurprise: 1\nsurprise: 2\n")
    with pytest.raises(ParameterError, match=rf"{Path(name).name}, line \d+: surprise stands"):
        StrictConfigLoader(str(tmp_path / "conf"), env="smoke", **CONFIG_LOADER_ARGS)


def test_the_repository_s_own_files_have_one_reading():
    for path in (ROOT / "conf").rglob("*.yml"):
        check_yaml(path)


def test_an_exponent_and_an_integer_are_numbers(parameters_with):
    read = parameters_with("reward: {scale: 1e+3}\ntrading: {costs: {spread_bps: 75}}")
    assert (read.reward.scale, read.trading.costs.spread_bps) == (1000.0, 75.0)
    assert isinstance(read.trading.costs.spread_bps, float)


def test_the_loader_tells_what_the_experiment_and_the_command_line_state(tmp_path):
    shutil.copytree(ROOT / "conf/base", tmp_path / "conf/base")
    (tmp_path / "conf/case").mkdir()
    (tmp_path / "conf/case/globals.yml").write_text(GLOBALS)

    def stated(env: str = "case", **runtime: object) -> dict:
        loader = StrictConfigLoader(
            str(tmp_path / "conf"), env=env, runtime_params=runtime, **CONFIG_LOADER_ARGS
        )
        assert loader["parameters"]["experiment"]["name"] in ("case", "demo")
        return loader.stated_parameters()

    assert stated() == {}
    assert stated(training={"seeds": [3]}) == {"training.seeds": [3]}
    assert stated("base", training={"seeds": [3]}) == {"training.seeds": [3]}
    (tmp_path / "conf/case/parameters.yml").write_text(
        "training: {seeds: [1, 2], patience: 5}\ndate_ranges:\n  val: {start: 2025-02-01}\n"
        "experiment: {description: '${globals:experiment} again'}\n"
    )
    assert stated(training={"seeds": [3]}) == {
        "training.seeds": [3], "training.patience": 5, "date_ranges.val.start": "2025-02-01",
        "experiment.description": "case again",
    }  # fmt: skip


@pytest.mark.parametrize("closed", ["base", "base/parameters", "case", ""])
def test_a_folder_that_may_not_be_listed_is_refused_and_not_read_as_an_empty_one(
    closed, tmp_path, monkeypatch
):
    for folder in ("base/parameters", "case"):
        (tmp_path / "conf" / folder).mkdir(parents=True)
        (tmp_path / "conf" / folder / "one.yml").write_text("one: 1\n")
    StrictConfigLoader(str(tmp_path / "conf"), env="case", **CONFIG_LOADER_ARGS)
    place, scandir = str(tmp_path / "conf" / closed), os.scandir

    def refuse(path: str) -> object:  # root, who runs tests here and there, is refused nothing
        if str(path) == place:
            raise PermissionError(errno.EACCES, "Permission denied", place)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ParameterError, match=f"^{re.escape(place)}: Permission denied; correct its perm"):
        StrictConfigLoader(str(tmp_path / "conf"), env="case", **CONFIG_LOADER_ARGS)
