"""CTR-EXP-{name}: an experiment frozen once, before its data are looked at."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from dosvotos.contracts import features
from dosvotos.contracts.parameters import (
    REWARD_CONTRACT_ID,
    REWARD_VERSION,
    EvidenceParams,
    Parameters,
    read_parameters,
)
from dosvotos.contracts.window import JudgedWindow, WindowFacts, WindowStatus
from dosvotos.errors import ContractError, ParameterError
from dosvotos.hashing import digest_json
from dosvotos.refusals import Phrase

SCHEMA: Final = 5
"""Of the contracts made now. Those of 1 hold no `schema` and no `stated`, and their acquisition_hash covers
when values were fetched; those below 3 train no linear rival; those below 4 hold
`inference.max_bar_age_minutes`, for which signals have a deadline now; those below 5 record no drift."""
_SCHEMA_OF_LINEAR_RIVAL: Final = 3
_SCHEMA_OF_DRIFT: Final = 5

_OUTSIDE_THE_HASH: Final = {"data_acquisition", "delivery", "run_name"}
_ALWAYS_STATED: Final = ("experiment.name", "experiment.version", "experiment.instrument")
_REMOVED_AFTER_1: Final = ("min_psr", "max_spa_p_value", "bootstrap_replications", "seed")
"""Parameters of `evidence` that became the house's policy."""
_REMOVED_AFTER_3: Final = "max_bar_age_minutes"
_AS_OF: Final = ("created_at", "data_as_of")
"""What a draft has of `as_of`, which a person may choose."""
_ABSENT: Final = "absent"
_RAISE_VERSION: Final = "Raise experiment.version to run the change as a new contract."


class ExperimentContract(BaseModel):
    """The agreement every later layer works from: a draft until training starts, then immutable.

    Notes
    -----
    `config_hash` covers the resolved and fully defaulted parameters (`frozen_config`); `test_end` and
    `data_as_of` are settled when the contract is made and stand beside the hash. Later exceptions of the
    calendar change neither.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    contract_id: str
    contract_version: str
    experiment_name: str
    experiment_version: str
    config_hash: str
    feature_order_hash: str
    reward_config_hash: str
    components: dict[str, str]
    frozen_config: dict[str, Any]
    test_end: date
    data_as_of: AwareDatetime
    created_at: AwareDatetime
    trained_by: str
    immutable: Literal[True] = True
    window_status: WindowStatus | None = None
    """Who chose the test window, judged when the contract was made; None in contracts from before."""
    window_facts: WindowFacts | None = None
    schema_version: int = Field(default=1, ge=1, alias="schema")
    """Which version of Dos Votos reads `frozen_config` and hashes its data; 1 where none is written."""
    stated: dict[str, Any] | None = None
    """What conf/<experiment> and --params said, by ``section.name``; None where that is not known."""

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if (found := digest_json(self.frozen_config)) != self.config_hash:
            raise ValueError(Phrase.of("contract_hash", stated=self.config_hash, found=found))
        if self.schema_version > SCHEMA:
            raise ValueError(Phrase.of("contract_schema", found=self.schema_version, known=SCHEMA))
        return self

    @property
    def has_linear_rival(self) -> bool:
        """Whether its training fits a linear rival, which the bundle then holds."""
        return self.schema_version >= _SCHEMA_OF_LINEAR_RIVAL

    @property
    def records_drift(self) -> bool:
        """Whether its dataset's record holds val's drift."""
        return self.schema_version >= _SCHEMA_OF_DRIFT

    @property
    def parameters(self) -> Parameters:
        """The frozen parameters, typed, with the test's end filled in."""
        dates = self.frozen_config["date_ranges"]
        return self._read({"date_ranges": {**dates, "test": {**dates["test"], "end": self.test_end}}})

    @property
    def present_config(self) -> dict[str, Any]:
        """The frozen parameters as a contract made now would write them."""
        return hashed_config(self._read({}))

    def _read(self, changes: dict[str, Any]) -> Parameters:
        """Read the frozen parameters; the section outside the hash, which only L0 reads, is neutral."""
        simulated = self.frozen_config["experiment"]["instrument"].endswith(".SIM")
        acquisition = {"source": "sample" if simulated else "files", "as_of": self.data_as_of}
        tree = {**self.frozen_config, "data_acquisition": acquisition}
        if self.schema_version < 4:
            tree["inference"] = {k: v for k, v in tree["inference"].items() if k != _REMOVED_AFTER_3}
        if self.schema_version == 1:
            known = EvidenceParams.model_fields
            gone = {name for name in _REMOVED_AFTER_1 if name not in known}
            tree["evidence"] = {k: v for k, v in tree["evidence"].items() if k not in gone}
            if simulated:
                tree |= _end_of_the_sample_market(tree)
        tree |= changes
        try:
            return read_parameters(tree)
        except ParameterError as error:
            raise ContractError.of(
                "contract_older", contract=self.contract_id, version=self.contract_version, problem=error
            ) from error


