"""The result of a leak check: findings by feature, as data and as sentences."""

from datetime import datetime
from typing import Final

import pandas as pd
from pydantic import AwareDatetime, BaseModel, ConfigDict

RULES: Final = {
    "future": "sees what was not yet known",
    "kept": "depends on what the first call of its process saw",
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
"""What a feature or split that violates a rule does."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Record):
    """A rule that a feature or split violates, by the first example found."""

    subject: str
    """The feature, or the two splits."""
    rule: str
    """One of `RULES`."""
    at: AwareDatetime | None
    """Open of the bar, if it is about one."""
    detail: str
    """What happened, as a sentence."""
    hint: str = ""
    """What usually causes this."""
    n_probes: int = 1
    """Number of probes that found it."""


class FeatureReport(_Record):
    """The probes and findings of one feature."""

    feature: str
    probes: int
    """Probes in which it had a value to compare."""
    inputs: tuple[str, ...]
    """Inputs that were seen to move it: ``bars``, ``clock``, variables."""
    is_clock: bool = False
    """Whether it is declared to depend on the bars' times alone."""
    findings: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> str:
        """``clean``, the first violated rule, or ``unproven``.

        A feature is unproven if no probe could compare a value, or if neither bars nor macro values moved it:
        whatever it is made of, nothing of that was perturbed.
        """
        if self.findings:
            return self.findings[0].rule
        is_moved = self.is_clock or any(name != "clock" for name in self.inputs)
        return "clean" if self.probes and is_moved else "unproven"


class LeakReport(_Record):
    """The result of a leak check."""

    pipeline: str
    seed: int
    bars: int
    first_bar: AwareDatetime
    last_bar: AwareDatetime
    probes: dict[str, int]
    """Number of probes by kind."""
    features: tuple[FeatureReport, ...]
    dataset: tuple[Finding, ...]
    """Findings about splits and normalisation."""
    notes: tuple[str, ...] = ()
    """Probes that could not be made, and why."""

    @property
    def clean(self) -> bool:
        """Whether there is no finding, and no feature about which nothing was proven."""
        return not self.findings() and not self.unproven

    @property
    def unproven(self) -> tuple[str, ...]:
        """The features that no probe says anything about."""
        return tuple(one.feature for one in self.features if one.verdict == "unproven")

    def findings(self) -> tuple[Finding, ...]:
        """Return all findings, those of features first."""
        return (*(f for feature in self.features for f in feature.findings), *self.dataset)


def format_time(moment: datetime) -> str:
    """Write a moment in UTC, to the minute if it is a whole one, else to the microsecond."""
    utc = pd.Timestamp(moment).tz_convert("UTC")
    is_whole = utc == utc.floor("min")
    return utc.strftime("%Y-%m-%d %H:%M" if is_whole else "%Y-%m-%d %H:%M:%S.%f")


def format_duration(length: pd.Timedelta) -> str:
    """Write a duration in days, hours and minutes."""
    minutes = length.total_seconds() / 60
    if minutes < 1:
        return "an instant"
    days, rest = divmod(round(minutes), 24 * 60)
    hours, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (rest, "min")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n)


def format_change(before: float, after: float) -> str:
    """Write how a value changed; NaN is a missing value."""
    if pd.isna(before):
        return f"appeared as {after:.4g}"
    if pd.isna(after):
        return f"vanished (it was {before:.4g})"
    return f"moved by {after - before:+.4g}"
