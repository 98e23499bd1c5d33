import copy
import re
from datetime import date, timedelta

import pytest

from dosvotos.contracts.experiment import (
    SCHEMA,
    ExperimentContract,
    check_draft,
    check_unchanged,
    flatten,
    make_contract,
    next_fold,
    project_changes,
)
from dosvotos.contracts.features import FEATURE_ORDER, FEATURE_ORDER_HASH
from dosvotos.contracts.parameters import Parameters, read_parameters
from dosvotos.contracts.window import WindowFacts
from dosvotos.errors import ContractError
from dosvotos.hashing import digest_json
from tests.conftest import parameter_tree, parameters_of
from tests.faults.edits import other_leaf
from tests.market_factory import CALENDAR

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
        "CTR-FEAT-001", "CTR-REWARD-001", "CTR-DATE-001", "CTR-L0-SSOT-001", "CTR-QUAL-001",
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


def stating(stated: dict, **defaults: dict) -> Parameters:
    """demo's parameters where the experiment states some, on a project with other defaults."""
    tree = parameter_tree(**defaults)
    for name, value in stated.items():
        section, _, key = name.partition(".")
        tree[section] = {**tree[section], key: value}
    return read_parameters(tree, stated)


OWN = {"training.seeds": [1, 2]}


def test_a_contract_says_what_its_experiment_stated_but_not_what_lies_outside_the_hash():
    beside = {"data_acquisition.folder": "x", "run_name": "r"}
    contract = contract_of(read_parameters(parameter_tree(), {**OWN, **beside}))
    assert contract.stated == {
        "training.seeds": [1, 2], "experiment.name": "demo", "experiment.version": "1.0.0",
        "experiment.instrument": "USD/COP.SIM",
    }  # fmt: skip
    assert contract.schema_version == SCHEMA == contract.model_dump()["schema"]


def test_an_untouched_experiment_outlives_new_defaults_under_its_frozen_values():
    contract, moved = contract_of(stating(OWN)), stating(OWN, trading={"initial_capital": 5.0})
    check_unchanged(contract, moved)
    assert project_changes(contract, moved) == ["  - trading.initial_capital: frozen 100000.0, now 5.0"]
    assert contract.parameters.trading.initial_capital == 100_000.0


def test_a_default_stated_in_so_many_words_is_no_change():
    contract = contract_of(stating(OWN))
    check_unchanged(contract, stating({**OWN, "trading.initial_capital": 100_000.0}))
    moved = stating({**OWN, "trading.initial_capital": 100_000.0}, reward={"drawdown": 0.7})
    check_unchanged(contract, moved)


@pytest.mark.parametrize("now", [{"training.seeds": [3]}, {}], ids=["another value", "no longer stated"])
def test_you_changed_and_the_project_changed_are_told_apart(now):
    with pytest.raises(ContractError) as caught:
        check_unchanged(contract_of(stating(OWN)), stating(now, trading={"initial_capital": 5.0}))
    own, project = str(caught.value).split("the project changed")
    assert "you changed" in own and "training.seeds: frozen [1, 2], now" in own
    assert "trading.initial_capital: frozen 100000.0, now 5.0" in project
    assert "Raise experiment.version" in project


def test_another_instrument_in_globals_is_the_experiment_s_own_change():
    tree = parameter_tree(experiment={"instrument": "USD/COP"}, data_acquisition={"source": "files"})
    with pytest.raises(
        ContractError, match=r"(?s)you changed.*instrument: frozen 'USD/COP\.SIM', now 'USD/COP'"
    ):
        check_unchanged(contract_of(stating(OWN)), read_parameters(tree, {}))


def as_on_main(contract: ExperimentContract, **more: object) -> dict:
    """A contract as the version without `schema` wrote it."""
    old = {k: v for k, v in contract.model_dump(mode="json").items() if k not in {"schema", "stated"}}
    config = copy.deepcopy(old["frozen_config"])
    config["evidence"] = {**more, **config["evidence"]}  # today's, where it still has them
    return {**old, "frozen_config": config, "config_hash": digest_json(config)}


def test_a_contract_without_a_schema_is_of_schema_1_and_keeps_its_hash(parameters):
    gone = {"min_psr": 0.95, "max_spa_p_value": 0.05, "bootstrap_replications": 10000, "seed": 20260131}
    old = as_on_main(contract_of(parameters), **gone)
    contract = ExperimentContract.model_validate(old)
    assert (contract.schema_version, contract.stated) == (1, None)
    assert contract.config_hash == digest_json(contract.frozen_config) == old["config_hash"]
    assert contract.parameters.training == parameters.training
    check_unchanged(contract, stating({}))
    check_unchanged(contract, parameters)
    with pytest.raises(
        ContractError, match=r"parameters have changed:\n  - .*training\.seeds: frozen \[42\]"
    ):
        check_unchanged(contract, stating(OWN))


