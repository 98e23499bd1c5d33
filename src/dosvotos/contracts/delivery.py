"""Where signals are delivered; outside the experiment's hash."""

from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, PositiveFloat

from dosvotos.contracts.section import Section

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def _safe_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError(f"must be https, or http on this machine, was {parts.scheme or 'no'} address")
    if parts.username or parts.password or parts.query:
        raise ValueError("must hold no name, password or query; what is secret stands in the environment")
    return url


class DeliveryParams(Section):
    """Who is told of each signal."""

    notional_usd: PositiveFloat = 100_000.0
    """USD that a target of 1 stands for."""
    webhook: Annotated[str, AfterValidator(_safe_address)] | None = None
    """Address that each signal is posted to, signed with DOSVOTOS_WEBHOOK_SECRET."""
    jsonl: str | None = None
    """File that each signal is appended to, from the project's root."""
    timeout_seconds: PositiveFloat = 5.0
    """How long the webhook may take to answer."""
