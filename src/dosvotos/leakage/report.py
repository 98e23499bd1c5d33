"""What a check found, feature by feature, in words."""

from datetime import datetime
from typing import Final

import pandas as pd
from pydantic import AwareDatetime, BaseModel, ConfigDict

RULES: Final = {
    "future": "sees what was not yet known",
    "stale": "is carried past a value's limit",
    "filled": "depends on bars that do not exist",
    "late": "sees a publication later, or longer, than it should",
    "deaf": "ignores an input it is made of",
    "wired": "reacts to an input it is not made of",
    "unrepeatable": "differs between two runs on the same data",
    "statistics": "normalisation of earlier rows moves with later ones",
    "overlap": "splits share rows or are out of order",
    "embargo": "fewer sessions between two splits than the embargo asks for",
}
"""What can be broken, and what that means."""


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Said):
    """One broken rule, by its first example."""

    subject: str
    """The feature, or the split."""
    rule: str
    """One of `RULES`."""
    at: AwareDatetime | None
    """The bar's open, where it is about one."""
    words: str
    """What happened, as a sentence."""
    hint: str = ""
    """What code usually does this."""
    times: int = 1
    """How many probes found it."""


class FeatureReport(_Said):
    """What is known of one feature."""

    feature: str
    probes: int
    """Probes in which it had a value to compare."""
    inputs: tuple[str, ...]
    """What was seen to move it: ``bars``, ``clock``, variables."""
    findings: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> str:
        """``clean``, ``unproven`` if no probe could look at it, or the first broken rule."""
        if self.findings:
            return self.findings[0].rule
        return "clean" if self.probes else "unproven"


class LeakReport(_Said):
    """The result of a check."""

    pipeline: str
    seed: int
    bars: int
    first_bar: AwareDatetime
    last_bar: AwareDatetime
    probes: dict[str, int]
    """How many of each kind."""
    features: tuple[FeatureReport, ...]
    dataset: tuple[Finding, ...]
    """What is wrong with splits and normalisation."""
    notes: tuple[str, ...] = ()
    """What could not be looked at, and why."""

    @property
    def clean(self) -> bool:
        """Whether no rule was found broken."""
        return not self.dataset and not any(feature.findings for feature in self.features)

    def findings(self) -> tuple[Finding, ...]:
        """All of them, features first."""
        return (*(f for feature in self.features for f in feature.findings), *self.dataset)


def stamp(moment: datetime) -> str:
    """A moment in UTC, to the minute where that says it all."""
    utc = pd.Timestamp(moment).tz_convert("UTC")
    whole = utc == utc.floor("min")
    return utc.strftime("%Y-%m-%d %H:%M" if whole else "%Y-%m-%d %H:%M:%S.%f")


def span(length: pd.Timedelta) -> str:
    """A length of time, as people say it."""
    minutes = length.total_seconds() / 60
    if minutes < 1:
        return "an instant"
    days, rest = divmod(round(minutes), 24 * 60)
    hours, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (rest, "min")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n)


def move(before: float, after: float) -> str:
    """How a value moved, missing ones included."""
    if pd.isna(before):
        return f"appeared as {after:.4g}"
    if pd.isna(after):
        return f"vanished (it was {before:.4g})"
    return f"moved by {after - before:+.4g}"
