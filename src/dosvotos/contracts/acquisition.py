"""Parameters of L0: the macro variables (CTR-L0-SSOT-001), their sources, and how sources are asked."""

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from dosvotos.contracts.features import FEATURE_VARIABLES
from dosvotos.contracts.section import ClockTime, Day, Instant, Items, Section, Version

Frequency = Literal["daily", "monthly", "quarterly"]
BarProvider = Literal["twelvedata", "yahoo", "folder"]
WebProvider = Literal[
    "us_treasury", "fed_ddp", "bls", "cboe", "umich", "yahoo", "twelvedata", "suameca", "bcrp",
    "bcrp_html", "dane", "datos_gov_co", "fred",
]  # fmt: skip
Provider = WebProvider | Literal["fedesarrollo", "manual_csv"]


def _known_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: a folder of zones
        raise ValueError(f"{zone!r} is no time zone") from error
    return zone


Zone = Annotated[str, AfterValidator(_known_zone)]
"""Name of an IANA time zone."""


class PublicationRule(Section):
    """When an observation becomes known.

    ``B+k``: k business days after the observation date. ``M+m:Dd`` and ``Q+q:Dd``: day d of the m-th month
    after the period's month or quarter ends; ``BDd`` its d-th business day. At `time`, local to `zone`.
    """

    rule: Annotated[str, Field(pattern=r"^(B\+\d{1,2}|[MQ]\+[1-9]:B?D[1-9]\d?)$")]
    time: ClockTime
    zone: Zone


class SeriesSource(Section):
    """Where one provider keeps a variable."""

    provider: Provider
    series: Annotated[str, Field(min_length=1)]
    """The provider's own name of the series."""
    states: Items[str] = ()
    """Words the provider must state about the series (name, unit, currency), in any case or accent."""
    scale: PositiveFloat = 1.0
    """Multiplies the provider's values into the variable's unit."""
    publication: PublicationRule | None = None
    """This source's rule, where it publishes later than the variable's."""


class MacroVariable(Section):
    """One macro series: what it is, where it comes from, when it becomes known, which values are possible."""

    description: str
    country: Literal["USA", "COL", "MEX", "CHL", "GLB"]
    category: str
    frequency: Frequency
    unit: str
    priority: Literal["HIGH", "MEDIUM", "LOW"]
    """HIGH feeds a feature or the financing: L0 ends with exit code 3 while it is stale."""
    primary: SeriesSource
    fallback: SeriesSource | None = None
    terms: str
    """The source's licence, in short."""
    publication: PublicationRule
    revised: bool
    """Whether the source changes values it has published."""
    ffill_max_days: PositiveInt
    """A value older than this many days after its publication counts as missing."""
    expected_min: float
    expected_max: float
    max_step_ratio: Annotated[float, Field(gt=1.0)] | None = None
    """Largest ratio of two neighbouring values, up or down; none for values near zero."""

    @model_validator(mode="after")
    def _rule_fits(self) -> Self:
        if self.expected_max <= self.expected_min:
            raise ValueError(f"expected_max {self.expected_max} <= expected_min")
        letter = {"daily": "B", "monthly": "M", "quarterly": "Q"}[self.frequency]
        for rule in filter(None, [self.publication, *(source.publication for source in self.sources)]):
            if not rule.rule.startswith(letter):
                raise ValueError(f"a {self.frequency} variable needs a {letter}+ rule")
        return self

    @property
    def sources(self) -> tuple[SeriesSource, ...]:
        """The primary source and, if there is one, the fallback."""
        return (self.primary,) if self.fallback is None else (self.primary, self.fallback)

    def rule_of(self, provider: str) -> PublicationRule:
        """The publication rule, or that of the provider where it publishes later."""
        own = [s.publication for s in self.sources if s.provider == provider and s.publication is not None]
        return own[0] if own else self.publication


class MacroVariablesParams(Section):
    """CTR-L0-SSOT-001: the 40 macro variables."""

    version: Version
    variables: dict[str, MacroVariable]

    @model_validator(mode="after")
    def _features_covered(self) -> Self:
        needed = FEATURE_VARIABLES.values()
        if missing := sorted(set(needed) - set(self.variables)):
            raise ValueError(f"variables needed by features are missing: {missing}")
        if loose := sorted(name for name in needed if self.variables[name].priority != "HIGH"):
            raise ValueError(f"variables needed by features must have priority HIGH: {loose}")
        return self


class ProviderParams(Section):
    """How one provider is reached, and how often it may be asked."""

    base_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
    """Scheme and host, with a path where a mirror needs one."""
    calls_per_minute: PositiveInt
    calls_per_day: PositiveInt | None = None
    """Calls one run may make at most."""
    enabled: bool = True
    """Providers whose terms need an explicit yes are off by default."""


class BarSource(Section):
    """Where one provider keeps the 5-minute bars."""

    provider: BarProvider
    symbol: str | None = None
    """The vendor's name of the pair; none for a folder."""
    path: str | None = None
    """For ``folder`` alone: where a desk's own files come in, each a delivery."""

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        is_folder = self.provider == "folder"
        wanted, unwanted = ("path", "symbol") if is_folder else ("symbol", "path")
        if not getattr(self, wanted) or getattr(self, unwanted) is not None:
            raise ValueError(f"provider {self.provider} needs {wanted} and takes no {unwanted}")
        return self


class OverlapParams(Section):
    """How far back stored observations are asked again, to see revisions."""

    daily: NonNegativeInt
    monthly: NonNegativeInt
    quarterly: NonNegativeInt


class LiveParams(Section):
    """How the live sources are asked."""

    start: Day
    """First session and observation of a full backfill."""
    bars: Annotated[Items[BarSource], Field(min_length=1)]
    """In order of preference: where two have a bar, the first wins. Each provider once."""
    overlap_days: OverlapParams
    attempts: PositiveInt
    """Tries a call before its provider counts as failed."""
    timeout_seconds: PositiveFloat
    max_wait_seconds: NonNegativeFloat
    """Longest pause between two tries; a Retry-After beyond it ends the tries."""
    drop_in_folder: str
    """Folder of the CSV files a person brings for variables without an API."""
    providers: dict[WebProvider, ProviderParams]

    @field_validator("bars")
    @classmethod
    def _providers_differ(cls, bars: tuple[BarSource, ...]) -> tuple[BarSource, ...]:
        names = [source.provider for source in bars]
        if len(set(names)) < len(names):
            raise ValueError(f"each provider once, were {names}")
        return bars


class DataAcquisitionParams(Section):
    """Where L0 finds its data; outside the experiment's hash."""

    source: Literal["sample", "files", "live"]
    folder: str | None = None
    """Folder of ``usdcop_5m`` and ``macro_*`` files; needed by ``source: files``."""
    timezone: Zone | None = None
    """IANA zone in which a file's stamps without a zone are written."""
    mixed_timezone: Literal["refuse", "detect"] = "refuse"
    """What to do with a file whose stamps change their zone without saying so."""
    bar_labels: Literal["open", "close"] = "open"
    """What the bars' timestamps label; those of closes move back by one bar."""
    resample: Literal["1min"] | None = None
    """Length of delivered bars that are to be aggregated to five minutes."""
    revise: bool = False
    """Whether this delivery may change more of what is stored than CTR-QUAL-001 allows."""
    as_of: Instant
    """What counts as now."""
    live: LiveParams | None = None
    """Needed by ``source: live``."""
