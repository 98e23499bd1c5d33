"""The validation pack's first page: what is proposed, what L4 says and what speaks against it, in words."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row

from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.records import DatasetRecord
from dosvotos.formats import Language
from dosvotos.promotion.dossier import Dossier
from dosvotos.promotion.proposal import stored_evidence
from dosvotos.promotion.reasons import FirstVote, Reason, flag, sentence
from dosvotos.promotion.red_flags import red_flags
from dosvotos.promotion.vote_rules import EarlierVote

FIGURES: Final = ("sharpe_ratio", "total_return", "max_drawdown", "win_rate", "total_trades")
"""Those a proposal is first read by."""
ACCOUNTS: Final = {
    "this_model": "results.metrics",
    "production": "comparison.baseline_metrics",
    "linear_rival": "results.linear_rival.metrics",
}
_TEXTS: Final[dict[str, dict[Language, str]]] = {
    "title": {"en": "In one page", "es": "En una página"},
    "proposal": {"en": "Proposal", "es": "Propuesta"},
    "window": {"en": "Test window", "es": "Ventana de prueba"},
    "recommends": {"en": "L4 recommends", "es": "L4 recomienda"},
    "PROMOTE": {"en": "promote", "es": "promover"},
    "REVIEW": {"en": "review", "es": "revisar"},
    "REJECT": {"en": "reject", "es": "rechazar"},
    "this_model": {"en": "This model", "es": "Este modelo"},
    "production": {"en": "Production", "es": "Producción"},
    "linear_rival": {"en": "Linear rival", "es": "Rival lineal"},
    "criterion": {"en": "Criterion", "es": "Criterio"},
    "verdict": {"en": "Verdict", "es": "Veredicto"},
    "found": {"en": "Found", "es": "Hallado"},
    "needed": {"en": "Needed", "es": "Necesario"},
    "PASS": {"en": "pass", "es": "cumple"},
    "FAIL": {"en": "fail", "es": "no cumple"},
    "NOT REACHED": {"en": "not reached", "es": "no se alcanzó"},
    "NOT APPLICABLE": {"en": "not applicable", "es": "no se aplica"},
    "against": {"en": "Against it", "es": "En contra"},
    "nothing": {
        "en": "Nothing that is looked for speaks against it.",
        "es": "Nada de lo que se busca habla en contra.",
    },
    "rest": {
        "en": "The pages after this one hold every figure with the field it was read from.",
        "es": "Las páginas siguientes, en inglés, traen cada cifra con el campo del que se leyó.",
    },
}


def summary_texts(language: Language) -> dict[str, str]:
    """Give the first page's own words in a language."""
    return {name: texts[language] for name, texts in _TEXTS.items()}


def summary_words(
    proposal: Row[Any],
    dossier: Dossier,
    votes: Sequence[EarlierVote],
    notices: Sequence[Reason],
    language: Language,
) -> dict[str, Any]:
    """Write from the records why L4 votes so, and all that speaks against it."""
    report, drift = dossier.read(BacktestReport), dossier.read(DatasetRecord).drift
    flags = red_flags(report, stored_evidence(proposal), votes, drift)
    against = [flag(one, language) for one in flags] + [sentence(notice, language) for notice in notices]
    return {"why": FirstVote.of(proposal).told(language), "against": against}