def hashed_config(parameters: Parameters) -> dict[str, Any]:
    """The part of the parameters that makes an experiment what it is, JSON-like."""
    return parameters.model_dump(mode="json", exclude=_OUTSIDE_THE_HASH)


def reward_config(parameters: Parameters) -> dict[str, Any]:
    """Reward weights and the curriculum that scales them, JSON-like."""
    return parameters.model_dump(mode="json", include={"reward", "curriculum"})


def stated_config(parameters: Parameters) -> dict[str, Any] | None:
    """What the experiment itself states of its hashed part, by ``section.name``; None where nobody knows.

    Name, version and instrument are its own wherever they stand.
    """
    if parameters.stated is None:
        return None
    resolved = flatten(hashed_config(parameters))
    own = {n: v for n, v in parameters.stated.items() if n.partition(".")[0] not in _OUTSIDE_THE_HASH}
    return {**own, **{name: resolved[name] for name in _ALWAYS_STATED}}


def contract_id_of(parameters: Parameters) -> str:
    """CTR-EXP-{name}; of a single walk-forward fold also which one it is."""
    splits = parameters.splits
    fold = f".fold-{splits.fold}-of-{splits.folds}" if splits.fold is not None else ""
    return f"CTR-EXP-{parameters.experiment.name}{fold}"


def make_contract(
    parameters: Parameters,
    test_end: date,
    trained_by: str,
    data_as_of: AwareDatetime | None = None,
    window: JudgedWindow | None = None,
) -> ExperimentContract:
    """Freeze an experiment as of ``parameters.data_acquisition.as_of``, or on older data as told."""
    experiment = parameters.experiment
    config = hashed_config(parameters)
    now = parameters.data_acquisition.as_of
    return ExperimentContract(
        contract_id=contract_id_of(parameters),
        contract_version=experiment.version,
        experiment_name=experiment.name,
        experiment_version=experiment.version,
        config_hash=digest_json(config),
        feature_order_hash=features.FEATURE_ORDER_HASH,
        reward_config_hash=digest_json(reward_config(parameters)),
        components={
            features.CONTRACT_ID: features.VERSION,
            REWARD_CONTRACT_ID: REWARD_VERSION,
            "CTR-DATE-001": parameters.date_ranges.version,
            "CTR-L0-SSOT-001": parameters.macro_variables.version,
            "CTR-QUAL-001": parameters.quality_thresholds.version,
        },
        frozen_config=config,
        test_end=test_end,
        data_as_of=data_as_of or now,
        created_at=now,
        trained_by=trained_by,
        schema=SCHEMA,
        stated=stated_config(parameters),
        window_status=window.status if window else None,
        window_facts=window.facts if window else None,
    )


def next_fold(contract: ExperimentContract, parameters: Parameters, trained_by: str) -> ExperimentContract:
    """The contract of a further fold: the same experiment, the same test's end, the same data.

    Raises
    ------
    ContractError
        If anything but the fold differs.
    """
    fold, stated = contract.frozen_config["splits"]["fold"], stated_config(parameters)
    in_first = None if stated is None else {**stated, "splits.fold": fold}
    present = hashed_config(parameters)
    _check_same(contract, _in_fold(present, fold), in_first)
    config = _in_fold(contract.frozen_config, parameters.splits.fold)
    return ExperimentContract.model_validate(
        {
            **contract.model_dump(),
            "contract_id": contract_id_of(parameters),
            "config_hash": digest_json(config),
            "frozen_config": config,
            "stated": stated,
            "created_at": parameters.data_acquisition.as_of,
            "trained_by": trained_by,
        }
    )


def _in_fold(config: Mapping[str, Any], fold: int | None) -> dict[str, Any]:
    return {**config, "splits": {**config["splits"], "fold": fold}}


def check_unchanged(contract: ExperimentContract, parameters: Parameters) -> None:
    """Refuse parameters that differ from the contract of the same name and version.

    What the project's defaults have become since is no difference where the experiment states the same as
    then: it runs under its frozen values.

    Raises
    ------
    ContractError
        Naming each changed parameter with its frozen and its present value, and who changed it.
    """
    _check_same(contract, hashed_config(parameters), stated_config(parameters))


def project_changes(contract: ExperimentContract, parameters: Parameters) -> list[str]:
    """Name the parameters whose present values differ from the frozen ones, with both."""
    return difference_lines(config_differences(contract.frozen_config, hashed_config(parameters)))


