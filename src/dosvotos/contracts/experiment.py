"""CTR-EXP-{name}: an experiment frozen once, before its data are looked at."""

from datetime import date
from typing import Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, model_validator

from dosvotos.contracts import features
from dosvotos.contracts.parameters import Parameters, read_parameters
from dosvotos.errors import ContractError, ParameterError
from dosvotos.hashing import digest_json

_OUTSIDE_THE_HASH = {"data_acquisition", "run_name"}


class ExperimentContract(BaseModel):
    """The immutable agreement every later layer works from.

    Notes
    -----
    `config_hash` covers the resolved and fully defaulted parameters (`frozen_config`); `test_end` and
    `data_as_of` are settled when the contract is made and stand beside the hash. Later exceptions of the
    calendar change neither.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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

    @model_validator(mode="after")
    def _hash_holds(self) -> Self:
        if (found := digest_json(self.frozen_config)) != self.config_hash:
            raise ValueError(f"config_hash is {self.config_hash}, but frozen_config hashes to {found}")
        return self

    @property
    def parameters(self) -> Parameters:
        """The frozen parameters, typed, with the test's end filled in.

        The section outside the hash stands with neutral values: no layer behind L0 reads it.
        """
        simulated = self.frozen_config["experiment"]["instrument"].endswith(".SIM")
        acquisition = {"source": "sample" if simulated else "files", "as_of": self.data_as_of}
        tree = {**self.frozen_config, "data_acquisition": acquisition}
        dates = tree["date_ranges"]
        tree["date_ranges"] = {**dates, "test": {**dates["test"], "end": self.test_end}}
        try:
            return read_parameters(tree)
        except ParameterError as error:
            raise ContractError(
                f"{self.contract_id} version {self.contract_version} was made by an older version of Dos "
                f"Votos, which this one cannot read; raise experiment.version and run all layers. {error}"
            ) from error


def hashed_config(parameters: Parameters) -> dict[str, Any]:
    """The part of the parameters that makes an experiment what it is, JSON-like."""
    return parameters.model_dump(mode="json", exclude=_OUTSIDE_THE_HASH)


def reward_config(parameters: Parameters) -> dict[str, Any]:
    """Reward weights and the curriculum that scales them, JSON-like."""
    return parameters.model_dump(mode="json", include={"reward", "curriculum"})


def contract_id_of(parameters: Parameters) -> str:
    """CTR-EXP-{name}; of a walk-forward fold also which one it is."""
    splits = parameters.splits
    fold = f".fold-{splits.fold}-of-{splits.folds}" if splits.mode == "walk_forward" else ""
    return f"CTR-EXP-{parameters.experiment.name}{fold}"


def make_contract(
    parameters: Parameters, test_end: date, trained_by: str, data_as_of: AwareDatetime | None = None
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
            "CTR-DATE-001": parameters.date_ranges.version,
            "CTR-L0-SSOT-001": parameters.macro_variables.version,
            "CTR-QUAL-001": parameters.quality_thresholds.version,
        },
        frozen_config=config,
        test_end=test_end,
        data_as_of=data_as_of or now,
        created_at=now,
        trained_by=trained_by,
    )


def check_unchanged(contract: ExperimentContract, parameters: Parameters) -> None:
    """Refuse parameters that differ from the contract of the same name and version.

    Raises
    ------
    ContractError
        Naming each changed parameter with its frozen and its present value.
    """
    present = hashed_config(parameters)
    if digest_json(present) == contract.config_hash:
        return
    frozen, now = ({**config, "calendar": {}} for config in (contract.frozen_config, present))
    if frozen == now:
        return
    frozen, now = flatten(frozen), flatten(now)
    changes = "\n".join(
        f"  - {name}: frozen {frozen.get(name, 'absent')!r}, now {now.get(name, 'absent')!r}"
        for name in sorted(frozen.keys() | now.keys())
        if frozen.get(name, "absent") != now.get(name, "absent")
    )
    raise ContractError(
        f"{contract.contract_id} version {contract.contract_version} is frozen and its parameters "
        f"have changed:\n{changes}\nRaise experiment.version to run the change as a new contract."
    )


def next_fold(contract: ExperimentContract, parameters: Parameters, trained_by: str) -> ExperimentContract:
    """The contract of a further fold: the same experiment, the same test's end, the same data.

    Raises
    ------
    ContractError
        If anything but the fold differs.
    """
    splits = parameters.splits.model_copy(update={"fold": contract.parameters.splits.fold})
    check_unchanged(contract, parameters.model_copy(update={"splits": splits}))
    return make_contract(parameters, contract.test_end, trained_by, contract.data_as_of)


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write a nested tree as ``section.name: value`` pairs."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return flat
