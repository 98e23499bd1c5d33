"""What evidence against luck is called and how it is written: one table for console, pages, pack and app."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from dosvotos.backtest.linear_rival import RivalDifference
from dosvotos.formats import MISSING, Formats, Language
from dosvotos.hashing import short
from dosvotos.promotion.evidence import Evidence
from dosvotos.promotion.luck import LEAST_LAST_THIRD, LEAST_LEVEL, Questions
from dosvotos.promotion.reasons import write_p_value
from dosvotos.reports.bilingual import Text, Written

_Texts = dict[Language, str]


class EvidenceRow(NamedTuple):
    """One line of evidence, written."""

    key: str
    """The field of `Evidence` it is about."""
    label: str
    text: str


_LABELS: Final[dict[str, _Texts]] = {
    "policy": {"en": "House's policy", "es": "Política de la casa"},
    "looks": {"en": "Related looks (k)", "es": "Miradas relacionadas (k)"},
    "models": {"en": "Models on these sessions (M)", "es": "Modelos en estas sesiones (M)"},
    "p_value": {"en": "Luck: p-value", "es": "Suerte: valor p"},
    "passing_sharpe": {"en": "Sharpe ratio that would pass", "es": "Índice de Sharpe que bastaría"},
    "psr": {
        "en": "Probability that the true Sharpe ratio is above 0",
        "es": "Probabilidad de un Sharpe verdadero mayor que 0",
    },
    "hac_psr": {
        "en": "That probability, allowing for serial correlation",
        "es": "Esa probabilidad, teniendo en cuenta la correlación serial",
    },
    "deflated_sharpe": {
        "en": "Probability that it is above the luckiest of these models",
        "es": "Probabilidad de superar al más afortunado de estos modelos",
    },
    "spa_p_value": {"en": "Luck among siblings: SPA p-value", "es": "Suerte entre hermanos: valor p de SPA"},
    "last_third_share": {
        "en": "Last third's share of squared returns",
        "es": "Parte del último tercio en los retornos al cuadrado",
    },
    "min_track_record": {
        "en": "Sessions needed to show this Sharpe ratio",
        "es": "Sesiones necesarias para mostrar este Sharpe",
    },
    "window_status": {"en": "Test window", "es": "Ventana de prueba"},
    "ledger": {"en": "Trial ledger", "es": "Registro de ensayos"},
    "linear_rival": {"en": "Sharpe ratio less the linear rival's", "es": "Sharpe menos el del rival lineal"},
    "seeds": {"en": "Seeds", "es": "Semillas"},
}
_TEXTS: Final[dict[str, _Texts]] = {
    "policy": {"en": "version {version}", "es": "versión {version}"},
    "looks": {
        "en": "{looks}, this one included; declared beside the ledger: {prior}",
        "es": "{looks}, contando esta; declaradas aparte del registro: {prior}",
    },
    "p_value": {
        "en": "{found}; at most {level} is tolerated at this look",
        "es": "{found}; en esta mirada se tolera a lo sumo {level}",
    },
    "none_passes": {
        "en": "none after so many looks: a person judges; {sharpe} would meet the level",
        "es": "ninguno tras tantas miradas: juzga una persona; {sharpe} cumpliría el nivel",
    },
    "last_third": {
        "en": "{share}; below {needed} it has stopped trading",
        "es": "{share}; por debajo de {needed}, dejó de operar",
    },
    "one_seed": {"en": "one seed", "es": "una sola semilla"},
    "seeds": {
        "en": "{positive} of {seeds} with a positive return on val",
        "es": "{positive} de {seeds} con retorno positivo en val",
    },
    "traded": {
        "en": "{chance}; traded on {traded} of {sessions} sessions",
        "es": "{chance}; operó en {traded} de {sessions} sesiones",
    },
    "family": {
        "en": "{found}; at most {level} is tolerated; {member} the superior set",
        "es": "{found}; se tolera a lo sumo {level}; {member} del conjunto superior",
    },
    "rival_compared": {
        "en": "{difference} ({low} to {high}, 90%); the linear rival has {sharpe}",
        "es": "{difference} ({low} a {high}, 90\N{NO-BREAK SPACE}%); el rival lineal tiene {sharpe}",
    },
    "rival_same_policy": {
        "en": "this model is the linear rival itself",
        "es": "este modelo es el propio rival lineal",
    },
    "rival_undefined": {
        "en": "a Sharpe ratio is undefined",
        "es": "un índice de Sharpe no está definido",
    },
    "in": {"en": "in", "es": "dentro"},
    "not_in": {"en": "not in", "es": "fuera"},
    "record": {"en": "{needed}; the window has {sessions}", "es": "{needed}; la ventana tiene {sessions}"},
    "ledger": {"en": "{id}, begun {since}", "es": "{id}, abierto el {since}"},
    "calendar": {"en": "set by the calendar", "es": "la fija el calendario"},
    "chosen_window": {"en": "chosen by a person", "es": "elegida por una persona"},
    "stale_window": {
        "en": "set by the calendar, but its bars are old",
        "es": "la fija el calendario, pero con barras viejas",
    },
    "not_judged": {"en": "not judged", "es": "sin juzgar"},
    "questions": {
        "en": "Questions asked of {instrument} so far: {asked}. If no model had any skill, at most {false} "
        "false first votes are to be expected among all of them. Not promised: looks outside this tool, "
        "data held back, a second ledger.",
        "es": "Preguntas hechas sobre {instrument} hasta ahora: {asked}. Si ningún modelo tuviera habilidad, "
        "cabe esperar entre todas a lo sumo {false} primeros votos falsos. No se promete nada sobre miradas "
        "fuera de esta herramienta, datos retenidos ni un segundo registro.",
    },
}  # fmt: skip


def evidence_label(key: str, language: Language = "en") -> str:
    """Give what a reader calls a field of `Evidence`."""
    return _LABELS[key][language]


def luck_rows(evidence: Evidence, language: Language = "en") -> list[EvidenceRow]:
    """Write what is known about luck, the linear rival and seeds.

    SPA is left out where it was not asked, the rival where there was none.
    """
    writer = _Writer(evidence, language)
    rows: dict[str, Callable[[], str]] = {
        "policy": lambda: writer.text("policy", version=str(evidence.policy)),
        "looks": writer.looks,
        "models": lambda: writer.whole(evidence.models),
        "p_value": writer.p_value,
        "passing_sharpe": writer.passing_sharpe,
        "psr": lambda: writer.chance(evidence.psr),
        "hac_psr": lambda: writer.chance(evidence.hac_psr),
        "deflated_sharpe": lambda: writer.formats.chance(evidence.deflated_sharpe),
        **({} if evidence.spa_p_value is None else {"spa_p_value": writer.family}),
        "last_third_share": writer.last_third,
        "min_track_record": writer.record,
        "window_status": lambda: writer.text(evidence.window_status or "not_judged"),
        "ledger": writer.ledger,
        **({} if evidence.linear_rival is None else {"linear_rival": writer.linear_rival}),
        "seeds": writer.seeds,
    }
    return [EvidenceRow(key, evidence_label(key, language), write()) for key, write in rows.items()]


def evidence_table(evidence: Mapping[str, Evidence | None]) -> list[tuple[Written, ...]]:
    """Write several models' evidence side by side: a label, and a text a model."""
    written = {name: _both_rows(one) if one else {} for name, one in evidence.items()}
    return [
        (Text(**label), *(texts.get(key, MISSING) for texts in written.values()))
        for key, label in _LABELS.items()
        if any(key in texts for texts in written.values())
    ]


