"""The first vote's reasons: one set of codes and figures, a sentence in every language."""

import string
from typing import get_args

import pytest

from dosvotos.formats import Language
from dosvotos.promotion.reasons import Reason, _texts, explanation, sentence
from tests.market_factory import CALENDAR
from tests.report_factory import metrics_of

LUCK = {"p_value": 0.0312, "level": 0.05, "looks": 1, "models": 1}
OLDER = {"count": 3, "oldest": "2026-01-31", "since": "2026-08-03"}
FIGURES = {
    "min_sharpe": {"found": 0.2, "needed": 0.5},
    "max_drawdown": {"found": 0.1812, "needed": 0.15},
    "min_win_rate": {"found": 0.4, "needed": 0.45},
    "min_trades": {"found": 12, "needed": 50},
    "lineage": {"said": "dataset record: config_hash is {ab}, the contract's cd"},
    "not_better": {"sharpe": 0.012, "low": -0.1, "high": 0.6},
    "luck": {"psr": 0.9, "needed": 0.95},
    "luck_of_many": {"looks": 1200, "p_value": 0.0412, "level": 0.01 / 1200},
    "others_stand_out": {"looks": 2},
    "naive": {"own": 0.4, "rivals": {"always_long": 0.5, "random": 0.87}},
    "linear_rival": {"own": 4.06, "rival": 5.18, "low": -2.47, "high": -0.07},
    "beats_linear": {"rival": 1.2, "low": 0.1, "high": 1.4},
    "like_linear": {"rival": 5.18, "low": -2.47, "high": 0.07},
    "seeds": {"positive": 2, "seeds": 5, "needed": 0.6},
    "uncovered": {"uncovered": 11, "sessions": 100, "features": ["vix_z", "embi_z"]},
    "rejected_before": {"proposal": 3, "date": "2026-08-03", "reviewer": "ana"},
    "retracted_data": {"delivery": 7, "source": "files", "date": "2026-08-03", "said": "a wrong {pair}"},
    "loosened": {"limits": {"min_sharpe": [0.3, 0.5], "improvement_threshold": [0.0, 0.05]}},
    "older_bundles": OLDER,
    "older_contracts": OLDER,
    "older_mlflow_runs": OLDER,
    "passes": {"psr": 0.99999},
    "passes_among_many": {"looks": 4, "p_value": 0.0},
    "improves": {"sharpe": 0.333},
    "luck_p_value": LUCK,
    "luck_of_models": LUCK,
    "too_many_looks": {**LUCK, "from": "2027-03-01"},
    "short_window": {"sessions": 72, "needed": 100},
    "stopped_trading": {"share": 0.04, "needed": 0.1},
    "serial_correlation": {"psr": 0.97, "hac_psr": 0.91, "needed": 0.95},
    "chosen_window": CALENDAR.facts.model_dump(),
    "stale_window": CALENDAR.facts.model_dump(),
    "edited_sessions": {"count": 2, "sessions": ["2025-07-03", "2025-07-10"]},
    "seen_before": {"count": 14},
    "one_fold": {"fold": 2, "folds": 3},
    "cannot_be_served": {"targets": "my_rule:targets"},
    "about_the_method": {"folds": 4},
    "refit": {"model": "demo_20261120_7481de7c5ef8", "before": "2025-06-30", "until": "2026-06-30"},
    "unchecked_targets": {"file": "data/my_targets.csv"},
    "passes_luck": {**LUCK, "traded": 131, "sessions": 145},
}
METRICS = metrics_of(sharpe_ratio=1.204, total_trades=1204)


@pytest.mark.parametrize("code", _texts()["reason"])
def test_every_reason_is_written_in_every_language(code):
    said = [sentence(Reason(code=code, figures=FIGURES.get(code, {})), of) for of in get_args(Language)]
    assert len(set(said)) == len(said) and all(said)


@pytest.mark.parametrize("family", _texts())
def test_languages_say_the_same_figures(family):
    for texts in _texts()[family].values():
        assert set(texts) == set(get_args(Language))
        english, spanish = (set(string.Formatter().parse(texts[of])) for of in ("en", "es"))
        assert {part[1:] for part in english if part[1]} == {part[1:] for part in spanish if part[1]}


def test_a_rejection_lists_what_failed():
    reasons = [Reason(code=code, figures=FIGURES[code]) for code in ("min_trades", "lineage")]
    assert explanation("REJECT", METRICS, reasons) == (
        "Sharpe 1.20, 1,204 trades. Rejected: it made 12 trades, and more than 50 are needed to judge it; "
        "its lineage is broken: dataset record: config_hash is {ab}, the contract's cd."
    )
    assert explanation("REJECT", metrics_of(sharpe_ratio=None, total_trades=0), reasons[:1], "es") == (
        "Sharpe no definido, 0 operaciones. Rechazado: hizo 12 operaciones, y se necesitan más de 50 para "
        "juzgarlo."
    )


def test_a_figure_just_beside_its_threshold_reads_differently():
    close = Reason(code="max_drawdown", figures={"found": 0.1500004, "needed": 0.15})
    assert "cayó 15,00004\u00a0% desde su máximo, y se permite menos de 15,00000\u00a0%" in sentence(
        close, "es"
    )


def test_a_review_says_what_a_person_has_to_judge():
    reasons = [Reason(code=code, figures=FIGURES[code]) for code in ("luck_of_many", "naive")]
    assert explanation("REVIEW", METRICS, reasons) == (
        "Sharpe 1.20, 1,204 trades. It passes the criteria, but a person has to judge: it may be luck: "
        "1,200 models have been tried on this window, and the best of so many without skill would do as "
        "well with a probability of 4.12%; at most 0.00083% is tolerated; its Sharpe ratio of 0.40 does not "
        "beat always long (0.50) or the best twentieth of random traders (0.87)."
    )
    assert explanation("REVIEW", METRICS, reasons[1:], "es") == (
        "Sharpe 1,20, 1.204 operaciones. Cumple los criterios, pero una persona tiene que juzgar: su índice "
        "de Sharpe de 0,40 no supera a siempre largo (0,50) o la mejor vigésima parte de los operadores al "
        "azar (0,87)."
    )


def test_a_promotion_is_told_in_sentences_and_no_chance_as_certain():
    reasons = [
        Reason(code="passes", figures=FIGURES["passes"]),
        Reason(code="beats_naive"),
        Reason(code="improves", figures=FIGURES["improves"]),
    ]
    assert explanation("PROMOTE", METRICS, reasons, "es") == (
        "Sharpe 1,20, 1.204 operaciones. Cumple los criterios, y la suerte es improbable: con una "
        "probabilidad de más de 99,9\u00a0% su índice de Sharpe verdadero es mayor que 0. Supera las "
        "estrategias simples. Su índice de Sharpe mejora el de producción en +33\u00a0%, más allá de la "
        "suerte."
    )
