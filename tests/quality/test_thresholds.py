import copy

import pytest

from dosvotos.contracts.parameters import read_parameters
from dosvotos.errors import ParameterError
from tests.conftest import parameter_tree

VIX = "macro_variables.variables.volt_vix_usa_d_vix"


def tree_with(path: str, value: object) -> dict:
    tree = copy.deepcopy(parameter_tree())
    *sections, last = path.split(".")
    place = tree
    for section in sections:
        place = place[section]
    place[last] = value
    return tree


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("data_acquisition.timezone", "America/Bogotá", "is no time zone"),
        ("data_acquisition.timezone", "America", "is no time zone"),
        ("data_acquisition.mixed_timezone", "repair", "'refuse' or 'detect'"),
        (f"{VIX}.max_step_ratio", 1.0, "greater than 1"),
        ("quality_thresholds.bars.spike_sigmas", 0, "greater than 0"),
        ("quality_thresholds.bars.flat_session_share", 0.4, "greater than 0.5"),
        ("quality_thresholds.macro.lasting", {"daily": 5, "monthly": 3}, "quarterly: required"),
        ("quality_thresholds.macro.max_repeat_odds", 1.0, "less than 1"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(path, value, message):
    with pytest.raises(ParameterError, match=message):
        read_parameters(tree_with(path, value))


@pytest.mark.parametrize("zone", [None, "UTC", "America/Bogota"])
def test_a_file_s_zone_may_be_stated(zone):
    assert read_parameters(tree_with("data_acquisition.timezone", zone)).data_acquisition.timezone == zone


def test_a_variable_may_do_without_a_step_ratio():
    assert read_parameters(tree_with(f"{VIX}.max_step_ratio", None))
