"""What the criteria are called and how they are answered: one table for console, pack and app."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from dosvotos.formats import Formats, Language
from dosvotos.promotion.criteria import LIMITED, CriterionResult, name_links
from dosvotos.promotion.reasons import write_criterion
from dosvotos.reports.metrics import METRICS

_Texts = dict[Language, str]


class CriterionRow(NamedTuple):
    """One criterion, written."""

    name: str
    label: str
    verdict: str
    text: str


CRITERIA: Final = {
    "min_sharpe": METRICS["sharpe_ratio"],
    "max_drawdown": METRICS["max_drawdown"],
    "min_win_rate": METRICS["win_rate"],
    "min_trades": METRICS["total_trades"],
}
"""The criteria that are about one metric."""
_LABELS: Final[dict[str, _Texts]] = {
    "improvement": {"en": "Better than production", "es": "Mejor que producción"},
    "lineage": {"en": "Unbroken lineage", "es": "Linaje intacto"},
    "evidence": {"en": "Evidence", "es": "Evidencia"},
    "beats_naive": {"en": "Beats simple strategies", "es": "Supera estrategias simples"},
    "min_positive_seeds": {"en": "Seeds with a positive return", "es": "Semillas con retorno positivo"},
    "coverage": {"en": "Data coverage", "es": "Cobertura de datos"},
}
"""All others; those after the lineage are in older proposals only."""
_TEXTS: Final[dict[str, _Texts]] = {
    "floor": {"en": "{answer} · house's limit: {floor}", "es": "{answer} · límite de la casa: {floor}"},
    "links": {
        "en": "{links} links from L0 to L4 hold",
        "es": "Se sostienen {links} eslabones de L0 a L4",
    },
    "improved": {
        "en": "{found} {sign} {needed}; the difference of the Sharpe ratios lies between {low} and {high} "
        "(90%)",
        "es": "{found} {sign} {needed}; la diferencia de los índices de Sharpe queda entre {low} y {high} "
        "(90\N{NO-BREAK SPACE}%)",
    },
    "undefined": {"en": "undefined; needs {sign} {needed}", "es": "no definido; se necesita {sign} {needed}"},
    "not_applicable": {"en": "no production model yet", "es": "todavía no hay modelo en producción"},
    "not_comparable": {
        "en": "the test window touches data the production model was trained or chosen on",
        "es": "la ventana de prueba toca datos con los que se entrenó o se eligió el modelo en producción",
    },
    "not_defined": {"en": "a Sharpe ratio is undefined", "es": "un índice de Sharpe no está definido"},
}  # fmt: skip


def criterion_label(name: str, language: Language = "en") -> str:
    """Give what a reader calls a criterion; an unknown one stands for itself."""
    if metric := CRITERIA.get(name):
        return metric.label(language)
    return _LABELS[name][language] if name in _LABELS else name


def criteria_rows(criteria: Sequence[CriterionResult], language: Language = "en") -> list[CriterionRow]:
    """Write criteria with their figures; where the house's limit is stricter, with it too."""
    return [
        CriterionRow(one.name, criterion_label(one.name, language), one.verdict, _answer(one, language))
        for one in criteria
    ]


def _answer(criterion: CriterionResult, language: Language) -> str:
    answer = _figures(criterion, language)
    if criterion.floor is None:
        return answer
    _, house = _written(criterion, criterion.needed, criterion.floor, language)
    return _TEXTS["floor"][language].format(answer=answer, floor=house)


def _figures(criterion: CriterionResult, language: Language) -> str:
    texts, formats = {key: text[language] for key, text in _TEXTS.items()}, Formats(language)
    if criterion.name == "lineage":
        links = formats.number(criterion.found, 0)
        return name_links(criterion.broken) or texts["links"].format(links=links)
    if criterion.not_compared == "undefined":
        return texts["not_defined"]
    if criterion.not_compared:
        return texts[criterion.not_compared]
    if criterion.found is None:
        needed = _written(criterion, criterion.needed, criterion.needed, language)[1]
        return texts["undefined"].format(sign=criterion.sign, needed=needed)
    found, needed = _written(criterion, criterion.found, criterion.needed, language)
    if criterion.interval_90 is None:
        return f"{found} {criterion.sign} {needed}"
    low, high = (formats.number(bound) for bound in criterion.interval_90)
    signed = f"+{found}" if criterion.found > 0 else found
    return texts["improved"].format(found=signed, sign=criterion.sign, needed=needed, low=low, high=high)


def _written(criterion: CriterionResult, found: float, needed: float, language: Language) -> tuple[str, str]:
    """Write two figures of a criterion, so that different ones read differently."""
    limit = next((limit for limit, of in LIMITED.items() if of == criterion.name), criterion.name)
    return write_criterion(limit, found, needed, Formats(language))
