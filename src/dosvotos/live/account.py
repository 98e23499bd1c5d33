"""The account of a model's own assumed fills, bar by bar: what the backtest's account would be so far."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final, NamedTuple, Self
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from dosvotos.contracts.parameters import TradingParams
from dosvotos.database.live_limits import add_account, closes_between, last_account, last_resume
from dosvotos.errors import DataError
from dosvotos.market.accounting import DAYS_PER_YEAR, RUIN_SHARE, fill, mark
from dosvotos.market.calendar import BAR, BOGOTA

_ZONE: Final = ZoneInfo(BOGOTA)
TargetBefore = Callable[[datetime], float]
"""Gives the last target signalled before a bar, which fills at its close."""


class AccountTerms(NamedTuple):
    """What an account depends on beside prices and targets."""

    cost: float
    """Fraction of the traded notional paid a side."""
    capital: float
    """Starting balance, in the account's currency."""
    financed: bool
    """Whether positions held over a session's end accrue the rate difference."""

    @classmethod
    def of(cls, trading: Mapping[str, Any]) -> Self:
        """Take them from a frozen contract's section ``trading``."""
        params = TradingParams.model_validate(trading)
        return cls(params.costs.per_side, params.initial_capital, params.financing == "policy_rates")


class AccountBook(NamedTuple):
    """Which account, and the market it is marked to."""

    instrument: str
    feed: str
    approval_id: int
    """The approval's row of the log."""
    terms: AccountTerms


class LiveAccount(NamedTuple):
    """An account at a bar's close, after that close's fill."""

    timestamp: datetime
    """The bar's open, UTC."""
    price: float
    rate_difference: float | None
    """Percent a year, fed funds minus TPM as last known; None while unknown."""
    units: float
    equity: float
    peak: float
    """Since the approval."""
    resumed_peak: float
    """Since the last RESUME, or the approval if that is later."""
    resumed_by: int
    """The log's row of that RESUME; 0 before the first."""

    @property
    def drawdown(self) -> float:
        """Loss from the peak since the last RESUME, a positive fraction."""
        return 1 - self.equity / self.resumed_peak

    @property
    def approval_drawdown(self) -> float:
        """Loss from the peak since the approval, a positive fraction."""
        return 1 - self.equity / self.peak


class Mark(NamedTuple):
    """What a bar brings to the accounts."""

    timestamp: datetime
    price: float
    rate_difference: float | None = None


def open_account(terms: AccountTerms, first: Mark, position: float, resumed_by: int = 0) -> LiveAccount:
    """Open an account at a bar's close, holding without fee the position it inherits."""
    units, equity = position * terms.capital / first.price, terms.capital
    return LiveAccount(*first, units, equity, equity, equity, resumed_by)


def advance(
    account: LiveAccount, terms: AccountTerms, bar: Mark, target: float, resumed_by: int = 0
) -> LiveAccount:
    """Mark an account to a later bar's close and fill there the target of the bar before.

    Notes
    -----
    `market.accounting.run_account` bar by bar: financing at a session's first bar, and the same rule of ruin,
    after which the account holds nothing.
    """
    equity, ruin = mark(account.equity, account.units, account.price, bar.price), RUIN_SHARE * terms.capital
    if terms.financed and account.units and account.rate_difference is not None:
        nights = (_session(bar) - _session(account)).days
        rate = account.rate_difference / 100 / DAYS_PER_YEAR * nights
        equity += rate * account.units * account.price
    if equity <= ruin or fill(equity, account.units, target, bar.price, terms.cost)[0] <= ruin:
        target = 0.0
    equity, units, _ = fill(equity, account.units, target, bar.price, terms.cost)
    resumed_peak = account.resumed_peak if account.resumed_by == resumed_by else equity
    return LiveAccount(
        bar.timestamp,
        bar.price,
        account.rate_difference if bar.rate_difference is None else bar.rate_difference,
        float(units),
        float(equity),
        max(account.peak, float(equity)),
        max(resumed_peak, float(equity)),
        resumed_by,
    )


def _session(at: Mark | LiveAccount) -> date:
    return at.timestamp.astimezone(_ZONE).date()


def keep_account(
    connection: Connection,
    book: AccountBook,
    bar: datetime,
    rate_difference: float | None,
    target_before: TargetBefore,
) -> LiveAccount:
    """Bring an approval's account up to a bar, over all bars stored since its last row, and store it.

    The caller holds the instrument's lock. A bar that the account has already is not traded again; one that
    is stored after a later bar was taken stays out.

    Raises
    ------
    DataError
        If the bar is not stored.
    """
    resumed_by, row = last_resume(connection, book.instrument), last_account(connection, book.approval_id)
    account = None if row is None else LiveAccount(*(getattr(row, name) for name in LiveAccount._fields))
    if account is not None and account.timestamp >= bar:
        return account
    after = bar - BAR.to_pytimedelta() if account is None else account.timestamp
    for opened, price in closes_between(connection, book.instrument, book.feed, after, bar).items():
        mark_to = Mark(opened, price, rate_difference if opened == bar else None)
        target = target_before(opened)
        if account is None:
            account = open_account(book.terms, mark_to, target, resumed_by)
        else:
            account = advance(account, book.terms, mark_to, target, resumed_by)
        values = {"approval_id": book.approval_id, "instrument": book.instrument}
        add_account(connection, values | account._asdict())
    if account is None or account.timestamp != bar:
        raise DataError(
            f"{book.instrument}: bar {bar} is not stored, so no account can be marked to it; run 'kedro "
            "run --pipelines data_acquisition' first"
        )
    return account