def check_draft(draft: ExperimentContract, expected: ExperimentContract) -> None:
    """Refuse a draft that is not what the dataset layer would write now.

    Raises
    ------
    ContractError
        Naming what differs, and the way out.
    """
    again = "run 'kedro run --pipelines dataset' again"
    name = f"the draft of {draft.contract_id} version {draft.contract_version}"
    if changed := difference_lines(config_differences(draft.frozen_config, expected.frozen_config)):
        raise ContractError(f"{name}: its parameters have changed; {again}:\n" + "\n".join(changed))
    if draft.test_end < expected.test_end:
        raise ContractError(
            f"{name} ends {draft.test_end}, but the last complete session stored is {expected.test_end}; "
            f"{again}. An end of your own stands in date_ranges.test.end"
        )
    if expected.created_at == expected.data_as_of and draft.created_at != draft.data_as_of:
        raise ContractError(
            f"{name}: created_at is {draft.created_at.isoformat()}, data_as_of "
            f"{draft.data_as_of.isoformat()}; both are the dataset's as_of; {again}"
        )
    then, now = _fields_of(draft), _fields_of(expected)
    for field in sorted(then.keys() | now.keys()):
        found, wanted = then.get(field, _ABSENT), now.get(field, _ABSENT)
        if found != wanted:
            raise ContractError(f"{name}: {field} is {found!r}, would now be {wanted!r}; {again}")


def _fields_of(contract: ExperimentContract) -> dict[str, Any]:
    """Give all fields but those of `as_of`, and each of the window's facts as a field of its own."""
    fields = {name: getattr(contract, name) for name in ExperimentContract.model_fields.keys() - {*_AS_OF}}
    facts = fields.pop("window_facts")
    return fields | (flatten({"window_facts": facts.model_dump()}) if facts else {})


def _check_same(contract: ExperimentContract, present: dict[str, Any], stated: dict[str, Any] | None) -> None:
    if _compared(present) == _compared(contract.frozen_config) or _reads_as(contract, present):
        return
    name = f"{contract.contract_id} version {contract.contract_version} is frozen and"
    differences = config_differences(_as_read_now(contract), present)
    if contract.stated is None or stated is None:
        lines = difference_lines(differences)
        raise ContractError("\n".join([f"{name} its parameters have changed:", *lines, _RAISE_VERSION]))
    then = contract.stated
    own = {n: v for n, v in differences.items() if then.get(n, _ABSENT) != stated.get(n, _ABSENT)}
    if own:
        others = {n: v for n, v in differences.items() if n not in own}
        lines = ["you changed, in the experiment's folder or by --params:", *difference_lines(own)]
        lines += (
            ["the project changed, in its defaults or its code:", *difference_lines(others)] if others else []
        )
        raise ContractError("\n".join([f"{name} the experiment has changed;", *lines, _RAISE_VERSION]))


def _as_read_now(contract: ExperimentContract) -> dict[str, Any]:
    """The frozen parameters as a contract made now would have them, as far as this version can read them."""
    try:
        return contract.present_config
    except ContractError:
        return contract.frozen_config


def _end_of_the_sample_market(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of schema 1 with the end stated where it stands now: of the sample market, not of test."""
    dates, market = tree["date_ranges"], tree["sample_market"]
    if (end := dates["test"]["end"]) is None or "test_end" in market:
        return {}
    of_test = {**dates["test"], "end": None}
    return {"date_ranges": {**dates, "test": of_test}, "sample_market": {**market, "test_end": end}}


def _reads_as(contract: ExperimentContract, present: dict[str, Any]) -> bool:
    """Whether an older contract, read by this version, has these parameters."""
    try:
        return contract.schema_version < SCHEMA and _compared(contract.present_config) == _compared(present)
    except ContractError:
        return False


def _compared(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a contract is held to: later exceptions of the calendar refuse no frozen one."""
    return {section: values for section, values in config.items() if section != "calendar"}


def config_differences(frozen: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Give what two configurations hold differently, by ``section.name``; the calendar is left aside."""
    then, now = flatten(_compared(frozen)), flatten(_compared(present))
    both = ((n, then.get(n, _ABSENT), now.get(n, _ABSENT)) for n in sorted(then.keys() | now.keys()))
    return {name: (old, new) for name, old, new in both if old != new}


def difference_lines(differences: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Write differences one a line, both values in each."""
    return [f"  - {name}: frozen {old!r}, now {new!r}" for name, (old, new) in differences.items()]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write a nested tree as ``section.name: value`` pairs."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return flat
