"""What speaks against a proposal, short enough to be read in one glance before the second vote."""

from collections.abc import Iterator, Sequence

from dosvotos.backtest.linear_rival import RivalDifference
from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.records import FeatureDrift
from dosvotos.promotion.evidence import Evidence
from dosvotos.promotion.reasons import Reason
from dosvotos.promotion.vote_rules import EarlierVote


def red_flags(
    report: BacktestReport | None,
    evidence: Evidence | None,
    votes: Sequence[EarlierVote],
    drift: Sequence[FeatureDrift] | None = (),
) -> tuple[Reason, ...]:
    """Gather what a reviewer must not miss; `reasons.flag` writes each.

    Parameters
    ----------
    report : BacktestReport or None
        None where the dossier cannot be read: then nothing of it is judged.
    evidence : Evidence or None
    votes : sequence of EarlierVote
        On this model, whatever it was proposed as.
    drift : sequence of FeatureDrift or None
        Of val from train.
    """
    return (
        *(_of_report(report) if report else ()),
        *_of_drift(drift or ()),
        *(_of_evidence(evidence) if evidence else ()),
        *_of_votes(votes),
    )


def _of_report(report: BacktestReport) -> Iterator[Reason]:
    if report.sample == "IN-SAMPLE":
        yield Reason(code="in_sample")
    if report.metrics.ruined:
        yield Reason(code="ruined")
    for case in report.stress.costs:
        if case.name == "wide" and case.metrics.total_return <= 0:
            yield Reason(code="loses_at_wide", figures={"total_return": case.metrics.total_return})
    yield from _of_rival(report.linear_rival.difference if report.linear_rival else None)


def _of_rival(rival: RivalDifference | None) -> Iterator[Reason]:
    if rival is None or rival.status == "undefined":
        return
    if rival.status == "same_policy":
        yield Reason(code="is_linear")
    elif not rival.rival_is_worse:
        code = "linear_better" if rival.rival_is_better else "linear_alike"
        yield Reason(code=code, figures={"rival": rival.sharpe_ratio})


def _of_drift(drift: Sequence[FeatureDrift]) -> Iterator[Reason]:
    if features := [found.feature for found in drift if found.first_alarm]:
        yield Reason(code="drift", figures={"features": ", ".join(features)})


def _of_evidence(evidence: Evidence) -> Iterator[Reason]:
    if not evidence.luck_excluded:
        yield Reason(code="luck")
    if not evidence.beats_naive:
        yield Reason(code="naive")
    if len(evidence.val_returns) == 1 or evidence.seeds == "one seed":
        yield Reason(code="one_seed")
    if evidence.window_status != "calendar":
        yield Reason(code=evidence.window_status or "window_not_judged")
    if evidence.looks > 1:
        yield Reason(code="looks", figures={"looks": evidence.looks, "models": evidence.models})
    if not evidence.covered:
        uncovered = {reason.code: reason.figures for reason in evidence.missing}.get("uncovered", {})
        counts = {"uncovered": uncovered.get("uncovered"), "sessions": evidence.sessions}
        yield Reason(code="uncovered", figures=counts)


def _of_votes(votes: Sequence[EarlierVote]) -> Iterator[Reason]:
    if votes:
        yield Reason(code="earlier_votes", figures={"count": len(votes)})
