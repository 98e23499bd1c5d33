import copy
from datetime import date

import pytest

from dosvotos.contracts.experiment import check_unchanged, make_contract, next_fold
from dosvotos.contracts.features import FEATURE_ORDER, FEATURE_ORDER_HASH
from dosvotos.contracts.parameters import Parameters
from dosvotos.errors import ContractError
from dosvotos.hashing import digest_json
from tests.conftest import parameters_of

END = date(2026, 7, 31)


def contract_of(parameters: Parameters):
    return make_contract(parameters, END, "ana")


def test_the_features_stand_in_the_specification_s_order():
    assert FEATURE_ORDER == (
        "log_ret_5m", "log_ret_1h", "log_ret_4h", "rsi_9", "atr_pct", "adx_14", "dxy_z", "dxy_change_1d",
        "vix_z", "embi_z", "brent_change_1d", "rate_spread", "usdmxn_change_1d", "position",
        "time_normalized",
    )  # fmt: skip
    assert digest_json({"id": "CTR-FEAT-001", "features": list(FEATURE_ORDER)}) == FEATURE_ORDER_HASH


@pytest.mark.parametrize(
    "outside",
    [
        {"data_acquisition": {"as_of": "2027-01-01T00:00:00+00:00"}},
        {"data_acquisition": {"folder": "elsewhere"}},
    ],
)
def test_where_and_when_data_came_from_is_outside_the_hash(parameters, outside):
    assert contract_of(parameters_of(**outside)).config_hash == contract_of(parameters).config_hash


def test_everything_else_is_inside(parameters):
    changed = parameters_of(training={"seeds": [43]})
    assert contract_of(changed).config_hash != contract_of(parameters).config_hash
    assert contract_of(changed).reward_config_hash == contract_of(parameters).reward_config_hash
    rewarded = parameters_of(reward={"drawdown": 0.2})
    assert contract_of(rewarded).reward_config_hash != contract_of(parameters).reward_config_hash


def test_a_changed_parameter_is_refused_by_name_with_both_values(parameters):
    contract = contract_of(parameters)
    check_unchanged(contract, parameters)
    with pytest.raises(ContractError, match=r"training\.seeds: frozen \[42\], now \[43\]") as caught:
        check_unchanged(contract, parameters_of(training={"seeds": [43]}))
    assert "Raise experiment.version" in str(caught.value)


def test_the_frozen_parameters_return_whole_with_the_test_s_end(parameters):
    frozen = contract_of(parameters_of("null_market")).parameters
    assert frozen.sample_market.edge == 0.0
    assert frozen.date_ranges.test.end == END
    open_ended = parameters_of("exp2_interbank_costs_v1")
    assert open_ended.date_ranges.test.end is None
    assert contract_of(open_ended).parameters.date_ranges.test.end == END


def test_a_contract_whose_config_was_edited_does_not_load(parameters):
    contract = contract_of(parameters)
    edited = contract.model_dump(mode="json")
    edited["frozen_config"]["training"]["seed"] = 1
    with pytest.raises(ValueError, match="frozen_config hashes to"):
        type(contract).model_validate(edited)


def test_components_name_the_other_contracts(parameters):
    assert set(contract_of(parameters).components) == {
        "CTR-FEAT-001", "CTR-DATE-001", "CTR-L0-SSOT-001", "CTR-QUAL-001",
    }  # fmt: skip


def folded(fold: int, **changes) -> Parameters:
    splits = {"mode": "walk_forward", "folds": 3, "fold": fold, "train_window": "rolling"}
    return parameters_of(splits=splits, **changes)


def test_each_fold_has_a_contract_of_its_own_on_the_same_data():
    first = make_contract(folded(1), END, "ana")
    later = {"as_of": "2027-01-01T00:00:00+00:00"}
    second = next_fold(first, folded(2, data_acquisition=later), "ana")
    assert (first.contract_id, second.contract_id) == ("CTR-EXP-demo.fold-1-of-3", "CTR-EXP-demo.fold-2-of-3")
    assert (second.data_as_of, second.test_end) == (first.data_as_of, END)
    assert second.created_at > first.created_at and second.config_hash != first.config_hash
    assert second.parameters.splits.fold == 2


def test_a_fold_of_a_changed_experiment_is_refused(parameters):
    first = make_contract(folded(1), END, "ana")
    with pytest.raises(ContractError, match=r"trading\.initial_capital"):
        next_fold(first, folded(2, trading={"initial_capital": 5.0}), "ana")
    with pytest.raises(ContractError, match=r"splits\.mode: frozen 'single', now 'walk_forward'"):
        next_fold(contract_of(parameters), folded(2), "ana")


def test_a_contract_of_an_older_version_says_so_and_what_to_do(parameters):
    contract = contract_of(parameters)
    config = copy.deepcopy(contract.frozen_config)
    config["training"]["seed"] = config["training"].pop("seeds")[0]
    older = contract.model_copy(update={"frozen_config": config, "config_hash": digest_json(config)})
    said = (
        r"CTR-EXP-demo version 1\.0\.0 was made by an older version of Dos Votos.*raise experiment\.version"
    )
    with pytest.raises(ContractError, match=f"(?s){said}.*training\\.seed: unknown parameter"):
        _ = older.parameters
    with pytest.raises(ContractError, match=r"training\.seed: frozen 42, now 'absent'"):
        check_unchanged(older, parameters)
