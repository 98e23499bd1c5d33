"""The second road: a refit of an approved contract goes to shadow without a look, and never further."""

from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, Row

from dosvotos.audit.checkpoints import open_home
from dosvotos.audit.people import Trust
from dosvotos.audit.signatures import read_trust, verify_decision
from dosvotos.contracts.experiment import ExperimentContract
from dosvotos.contracts.records import LayerRecords
from dosvotos.contracts.refit import check_refit
from dosvotos.database.connection import reading
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.registry import find_model, promoting_votes
from dosvotos.errors import ContractError, DecisionError, DosVotosError
from dosvotos.market.splits import splits_of
from dosvotos.promotion.criteria import criterion_text, failure_reasons, is_passed, lineage_criterion
from dosvotos.promotion.gate_policy import current_policy
from dosvotos.promotion.proposal import (
    CONFIDENCE,
    PromotionProposal,
    ProposalLineage,
    Recommended,
    layer_hashes,
)
from dosvotos.promotion.reasons import Reason, explanation
from dosvotos.promotion.vote_rules import closing_vote, earlier_votes

CODE: Final = "refit"
"""The reason for which a refit is REVIEW."""


class Approved(NamedTuple):
    """A model that signed votes brought into production, and the contract it was trained under."""

    model_id: str
    contract: ExperimentContract


def refit_of(proposal: Row[Any]) -> str | None:
    """Give the approved model that a proposal, or a registered model, is a refit of; None of any other."""
    return proposal.lineage.get("refit_of") if isinstance(proposal.lineage, dict) else None


def find_approved(engine: Engine, contract: ExperimentContract, model_id: str | None = None) -> Approved:
    """Find the approved model that a contract is a refit of: the newest one that fits.

    Parameters
    ----------
    engine : Engine
    contract : ExperimentContract
        Of the refit.
    model_id : str, optional
        Of the one model to be compared with.

    Raises
    ------
    ContractError
        If no model of the experiment is approved to production, or more than dates differ from each; the
        differences from the newest are named.
    """
    instrument, refused = contract.parameters.experiment.instrument, list[ContractError]()
    with reading(engine) as connection:
        approved = _approved(connection, instrument, contract.experiment_name)
    contracts = ContractRegistry(engine)
    for row in approved:
        found = contracts.of_hash(row.experiment_name, row.config_hash)
        if found is None or model_id not in (None, row.model_id):
            continue
        try:
            check_refit(found, contract)
        except ContractError as error:
            refused.append(error)
        else:
            return Approved(row.model_id, found)
    if refused:
        raise refused[0]
    named = {"contract": contract.contract_id, "version": contract.contract_version}
    where = {"experiment": contract.experiment_name, "instrument": instrument}
    if model_id is not None:
        raise ContractError.of("refit_not_approved", **named, **where, model=model_id)
    raise ContractError.of("refit_none_approved", **named, **where)


def make_refit(layers: LayerRecords, approved: Approved) -> PromotionProposal:
    """Propose a refit for shadow: REVIEW without a figure of its test, or REJECT if its chain is broken.

    Parameters
    ----------
    layers : LayerRecords
        Without a backtest.
    approved : Approved

    Notes
    -----
    It names no production model: it is compared with none, and in shadow with whichever serves then.
    """
    chain = lineage_criterion(layers.chain)
    recommendation, reasons = _recommend(layers, approved) if is_passed([chain]) else _rejected(layers)
    test = splits_of(layers.contract.parameters)["test"]
    return PromotionProposal(
        model_id=layers.training.model_id,
        experiment_name=layers.contract.experiment_name,
        recommendation=recommendation,
        confidence=CONFIDENCE[recommendation],
        reason=explanation(recommendation, None, reasons),
        reasons=reasons,
        metrics=None,
        vs_baseline=None,
        criteria_results={chain.name: criterion_text(chain)},
        criteria=(chain,),
        evidence=None,
        lineage=ProposalLineage(
            **layer_hashes(layers),
            backtest_hash=None,
            test_dataset_hash=layers.dataset.splits["test"].digest,
            test_period=f"{test.first} to {test.last}",
            baseline_model_id=None,
            refit_of=approved.model_id,
            oracle_sharpe=None,
        ),
        findings=None,
    )


def check_refit_vote(connection: Connection, proposal: Row[Any], to_production: bool) -> None:
    """Refuse to approve a refit to production, or at all where the house's policy does not let it run.

    Raises
    ------
    DecisionError
    """
    if refit_of(proposal) is None:
        return
    if not current_policy(connection).refit_to_shadow:
        raise DecisionError.of("refit_policy", proposal=proposal.id)
    if to_production:
        raise DecisionError.of("refit_production", proposal=proposal.id, experiment=proposal.experiment_name)


def _recommend(layers: LayerRecords, approved: Approved) -> Recommended:
    then, now = approved.contract.parameters.date_ranges, layers.contract.parameters.date_ranges
    figures = {"model": approved.model_id, "before": str(then.val.end), "until": str(now.val.end)}
    return Recommended("REVIEW", (Reason(code=CODE, figures=figures),))


def _rejected(layers: LayerRecords) -> Recommended:
    return Recommended("REJECT", failure_reasons([lineage_criterion(layers.chain)]))


def _approved(connection: Connection, instrument: str, experiment: str) -> list[Row[Any]]:
    """List an experiment's models that valid votes brought into production, newest first."""
    votes = [row for row in promoting_votes(connection, instrument) if row.action == "APPROVE"]
    trust = read_trust(connection, open_home(connection)) if votes else None
    found: list[Row[Any]] = []
    for vote in reversed(votes):
        model = find_model(connection, vote.model_id)
        if (
            model is None
            or model.experiment_name != experiment
            or not _counts(connection, vote, trust, model)
        ):
            continue
        found.append(model)
    return found


def _counts(connection: Connection, vote: Row[Any], trust: Trust | None, model: Row[Any]) -> bool:
    """Tell whether an approval is signed by who could, over this model, and no REJECT followed."""
    try:
        signed = trust is not None and verify_decision(vote, trust).model == model.manifest_hash
    except DosVotosError:  # as production it would not be served either
        signed = False
    votes = earlier_votes(connection, model.manifest_hash, model.model_hash, model.instrument)
    return signed and closing_vote(votes) is None
