"""A refit: an approved contract on later data, in which nothing but dates has changed."""

from typing import Final

from dosvotos.contracts.experiment import ExperimentContract, config_differences, difference_lines
from dosvotos.errors import ContractError

_DATES: Final = ("date_ranges.", "sample_market.test_end", "experiment.version")
"""What a refit may change: its dates, and the version that every change of a contract raises."""


def check_refit(approved: ExperimentContract, contract: ExperimentContract) -> None:
    """Refuse a contract that is more than an approved one on later data.

    Parameters
    ----------
    approved : ExperimentContract
        As this version of Dos Votos reads it.
    contract : ExperimentContract

    Raises
    ------
    ContractError
        Naming every other parameter that differs with both values, or the date that does not lie later.
    """
    named = {
        "contract": contract.contract_id,
        "version": contract.contract_version,
        "approved": approved.contract_version,
    }
    if contract.parameters.candidate is not None or contract.parameters.splits.is_line:
        raise ContractError.of("refit_kind", **named)
    differences = config_differences(approved.present_config, contract.present_config)
    others = {field: both for field, both in differences.items() if not field.startswith(_DATES)}
    if others:
        raise ContractError.of("refit_changed", **named, changes="\n".join(difference_lines(others)))
    _check_later(named, approved, contract)


def _check_later(named: dict[str, str], approved: ExperimentContract, contract: ExperimentContract) -> None:
    """Ask for no boundary of train and val to lie earlier, and for val to end later."""
    then, now = approved.parameters.date_ranges, contract.parameters.date_ranges
    for split in ("train", "val"):
        for edge in ("start", "end"):
            old, new = getattr(getattr(then, split), edge), getattr(getattr(now, split), edge)
            if new < old:
                raise ContractError.of(
                    "refit_earlier", **named, name=f"{split}.{edge}", found=new, before=old
                )
    if now.val.end == then.val.end:
        raise ContractError.of("refit_same_end", **named, end=now.val.end)
