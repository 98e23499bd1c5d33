"""What speaks against a proposal: each fact alone, on a report and evidence that otherwise say nothing."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from dosvotos.contracts.records import FeatureDrift
from dosvotos.formats import Language
from dosvotos.promotion.reasons import _texts, flag
from dosvotos.promotion.red_flags import red_flags
from dosvotos.promotion.vote_rules import EarlierVote
from tests.report_factory import evidence_of, metrics_of, report_of, rival_of, stress_of

CALM = evidence_of(seeds="5 of 5 seeds positive on val")


def stress_with(wide: float):
    stress = stress_of(metrics_of())
    costs = tuple(
        case.model_copy(update={"metrics": metrics_of(total_return=wide if case.name == "wide" else 0.2)})
        for case in stress.costs
    )
    return stress.model_copy(update={"costs": costs})


def quiet(**changes):
    fields = {"stress": stress_with(0.01), "linear_rival": rival_of(low=0.1)}
    return report_of(**{**fields, **changes})


def codes(report=None, evidence=CALM, votes=()) -> list[str]:
    return [reason.code for reason in red_flags(report, evidence, votes)]


def test_a_sound_proposal_has_none():
    assert codes(quiet()) == [] and codes(None, None) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sample": "IN-SAMPLE"}, "in_sample"),
        ({"metrics": metrics_of(ruined=True)}, "ruined"),
        ({"stress": stress_with(0.0)}, "loses_at_wide"),
        ({"stress": stress_with(-0.4)}, "loses_at_wide"),
        ({"linear_rival": rival_of(None)}, "is_linear"),
        ({"linear_rival": rival_of(low=-0.4, high=1.7)}, "linear_alike"),
        ({"linear_rival": rival_of(low=-1.7, high=-0.1)}, "linear_better"),
    ],
)
def test_each_finding_of_the_backtest_is_named(changes, code):
    assert codes(quiet(**changes)) == [code]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"luck_excluded": False}, "luck"),
        ({"beats_naive": False}, "naive"),
        ({"seeds": "one seed"}, "one_seed"),
        ({"val_returns": {"42": 0.1}}, "one_seed"),
        ({"window_status": "chosen_window"}, "chosen_window"),
        ({"window_status": "stale_window"}, "stale_window"),
        ({"window_status": None}, "window_not_judged"),
        ({"looks": 2}, "looks"),
        ({"covered": False}, "uncovered"),
    ],
)
def test_each_finding_of_the_evidence_is_named(changes, code):
    assert codes(quiet(), CALM.model_copy(update=changes)) == [code]


def test_features_that_left_what_train_held_are_named():
    def found(feature: str, first_alarm: str | None) -> FeatureDrift:
        return FeatureDrift(
            feature=feature, rule="support", statistic=4.6, limit=3.1, first_alarm=first_alarm,
            sessions_beyond=int(first_alarm is not None),
        )  # fmt: skip

    drift = (found("dxy_z", "2025-05-06"), found("vix_z", None), found("embi_z", "2025-06-01"))
    (told,) = red_flags(quiet(), CALM, (), drift)
    assert flag(told) == "drift outside training support (dxy_z, embi_z)"
    assert red_flags(quiet(), CALM, (), drift[1:2]) == red_flags(quiet(), CALM, (), None) == ()


def test_votes_on_the_model_are_counted():
    vote = EarlierVote(
        id=3, proposal_id=1, experiment_name="demo", model_id="demo_1", action="REJECT", reviewer="ana",
        notes="", new_stage="staging", self_approved=False, created_at=datetime(2026, 8, 3, tzinfo=UTC),
    )  # fmt: skip
    (found,) = red_flags(quiet(), CALM, [vote, vote])
    assert [flag(found, of) for of in get_args(Language)] == [
        "earlier votes on this model: 2",
        "votos anteriores sobre este modelo: 2",
    ]


def test_every_flag_is_written_in_every_language_with_the_figures_it_has():
    loud = evidence_of(luck_excluded=False, looks=3, models=2, covered=False, window_status=None)
    bad = report_of(
        sample="IN-SAMPLE", metrics=metrics_of(ruined=True), linear_rival=rival_of(low=-1, high=1)
    )
    found = red_flags(bad, loud, ())
    assert len({reason.code for reason in found}) == len(found) >= 8
    for language in get_args(Language):
        assert all(flag(reason, language) for reason in found)
    assert {reason.code for reason in found} <= set(_texts()["flag"])
