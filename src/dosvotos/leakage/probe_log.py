"""The log of a leak check: what each probe compared, which inputs moved a feature, and the findings."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.contracts.features import FEATURE_VARIABLES
from dosvotos.leakage.pipeline import CLOCK, FeaturePipeline, Features
from dosvotos.leakage.report import FeatureReport, Finding
from dosvotos.market.features import MarketHistory

_SHORT_NAMES: Final = {name: short.upper() for short, name in FEATURE_VARIABLES.items()}
_MAX_NOTES: Final = 5


class Excerpt(NamedTuple):
    """A part of the history, and its unperturbed features, which probes compare with."""

    history: MarketHistory
    baseline: Features
    suffix: str
    """Added to every sentence about it."""


@dataclass
class ProbeLog:
    """The comparisons and findings of one leak check so far."""

    pipeline: FeaturePipeline
    names: tuple[str, ...]
    scale: np.ndarray
    """Each feature's standard deviation over the whole history, shape (n_features,)."""
    comparisons: Counter[str] = field(default_factory=Counter)
    """By feature, the probes in which it had a value to compare."""
    probes: Counter[str] = field(default_factory=Counter)
    """By kind."""
    inputs: dict[str, set[str]] = field(default_factory=dict)
    """By feature, the inputs seen to move it."""
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)
    """By subject and rule."""
    excluded: set[str] = field(default_factory=set)
    """Features that differ from themselves, so that a comparison means nothing."""
    notes: list[str] = field(default_factory=list)

    def compute(self, history: MarketHistory) -> Features:
        """Compute the same features of another history."""
        return self.pipeline.compute(history, self.names)

    def differs(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Return a mask of the values that differ by more than the tolerance; two NaN are equal."""
        absent = np.isnan(before), np.isnan(after)
        with np.errstate(invalid="ignore"):
            is_apart = np.abs(before - after) > self.pipeline.tolerance * self.scale
        mask: np.ndarray = np.where(absent[0] | absent[1], absent[0] != absent[1], is_apart)
        mask[:, [name in self.excluded for name in self.names]] = False
        return mask

    def record_comparison(self, values: np.ndarray, features: Iterable[str] | None = None) -> None:
        """Count a comparison for each of the features (by default all) that had a value in it."""
        with_value = np.array(self.names)[np.isfinite(values).any(axis=0)].tolist()
        wanted = self.names if features is None else set(features)
        self.comparisons.update(name for name in with_value if name in wanted)

    def record_input(self, moved: np.ndarray, source: str) -> None:
        """Record that an input moved the features in whose column the mask has a true value."""
        for name in np.array(self.names)[moved.any(axis=0)]:
            self.inputs.setdefault(str(name), set()).add(source)

    def new_violations(self, mask: np.ndarray, rule: str, at: int = 0) -> Iterator[tuple[str, int, int]]:
        """Yield name, first true row (last if `at` is -1) and column of each feature new to a rule.

        Of features that have a finding of the rule, count the probe in it.
        """
        for column in np.flatnonzero(mask.any(axis=0)).tolist():
            if self.is_new(self.names[column], rule):
                yield self.names[column], int(np.flatnonzero(mask[:, column])[at]), column

    def is_new(self, subject: str, rule: str) -> bool:
        """Tell whether there is no finding of the rule yet; if there is, count the probe in it."""
        known = self.findings.get((subject, rule))
        if known is not None:
            self.findings[subject, rule] = known.model_copy(update={"n_probes": known.n_probes + 1})
        return known is None

    def add_finding(
        self, subject: str, rule: str, at: pd.Timestamp | None, detail: str, hint: str = ""
    ) -> None:
        """Add the first example of a rule's violation."""
        self.findings[subject, rule] = Finding(subject=subject, rule=rule, at=at, detail=detail, hint=hint)

    def add_note(self, text: str) -> None:
        """Add the reason why a probe could not be made; the first five count."""
        if text not in self.notes and len(self.notes) < _MAX_NOTES:
            self.notes.append(text)

    def feature_reports(self) -> tuple[FeatureReport, ...]:
        """Return one report a feature, in the pipeline's order."""
        return tuple(
            FeatureReport(
                feature=name,
                probes=self.comparisons[name],
                inputs=tuple(sorted(self.inputs.get(name, ()))),
                is_clock=self.pipeline.inputs.get(name) == (CLOCK,),
                findings=tuple(f for (subject, _), f in self.findings.items() if subject == name),
            )
            for name in self.names
        )


def short_name(variable: str) -> str:
    """Return the short name of a variable behind a feature, or its own."""
    return _SHORT_NAMES.get(variable, variable)