def test_a_contract_from_before_a_choice_existed_keeps_its_hash_and_runs_as_it_did_then():
    before = {"selection": "return", "average_weights": False, "start": "random", "flat_overnight": False}
    contract = contract_of(stating(OWN, training=before, reward={"credit_bars": 0}))
    assert not before.keys() & contract.frozen_config["training"].keys()
    assert "credit_bars" not in contract.frozen_config["reward"]
    assert contract.parameters.reward.credit_bars == 0
    training = contract.parameters.training
    assert {name: getattr(training, name) for name in before} == before
    assert contract.present_config == contract.frozen_config
    check_unchanged(contract, stating(OWN))  # base's defaults have moved on, the experiment has not
    with pytest.raises(ContractError, match=r"(?s)you changed.*training\.selection: frozen 'absent', now"):
        check_unchanged(contract, stating({**OWN, "training.selection": "sharpe"}))


def test_a_contract_of_schema_3_holds_an_age_that_nobody_asks_for_any_more(parameters):
    new = contract_of(stating(OWN)).model_dump(mode="json")
    config = copy.deepcopy(new["frozen_config"])
    config["inference"]["max_bar_age_minutes"] = 7.5
    old = {**new, "schema": 3, "frozen_config": config, "config_hash": digest_json(config)}
    contract = ExperimentContract.model_validate(old)
    assert contract.parameters.inference.clock == "market"
    check_unchanged(contract, stating(OWN))
    with pytest.raises(ContractError, match=r"training\.seeds: frozen \[1, 2\]"):
        check_unchanged(contract, stating({"training.seeds": [3]}))


def test_a_contract_of_a_newer_version_is_refused(parameters):
    newer = {**contract_of(parameters).model_dump(), "schema": SCHEMA + 1}
    with pytest.raises(ValueError, match=f"reads up to {SCHEMA}; update it"):
        ExperimentContract.model_validate(newer)


def test_contracts_from_before_linear_rivals_train_none_and_still_run(parameters):
    made = contract_of(parameters)
    older = ExperimentContract.model_validate({**made.model_dump(), "schema": 2})
    assert made.has_linear_rival and not older.has_linear_rival
    assert made.records_drift and not older.records_drift
    assert older.config_hash == made.config_hash and older.parameters == made.parameters
    check_unchanged(older, parameters)


def test_a_further_fold_of_an_untouched_experiment_takes_the_first_one_s_frozen_values():
    def line(fold: int, **defaults: dict) -> Parameters:
        tree = parameter_tree(**defaults)
        tree["splits"] |= {"mode": "walk_forward", "folds": 3, "fold": fold, "train_window": "rolling"}
        return read_parameters(tree, flatten({"splits": tree["splits"]}))

    first = make_contract(line(1), END, "ana")
    second = next_fold(first, line(2, trading={"initial_capital": 5.0}), "ana")
    assert second.parameters.trading.initial_capital == 100_000.0
    assert (second.stated["splits.fold"], second.parameters.splits.fold) == (2, 2)
    check_unchanged(second, line(2, trading={"initial_capital": 5.0}))


def test_a_draft_is_refused_once_dataset_would_write_another(parameters):
    draft = contract_of(parameters)
    later = parameters_of(data_acquisition={"as_of": "2027-01-01T00:00:00+00:00"})
    check_draft(draft, contract_of(later))
    with pytest.raises(
        ContractError, match="ends 2026-07-31, but the last complete session stored is 2026-08-03"
    ):
        check_draft(draft, make_contract(later, date(2026, 8, 3), "ana"))
    with pytest.raises(
        ContractError, match=r"(?s)parameters have changed; run .*seeds: frozen \[42\], now \[1\]"
    ):
        check_draft(draft, contract_of(parameters_of(training={"seeds": [1]})))
    with pytest.raises(ContractError, match="trained_by is 'ana', would now be 'bob'"):
        check_draft(draft, make_contract(parameters, END, "bob"))
    with pytest.raises(ContractError, match="components is"):
        check_draft(draft.model_copy(update={"components": {}}), draft)


def test_a_draft_with_any_field_edited_is_refused_by_the_field_s_name(parameters):
    """Of parameters and their hash the contract itself says that they do not fit each other."""
    draft = make_contract(parameters, END, "ana", window=CALENDAR)
    check_draft(draft, draft)
    facts = draft.window_facts
    edits = {
        **{
            name: {name: other_leaf(getattr(draft, name))}
            for name in ("feature_order_hash", "schema_version")
        },
        "stated": {"stated": {"experiment.name": "other"}},
        "created_at": {"created_at": draft.created_at - timedelta(days=400)},
        "window_status": {"window_status": "stale_window"},
        **{
            f"window_facts.{name}": {"window_facts": facts.model_copy(update={name: other})}
            for name, value in facts
            for other in [("2026-01-22",) if isinstance(value, tuple) else other_leaf(value)]
        },
    }
    for name, edit in edits.items():
        with pytest.raises(ContractError, match=rf"draft of CTR-EXP-demo .*: {re.escape(name)} is "):
            check_draft(draft.model_copy(update=edit), draft)
    assert len(edits) == 5 + len(WindowFacts.model_fields)
