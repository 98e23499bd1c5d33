"""The validation pack's first page: what is proposed, what L4 says and what speaks against it, in words."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row

from dosvotos.backtest.report import BacktestReport
from dosvotos.contracts.records import DatasetRecord
from dosvotos.formats import MISSING, Language
from dosvotos.promotion.dossier import Dossier
from dosvotos.promotion.proposal import stored_evidence
from dosvotos.promotion.reasons import FirstVote, Reason, flag, sentence
from dosvotos.promotion.red_flags import red_flags
from dosvotos.promotion.vote_rules import EarlierVote
from dosvotos.reports.evidence import seeds_text

FIGURES: Final = ("sharpe_ratio", "total_return", "max_drawdown", "win_rate", "total_trades")
"""Those a proposal is first read by."""
ACCOUNTS: Final = {
    "this_model": "results.metrics",
    "production": "comparison.baseline_metrics",
    "linear_rival": "results.linear_rival.metrics",
}


def summary_words(
    proposal: Row[Any],
    dossier: Dossier,
    votes: Sequence[EarlierVote],
    notices: Sequence[Reason],
    language: Language,
) -> dict[str, Any]:
    """Write from the records why L4 votes so, all that speaks against it, what is missing, and its seeds."""
    report, drift = dossier.read(BacktestReport), dossier.read(DatasetRecord).drift
    evidence = stored_evidence(proposal)
    flags = red_flags(report, evidence, votes, drift)
    against = [flag(one, language) for one in flags] + [sentence(notice, language) for notice in notices]
    return {
        "why": FirstVote.of(proposal).told(language),
        "against": against,
        "notes": [sentence(reason, language) for reason in evidence.missing] if evidence else [],
        "seeds": seeds_text(evidence, language) if evidence else MISSING,
    }
