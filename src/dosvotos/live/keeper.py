"""The model that is served now: replaced at a promotion's next bar, and never served under a false name."""

import logging
from typing import Any, Protocol

from sqlalchemy import Engine, Row

from dosvotos.contracts.parameters import InferenceParams, Parameters
from dosvotos.database.connection import reading
from dosvotos.database.registry import last_log_row, production_rows
from dosvotos.errors import BundleError, DatabaseError, DosVotosError, FileError, LineageError
from dosvotos.live.account import AccountBook, AccountTerms
from dosvotos.live.alerts import Alerts
from dosvotos.live.limits import Approval
from dosvotos.live.production import ProductionModel, check_dossier, open_production
from dosvotos.live.tick import ServedModel, served_model
from dosvotos.policy.bundle import Bundle
from dosvotos.promotion.tripwires import Lapses

logger = logging.getLogger(__name__)

_REFUSED, _DAMAGED = "MODEL_REFUSED", "BUNDLE_DAMAGED"


class ModelSource(Protocol):
    """Where the loop's model comes from."""

    def current(self) -> ServedModel | None:
        """Give the model to be served now; None without one."""

    def recheck(self) -> None:
        """Compare all that is stored of it, its files included."""


class ModelKeeper:
    """The production model of an instrument, in memory.

    Parameters
    ----------
    engine : Engine
    instrument : str
    parameters : Parameters
        By which features are computed; a model trained on others is refused.
    alerts : Alerts

    Notes
    -----
    At each bar the rows that name the model are compared with those it was opened under, and the last row
    of the log of votes. A difference opens everything again; until that succeeds nothing is served.
    """

    def __init__(self, engine: Engine, instrument: str, parameters: Parameters, alerts: Alerts) -> None:
        self._engine, self._instrument, self._parameters = engine, instrument, parameters
        self._alerts = alerts
        self._served: ServedModel | None = None
        self._opened_under: Any = None

    def current(self) -> ServedModel | None:
        """Give the model to be served now; None when no vote has made one.

        Raises
        ------
        LineageError, BundleError
            If bundle, registry, head row, proposal, dossier and vote do not agree: nothing may be signalled.
        """
        named = self._rows()
        if self._opened_under != named:
            self._opened_under = None
            self._open()
            self._opened_under = named
        return self._served

    def recheck(self) -> None:
        """Open everything once more: damaged files raise an alert, other differences stop serving."""
        if self._opened_under is None:
            return
        try:
            production = open_production(self._engine, self._instrument)
            if production is not None:
                check_dossier(self._engine, production)
        except DatabaseError as error:
            logger.warning("the model could not be checked: %s", error)
        except LineageError as error:
            self._opened_under = None
            self._alerts.raise_alert(_REFUSED, str(error))
        except (BundleError, FileError) as error:
            self._alerts.raise_alert(_DAMAGED, f"{error}; served on from memory, a restart will halt")
        else:
            self._alerts.clear(_DAMAGED)

    def _rows(self) -> Any:
        with reading(self._engine) as connection:
            rows = production_rows(connection, self._instrument)
            last = last_log_row(connection)
        return [None if row is None else tuple(row) for row in (*rows, last)]

    def _open(self) -> None:
        try:
            production = open_production(self._engine, self._instrument)
            if production is not None:
                check_dossier(self._engine, production)
                check_features(production.bundle, self._parameters)
        except DosVotosError as error:
            if not isinstance(error, DatabaseError):
                self._alerts.raise_alert(_REFUSED, str(error))
            raise
        self._alerts.clear(_REFUSED)
        self._swap(None if production is None else serve(production, self._parameters.feed))

    def _swap(self, new: ServedModel | None) -> None:
        old, self._served = self._served, new
        names = [model.model_id if model else None for model in (old, new)]
        if old is not None and names[0] != names[1]:
            logger.info("Model reloaded: %s -> %s", *names)


def check_features(bundle: Bundle, parameters: Parameters) -> None:
    """Refuse a model that was trained on features computed otherwise.

    Raises
    ------
    LineageError
        Naming the parameter with both values.
    """
    model = f"{bundle.config['experiment']['instrument']}: the model of {bundle.config['experiment']['name']}"
    trained, here = bundle.config["features"]["range_source"], parameters.features.range_source
    if trained != here:
        raise LineageError(
            f"{model} was trained with features.range_source {trained}, this experiment computes {here}; run "
            "the loop under the model's own experiment"
        )
    frozen = bundle.config["macro_variables"]["variables"]
    for name, variable in parameters.macro_variables.variables.items():
        if name in frozen and frozen[name]["ffill_max_days"] != variable.ffill_max_days:
            raise LineageError(
                f"{model} was trained with {name}.ffill_max_days {frozen[name]['ffill_max_days']}, this "
                f"experiment has {variable.ffill_max_days}; run the loop under the model's own experiment"
            )


def serve(production: ProductionModel, feed: str | None = None) -> ServedModel:
    """Take from the production model what a signal is made with.

    Parameters
    ----------
    production : ProductionModel
    feed : str, optional
        The market its account is marked to; without one, as in a replay, no limit is judged.
    """
    bundle, approval = production.bundle, None
    named = production.row.model_id, bundle.manifest_hash
    if feed is not None and production.approval is not None:
        approval = approval_of(bundle, production.approval, production.row, feed, production.lapses)
    return served_model(
        *named, production.epoch, bundle.policy, production.silence, production.checkpoint, approval
    )


def approval_of(
    bundle: Bundle, approval: Row[Any], model: Row[Any], feed: str, lapses: Lapses | None
) -> Approval:
    """Take from a model's approval and its frozen contract what its limits are judged by."""
    frozen = bundle.config["inference"]  # of an older contract perhaps, whose other fields are gone by now
    inference = InferenceParams.model_validate(
        {k: frozen[k] for k in InferenceParams.model_fields if k in frozen}
    )
    terms = AccountTerms.of(bundle.config["trading"])
    account = AccountBook(model.instrument, feed, approval.id, terms)
    return Approval(account, approval.created_at, model.config_hash, lapses, inference.limits)
