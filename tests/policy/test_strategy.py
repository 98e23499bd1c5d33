"""Strategies of one's own: what runs, what it gives, what is refused, and that the future is not among it."""

import hashlib
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dosvotos.contracts.experiment import ExperimentContract, make_contract
from dosvotos.errors import BundleError, LineageError, ParameterError, StrategyError
from dosvotos.hashing import digest_json
from dosvotos.policy.candidate import open_candidate, require_bundle
from dosvotos.policy.strategy import SEEN, Strategy, open_strategy, read_strategy
from dosvotos.policy.strategy_leaks import check_strategy
from tests.backtest.windows import split_rows
from tests.conftest import parameters_of
from tests.leakage.markets import sample_case

FOLLOW = """
    import numpy as np
    def targets(features):
        return np.sign(features["dxy_change_1d"])
    """


def contract_of(targets: str) -> ExperimentContract:
    parameters = parameters_of("smoke", experiment={"name": "mine"}, candidate={"targets": targets})
    return make_contract(parameters, parameters.sample_market.test_end, "tester")


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: str, source: str) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(source))
    return file


def strategy(source: str, targets: str = "rule:targets") -> Strategy:
    write("conf/mine/rule.py", source)
    return read_strategy(Path("models"), contract_of(targets))


def test_it_sees_what_a_policy_sees_but_for_its_own_position_and_nothing_of_prices():
    assert len(SEEN) == 14 and not {"close", "position"} & set(SEEN)


def test_its_targets_are_kept_over_missing_features_and_over_nan(project):
    rows = split_rows(1, 5)
    rows["dxy_change_1d"] = [1.0, 1.0, np.nan, -2.0, 0.0, 3.0, *[0.0] * 54]
    rows.iloc[5, rows.columns.get_loc("rsi_9")] = np.nan
    assert strategy(FOLLOW).targets(rows).tolist() == [1, 1, 1, -1, 0, 0, *[0] * 54]
    unsure = """
        def targets(features):
            return [float("nan"), 1, float("nan"), -1] + [float("nan")] * (len(features) - 4)
        """
    with pytest.raises(StrategyError, match=r"shape \(\d,\)|sees the future|targets, one a bar"):
        strategy(unsure).targets(rows)  # asked with one bar, it still gives three and more
    sure = """
        import numpy as np
        def targets(features):
            return np.array([np.nan, 1, np.nan, -1] + [np.nan] * 56)[: len(features)]
        """
    assert strategy(sure).targets(rows).tolist() == [0, 1, 1, -1, -1, *[-1] * 55]


AHEAD = {
    "the next bar": 'return np.sign(f["log_ret_5m"].shift(-1))',
    "the session's end": 'return np.sign(f["log_ret_5m"].groupby(f.index.date).transform("sum"))',
    "a mean of the whole window": 'return np.sign(f["log_ret_5m"] - f["log_ret_5m"].mean())',
    "how long the window is": "return np.full(len(f), len(f) % 2)",
    "filled from later bars": 'return np.sign(f["dxy_z"].where(f["time_normalized"] > 0.9).bfill())',
}


@pytest.mark.parametrize("kind", AHEAD)
def test_what_looks_ahead_is_refused_with_the_bar_named(project, kind):
    source = f"import numpy as np\ndef targets(f):\n    {AHEAD[kind]}\n"
    with pytest.raises(StrategyError, match=r"sees the future: at 2024-07-\d\d \d\d:\d\d UTC its target is"):
        strategy(source).targets(split_rows(4, 7))


REFUSED = {
    r"a target is -1, 0 or 1.*the first is 0\.5": "return [0.5] * len(f)",
    r"must give numbers": 'return ["long"] * len(f)',
    r"must give 240 targets, one a bar, gave shape \(239,\)": "return [0] * (len(f) - 1)",
    r"its index differs": "return f['dxy_z'].reset_index(drop=True) * 0",
    r"fails on 240 bars: KeyError: 'close'": "return f['close']",
    r"fails on 240 bars: ZeroDivisionError": "return 1 / 0",
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_gives_no_targets_is_refused_and_says_why(project, message):
    with pytest.raises(StrategyError, match=r"candidate\.targets rule:targets: .*" + message):
        strategy(f"def targets(f):\n    {REFUSED[message]}\n").targets(split_rows(4, 7))


def test_a_module_is_found_in_the_experiment_s_folder_then_in_src_then_among_packages(project, monkeypatch):
    write("site/placed/rule.py", "def targets(f): return [1] * len(f)")
    write("site/placed/__init__.py", "")
    monkeypatch.syspath_prepend(str(project / "site"))
    contract, rows = contract_of("placed.rule:targets"), split_rows(1, 1)
    assert read_strategy(Path("m"), contract).targets(rows)[0] == 1
    write("src/placed/rule.py", "def targets(f): return [0] * len(f)")
    assert read_strategy(Path("m"), contract).targets(rows)[0] == 0
    write("conf/mine/placed/rule.py", "def targets(f): return [-1] * len(f)")
    assert read_strategy(Path("m"), contract).targets(rows)[0] == -1


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ("nowhere:targets", r"looked for conf/mine/nowhere\.py, src/nowhere\.py and an installed package"),
        ("math:targets", "no source"),
        ("broken.rule:targets", "no source"),
        ("rule:other", "cannot be imported: AttributeError"),
        ("rule:NUMBER", "must be a function of the features, was 5"),
        ("data/absent.csv", "absent.csv"),
    ],
)
def test_what_cannot_be_found_names_where_it_was_looked_for(project, monkeypatch, targets, message):
    write("broken/__init__.py", "raise RuntimeError")
    monkeypatch.syspath_prepend(str(project))
    with pytest.raises(StrategyError, match=message):
        strategy("NUMBER = 5\ndef targets(f): return [0] * len(f)", targets).targets(split_rows(1, 1))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ("rule", r"must be module:function, or a file that ends in \.csv or \.parquet, was 'rule'"),
        ("/etc/targets.csv", "below the project's conf/, src/ or data/"),
        ("data/../../targets.csv", "below the project's conf/, src/ or data/"),
        ("elsewhere/targets.csv", "below the project's conf/, src/ or data/"),
        ("rule:a.b", "must be module:function"),
    ],
)
def test_a_reference_that_leaves_the_project_is_no_parameter(targets, message):
    with pytest.raises(ParameterError, match=r"candidate\.targets: .*" + message):
        contract_of(targets)