def _both_rows(evidence: Evidence) -> dict[str, Text]:
    pairs = zip(luck_rows(evidence), luck_rows(evidence, "es"), strict=True)
    return {en.key: Text(en.text, es.text) for en, es in pairs}


def linear_rival_text(rival: RivalDifference, language: Language = "en") -> str:
    """Write how a candidate compares with its linear rival."""
    formats, (low, high) = Formats(language), rival.interval_90 or (None, None)
    return _TEXTS[f"rival_{rival.status}"][language].format(
        difference=formats.number(rival.sharpe_difference, signed=True),
        low=formats.number(low, signed=True),
        high=formats.number(high, signed=True),
        sharpe=formats.number(rival.sharpe_ratio),
    )


def seeds_text(evidence: Evidence, language: Language = "en") -> str:
    """Say how many seeds did well."""
    return _Writer(evidence, language).seeds()


def questions_text(questions: Questions, instrument: str, language: Language = "en") -> str:
    """Say what was asked of an instrument so far, and what the first vote does not promise."""
    formats = Formats(language)
    return _TEXTS["questions"][language].format(
        instrument=instrument,
        asked=formats.number(questions.asked, 0),
        false=formats.number(questions.expected_false_votes),
    )


class _Writer(NamedTuple):
    """Writes one evidence in a language."""

    evidence: Evidence
    language: Language

    @property
    def formats(self) -> Formats:
        return Formats(self.language)

    def text(self, key: str, **figures: str) -> str:
        return _TEXTS[key][self.language].format(**figures)

    def looks(self) -> str:
        looks, prior = self.whole(self.evidence.looks), self.whole(self.evidence.prior_trials)
        return self.text("looks", looks=looks, prior=prior)

    def last_third(self) -> str:
        share, needed = self.evidence.last_third_share, self.formats.percent(LEAST_LAST_THIRD, 0)
        return self.text("last_third", share=self.formats.percent(share, 0), needed=needed)

    def seeds(self) -> str:
        """Say how many seeds did well; an older record's own words where it has no figures."""
        returns = self.evidence.val_returns
        if len(returns) < 2:
            return self.text("one_seed") if returns else self.evidence.seeds
        positive = sum(value > 0 for value in returns.values())
        return self.text("seeds", positive=self.whole(positive), seeds=self.whole(len(returns)))

    def p_value(self) -> str:
        found, level = write_p_value(self.evidence.p_value, self.evidence.level, self.formats)
        return self.text("p_value", found=found, level=level)

    def passing_sharpe(self) -> str:
        shown = self.formats.number(self.evidence.passing_sharpe)
        return shown if self.evidence.level >= LEAST_LEVEL else self.text("none_passes", sharpe=shown)

    def chance(self, probability: float | None) -> str:
        traded, sessions = map(self.whole, (self.evidence.sessions_traded, self.evidence.sessions))
        chance = self.formats.chance(probability)
        return self.text("traded", chance=chance, traded=traded, sessions=sessions)

    def family(self) -> str:
        found, level = write_p_value(self.evidence.spa_p_value, self.evidence.family_level, self.formats)
        member = self.text("in" if self.evidence.in_superior_set else "not_in")
        return self.text("family", found=found, level=level, member=member)

    def linear_rival(self) -> str:
        rival = self.evidence.linear_rival
        assert rival is not None
        return linear_rival_text(rival, self.language)

    def record(self) -> str:
        needed = self.evidence.min_track_record
        shown = MISSING if needed is None else self.whole(needed)
        return self.text("record", needed=shown, sessions=self.whole(self.evidence.sessions))

    def ledger(self) -> str:
        ledger = self.evidence.ledger
        return self.text("ledger", id=short(ledger.id), since=ledger.created_at[:10])

    def whole(self, count: int) -> str:
        return self.formats.number(count, 0)
