import copy
from collections import Counter
from datetime import date

import pytest

from dosvotos.contracts.parameters import CostsParams, Parameters, read_parameters
from dosvotos.errors import ParameterError
from tests.conftest import parameter_tree, parameters_of


def tree_with(path: str, value: object) -> dict:
    tree = copy.deepcopy(parameter_tree())
    *sections, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    branch = tree
    for section in sections:
        branch = branch[section]
    branch[last] = value
    return tree


def sections(model: type, path: str = "") -> list[str]:
    found = [path]
    for name, field in model.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            found += sections(field.annotation, f"{path}{name}.")
    return found


@pytest.mark.parametrize("section", sections(Parameters))
def test_an_unknown_key_is_refused_at_every_level(section):
    with pytest.raises(ParameterError, match=r"surprise: unknown parameter"):
        read_parameters(tree_with(f"{section}surprise", 1))


def test_unknown_keys_inside_lists_and_tables_are_refused_too():
    with pytest.raises(ParameterError, match=r"curriculum\.phases\.0\.timestep: .*did you mean 'timesteps'"):
        read_parameters(tree_with("curriculum.phases.0.timestep", 1))
    path = "macro_variables.variables.volt_vix_usa_d_vix.ffill_days"
    with pytest.raises(ParameterError, match=r"ffill_days: .*did you mean 'ffill_max_days'"):
        read_parameters(tree_with(path, 1))


def test_a_typo_names_the_parameter_it_resembles():
    with pytest.raises(ParameterError, match="batch_sise: unknown parameter; did you mean 'batch_size'"):
        read_parameters(tree_with("training.hyperparameters.batch_sise", 64))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("quality_thresholds.success_criteria.min_sharpe", float("nan"), "finite number"),
        ("training.hyperparameters.batch_size", 10_000, "exceeds the rollout n_envs x n_steps = 8192"),
        ("training.hyperparameters.learning_rate", 0.0, "greater than 0"),
        ("curriculum.phases", [], "at least 1 item"),
        ("curriculum.phases.1.timesteps", 0, "greater than 0"),
        ("date_ranges.val.start", "2024-12-31", "overlap"),
        ("date_ranges.train.end", "2022-12-31", "lies before start"),
        ("date_ranges.test.end", "2025-06-30", "lies before start"),
        ("experiment.name", "../elsewhere", "match pattern"),
        ("experiment.version", "1", "match pattern"),
        ("run_name", "a/b", "match pattern"),
        ("trading.fill", "next_open", "next_close"),
        ("trading.costs.spread_bps", -1, "greater than or equal to 0"),
        ("data_acquisition.as_of", "2026-01-01T00:00:00", "timezone"),
        ("macro_variables.variables.volt_vix_usa_d_vix.publication.rule", "M+1:D5", r"needs a B\+ rule"),
        ("macro_variables.variables.volt_vix_usa_d_vix.publication.zone", "Mars", "is no time zone"),
        ("macro_variables.variables.volt_vix_usa_d_vix.expected_max", 1, "<= expected_min"),
    ],
)
def test_a_broken_rule_names_parameter_rule_and_value(path, value, message):
    with pytest.raises(ParameterError, match=message) as caught:
        read_parameters(tree_with(path, value))
    assert path.split(".")[0] in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("training.patience", True, "valid integer, was True"),
        ("training.patience", "42", "valid integer, was '42'"),
        ("training.patience", 42.0, r"valid integer, was 42\.0"),
        ("training.seeds.0", True, "valid integer, was True"),
        ("training.hyperparameters.hidden_sizes.0", "16", "valid integer, was '16'"),
        ("trading.costs.spread_bps", False, "valid number, was False"),
        ("trading.initial_capital", "1e5", "valid number, was '1e5'"),
        ("reward.scale", float("inf"), "finite number"),
        ("quality_thresholds.macro.gap.daily", float("nan"), "valid integer"),
        ("experiment.version", 1.1, r"valid string, was 1\.1 without quotes"),
        ("experiment.description", 42, "valid string, was 42 without quotes"),
        ("data_acquisition.folder", 2025, "valid string, was 2025 without quotes"),
        ("macro_variables.variables.volt_vix_usa_d_vix.revised", "true", "valid boolean"),
        ("macro_variables.variables.volt_vix_usa_d_vix.revised", 1, "valid boolean"),
        ("macro_variables.variables.volt_vix_usa_d_vix.publication.time", 1080, "valid time, was 1080"),
        ("date_ranges.val.start", 1735689600, "valid date, was 1735689600"),
        ("date_ranges.val.start", "1735689600", "was '1735689600'"),
        ("date_ranges.val.start", "2025-01-01T00:00:00", "was '2025-01-01T00:00:00'"),
        ("data_acquisition.as_of", 1735689600.0, "valid datetime, was 1735689600"),
        ("training.seeds", "42", r"must be a list, as \[a, b\], was '42'"),
        ("training.seeds", {"a": 1}, r"must be a list, as \[a, b\]"),
        ("training", 3, "training: must be a section with keys of its own, was 3"),
    ],
)
def test_a_value_of_another_type_is_never_converted(path, value, message):
    with pytest.raises(ParameterError, match=message) as caught:
        read_parameters(tree_with(path, value))
    assert f"  - {path}: " in str(caught.value)


def test_lists_dates_and_integers_of_yaml_are_what_they_stand_for():
    start = read_parameters(tree_with("date_ranges.val.start", date(2025, 1, 2))).date_ranges.val.start
    assert start == date(2025, 1, 2)
    read = read_parameters(tree_with("training.seeds", (1, 101)))
    assert (read.training.seeds, read.trading.initial_capital) == ((1, 101), 100_000.0)
    assert isinstance(read.trading.initial_capital, float)


def test_a_missing_variable_behind_a_feature_is_refused():
    tree = copy.deepcopy(parameter_tree())
    del tree["macro_variables"]["variables"]["volt_vix_usa_d_vix"]
    with pytest.raises(ParameterError, match=r"needed by features are missing: .*vix"):
        read_parameters(tree)


@pytest.mark.parametrize(("env", "source"), [("demo", "files"), ("exp2_interbank_costs_v1", "sample")])
def test_sample_and_real_data_never_mix(env, source):
    with pytest.raises(ParameterError, match="never mix"):
        parameters_of(env, data_acquisition={"source": source})


def test_cost_a_side_is_half_the_spread_plus_slippage_plus_commission():
    assert CostsParams(spread_bps=5, slippage_bps=1, commission_bps=0).per_side == pytest.approx(3.5e-4)
    assert CostsParams(spread_bps=75, slippage_bps=0, commission_bps=0).per_side == pytest.approx(37.5e-4)


def test_there_are_40_macro_variables(parameters):
    counts = Counter(variable.frequency for variable in parameters.macro_variables.variables.values())
    assert counts == {"daily": 18, "monthly": 18, "quarterly": 4}