def test_without_a_strategy_of_one_s_own_no_contract_has_another_hash():
    parameters = parameters_of("smoke")
    assert "candidate" not in parameters.model_dump(mode="json")
    assert contract_of("rule:targets").frozen_config["candidate"] == {"targets": "rule:targets"}


def test_the_sealed_copy_runs_whatever_becomes_of_the_source(project):
    made, rows = strategy(FOLLOW), split_rows(1, 2)
    made.seal()
    source = Path("conf/mine/rule.py")
    assert made.model_hash == hashlib.sha256(source.read_bytes()).hexdigest()
    before = made.targets(rows)
    source.write_text("def targets(f): return [0] * len(f)")
    again = open_candidate(made.folder, made.manifest_hash)
    assert again.model_hash == made.model_hash
    assert again.targets(rows).tolist() == before.tolist() != [0] * 60
    assert read_strategy(Path("models"), contract_of("rule:targets")).model_hash != made.model_hash


def test_a_touched_copy_is_refused_and_none_is_a_bundle(project):
    made = strategy(FOLLOW)
    made.seal()
    with pytest.raises(
        BundleError, match=r"rule:targets: an own strategy has no bundle, so it cannot be ser"
    ):
        require_bundle(open_candidate(made.folder, made.manifest_hash))
    (made.folder / "rule.py").write_text(textwrap.dedent(FOLLOW) + " ")
    with pytest.raises(LineageError, match=r"rule\.py: altered"):
        open_strategy(made.folder, made.manifest_hash)


def test_nothing_is_kept_from_one_call_to_the_next(project):
    counting = """
        from dataclasses import dataclass
        @dataclass
        class Calls:
            n: "int" = 0
        CALLS = Calls()
        def targets(f):
            CALLS.n += 1
            return [CALLS.n] * len(f)
        """
    made, rows = strategy(counting), split_rows(1, 3)
    assert [made.decide(rows)[0] for _ in range(3)] == [1, 1, 1]


def table(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"bar": rows.index, "target": np.sign(rows["dxy_change_1d"].to_numpy())})


@pytest.mark.parametrize("name", ["data/t.csv", "data/t.parquet"])
def test_a_file_s_targets_are_those_of_its_bars_and_others_keep_the_one_before(project, name):
    rows = split_rows(2, 4)
    some = table(rows).iloc[10:100:3]
    Path("data").mkdir()
    some.to_parquet(name) if name.endswith("parquet") else some.to_csv(name, index=False)
    found = read_strategy(Path("m"), contract_of(name)).targets(rows)
    held, expected = 0, []
    stated = dict(zip(some["bar"], some["target"], strict=True))
    for bar in rows.index:  # the slow twin
        held = stated.get(bar, held)
        expected.append(held)
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda t: t.assign(bar=t["bar"].dt.tz_localize(None)), r"bar needs its zone, as .*was 2024-07-02"),
        (lambda t: pd.concat([t, t.iloc[3:4]]), "each bar once; 2024-07-02 13:15"),
        (lambda t: t.assign(target=2), r"a target is -1, 0 or 1.*120 are not, the first is 2"),
        (lambda t: t.assign(bar=t["bar"] - pd.Timedelta(days=900)), "holds no bar of 2024-07-02"),
        (lambda t: t.rename(columns={"target": "position"}), "needs the columns bar and target"),
        (lambda t: t.assign(target="long"), "needs the columns bar and target"),
    ],
)
def test_a_file_that_says_no_targets_is_refused(project, bad, message):
    rows = split_rows(2, 4)
    Path("data").mkdir()
    bad(table(rows)).to_csv("data/t.csv", index=False)
    with pytest.raises(StrategyError, match=message):
        read_strategy(Path("m"), contract_of("data/t.csv")).targets(rows)


def checked(source: str):
    contract, history = sample_case()
    config = {**contract.frozen_config, "candidate": {"targets": "rule:targets"}}
    own = contract.model_copy(update={"frozen_config": config, "config_hash": digest_json(config)})
    write("conf/smoke/rule.py", source)
    return check_strategy(read_strategy(Path("m"), own), own.parameters, *history)


@pytest.mark.slow
def test_the_leak_check_lets_honest_rules_and_constants_through_and_reads_no_bar_of_test(project):
    report = checked(FOLLOW)
    (target,) = report.features
    assert report.clean and any("dxy" in name for name in target.inputs)
    assert report.last_bar < pd.Timestamp("2023-09-01", tz="UTC")
    assert checked("def targets(f): return [1] * len(f)").unproven == ("target",)


@pytest.mark.slow
def test_the_leak_check_refuses_a_rule_that_looks_ahead(project):
    with pytest.raises(
        StrategyError, match=r"rule:targets: not judged, the leak check found: target at 202[23]-"
    ):
        checked("import numpy as np\ndef targets(f): return np.sign(f['log_ret_5m'].shift(-2))")
