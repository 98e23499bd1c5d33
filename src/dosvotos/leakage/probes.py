"""The probes: each runs the code on two histories that a bar cannot tell apart, and compares that bar."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd

from dosvotos.contracts.features import FINANCING_SOURCES, MACRO_SOURCES
from dosvotos.errors import DataError
from dosvotos.leakage.history import (
    INSTANT,
    change_prices,
    change_values,
    changed,
    closes_of,
    later_events,
    without,
)
from dosvotos.leakage.pipeline import BARS, CLOCK, Computed, Pipeline, compute
from dosvotos.leakage.report import FeatureReport, Finding, move, span, stamp
from dosvotos.market.calendar import BAR, LAST_SLOT, session_dates, slots
from dosvotos.market.features import MarketHistory

_SHORT: Final = {name: short.upper() for short, name in {**MACRO_SOURCES, **FINANCING_SOURCES}.items()}
_MAX_NOTES: Final = 5
_DAY = pd.Timedelta(days=1)


@dataclass
class Book:
    """What the probes of one check have seen so far."""

    pipeline: Pipeline
    names: tuple[str, ...]
    scale: np.ndarray
    """Each feature's standard deviation over the whole history, shape (n_features,)."""
    compared: Counter[str] = field(default_factory=Counter)
    probes: Counter[str] = field(default_factory=Counter)
    inputs: dict[str, set[str]] = field(default_factory=dict)
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)
    excluded: set[str] = field(default_factory=set)
    """Features no comparison means anything for: they differ from themselves."""
    notes: list[str] = field(default_factory=list)

    def run(self, history: MarketHistory) -> Computed:
        """Compute the same features on another history."""
        return compute(self.pipeline, history, self.names)

    def differ(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Mask of the values that differ by more than the tolerance; two missing ones are equal."""
        absent = np.isnan(before), np.isnan(after)
        with np.errstate(invalid="ignore"):
            apart = np.abs(before - after) > self.pipeline.tolerance * self.scale
        mask: np.ndarray = np.where(absent[0] | absent[1], absent[0] != absent[1], apart)
        mask[:, [name in self.excluded for name in self.names]] = False
        return mask

    def looked_at(self, values: np.ndarray, columns: Iterable[str] | None = None) -> None:
        """Count a comparison for the features that had a value in it."""
        present = np.isfinite(values).any(axis=0)
        wanted = self.names if columns is None else set(columns)
        self.compared.update(n for n, seen in zip(self.names, present, strict=True) if seen and n in wanted)

    def heard(self, moved: np.ndarray, source: str) -> None:
        """Note which features an input has moved."""
        for name in np.array(self.names)[moved.any(axis=0)]:
            self.inputs.setdefault(str(name), set()).add(source)

    def is_new(self, name: str, rule: str) -> bool:
        """Whether this would be the first example; a further one is counted."""
        known = self.findings.get((name, rule))
        if known is not None:
            self.findings[name, rule] = known.model_copy(update={"times": known.times + 1})
        return known is None

    def add(self, finding: Finding) -> None:
        """Keep a first example."""
        self.findings[finding.subject, finding.rule] = finding

    def note(self, text: str) -> None:
        """Keep something that could not be looked at."""
        if text not in self.notes and len(self.notes) < _MAX_NOTES:
            self.notes.append(text)

    def report(self) -> tuple[FeatureReport, ...]:
        """One report a feature, in the code's order."""
        return tuple(
            FeatureReport(
                feature=name,
                probes=self.compared[name],
                inputs=tuple(sorted(self.inputs.get(name, ()))),
                findings=tuple(f for (subject, _), f in self.findings.items() if subject == name),
            )
            for name in self.names
        )


def short_name(variable: str) -> str:
    """The name people use for a variable."""
    return _SHORT.get(variable, variable)


# ---- nothing moves that must not move


def replay(book: Book, history: MarketHistory, base: Computed, place: int, where: str) -> None:
    """Recompute from what was known at a bar's close alone; no row up to it may differ from the batch."""
    moment = base.times[place] + BAR
    book.probes["replay"] += 1
    events = later_events(history, moment)
    _hold_past(
        book, base, place, where, lambda first: without(history, events.iloc[first:]), events, "became known"
    )


def rewrite(book: Book, history: MarketHistory, base: Computed, place: int, seed: int, where: str) -> None:
    """Change every price and value of the time after a bar's close; no row up to it may move."""
    moment = base.times[place] + BAR
    book.probes["rewritten future"] += 1
    events = later_events(history, moment)

    def build(first: int) -> MarketHistory:
        return changed(history, events.iloc[first:], seed)

    _hold_past(book, base, place, where, build, events, "was changed")


def _hold_past(
    book: Book,
    base: Computed,
    place: int,
    where: str,
    build: Callable[[int], MarketHistory],
    events: pd.DataFrame,
    became: str,
) -> None:
    """Compare the past with all events altered; `build` alters those from a place in time on."""
    try:
        found = book.run(build(0))
    except DataError as error:
        book.note(f"no probe at {stamp(base.times[place])}: {error}")
        return
    past = base.values[: place + 1]
    book.looked_at(past)
    moved = book.differ(found.values[: place + 1], past)
    runs = {0: found}
    for column in np.flatnonzero(moved.any(axis=0)):
        name = book.names[column]
        if not book.is_new(name, "future"):
            continue
        row = int(np.flatnonzero(moved[:, column])[-1])
        k = _first_cause(book, build, len(events), row, int(column), runs)
        before, after = (runs[i].values[row, column] for i in (k, k + 1))
        event = events.iloc[k]
        lead = event["at"] - (base.times[row] + BAR)
        words = (
            f"{name} at {stamp(base.times[row])} {move(before, after)} when "
            f"{_event(build(len(events)), event)} {became}: {span(lead)} after the bar's close{where}"
        )
        share = moved[:, column].sum() / max(1, np.isfinite(past[:, column]).sum())
        hint = _hint(build(len(events)), base.times[row], event, before, float(share))
        book.add(Finding(subject=name, rule="future", at=base.times[row], words=words, hint=hint))


def _first_cause(
    book: Book,
    build: Callable[[int], MarketHistory],
    count: int,
    row: int,
    column: int,
    runs: dict[int, Computed],
) -> int:
    """Place of an event that moves one value, given those before it: found by bisection.

    With no event in its true state the value differs from the batch, with all of them it does not.
    """

    def differs_from_none(first: int) -> bool:
        if first not in runs:
            runs[first] = book.run(build(first))
        pair = runs[0].values[row : row + 1], runs[first].values[row : row + 1]
        return bool(book.differ(*pair)[0, column])

    low, high = 0, count
    differs_from_none(count)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if differs_from_none(middle) else (middle, high)
    return low


def _event(history: MarketHistory, event: pd.Series) -> str:
    if event["is_bar"]:
        return f"the bar of {stamp(history.bars.index[event['place']])}"
    row = history.macro.iloc[event["place"]]
    published = stamp(row["published_at"])
    return f"the {short_name(row['variable'])} value of {row['observation_date']}, published {published},"


def _hint(history: MarketHistory, bar: pd.Timestamp, event: pd.Series, before: float, share: float) -> str:
    if np.isnan(before):
        return "missing without the later data: a centred window, a backward fill, a join that looks ahead"
    if share > 0.5:
        return "most earlier rows moved too: a mean, spread or scaler over the whole sample"
    if event["is_bar"]:
        return "a shift with a negative number, a centred window, a whole day's figure, or the target itself"
    row = history.macro.iloc[event["place"]]
    same = history.macro[
        (history.macro["variable"] == row["variable"])
        & (history.macro["observation_date"] == row["observation_date"])
    ]
    if (same["published_at"] < row["published_at"]).any():
        return "a revised value stands where only an earlier print was known"
    days = (np.datetime64(str(bar.date())) - np.datetime64(str(row["observation_date"]), "D")).astype(int)
    if days <= 0:
        return "joined by observation date instead of published_at"
    return f"joined by the calendar ({days} d after the observation) instead of published_at"


# ---- exactly the right bars


def publication(
    book: Book, history: MarketHistory, variable: str, rng: np.random.Generator, where: str
) -> bool:
    """Put one publication on a bar's close, an instant after it, and out of the world; False if none fits.

    On the close the bar may see it; an instant later only the next bar may. Nothing before may move.
    """
    spot = _between_publications(history, variable, rng)
    if spot is None:
        return False
    row, place = spot
    close = closes_of(history.bars)[place]
    on_time, late, absent = (
        book.run(_republished(history, row, moment)) for moment in (close, close + INSTANT, None)
    )
    book.probes["moved publication"] += 1
    book.looked_at(on_time.values[: place + 1])
    value = f"the {short_name(variable)} value of {history.macro.iloc[row]['observation_date']}"
    _no_earlier(book, on_time, absent, place - 1, f"{value} was published {stamp(close)}", where)
    _no_earlier(book, late, absent, place, f"{value} was published {stamp(close + INSTANT)}", where)
    effect = book.differ(absent.values, on_time.values)
    book.heard(effect[place : place + 1], variable)
    _exactly_one_bar(book, variable, place, effect, (on_time, late), where)
    return True


def _between_publications(
    history: MarketHistory, variable: str, rng: np.random.Generator
) -> tuple[int, int] | None:
    """A row of a variable, and a bar after its publication at which it is still the newest."""
    closes = closes_of(history.bars)
    own = history.macro.loc[history.macro["variable"] == variable, "published_at"].sort_values()
    published = pd.DatetimeIndex(own)
    following = published[1:].append(closes[-1:])
    first = np.searchsorted(closes, published)
    last = np.searchsorted(closes, following - INSTANT) - 2
    alone = ~published.duplicated(keep=False)
    spots = np.flatnonzero(alone & (first >= len(closes) // 10) & (last > first))
    if len(spots) == 0:
        return None
    spot = int(rng.choice(spots))
    row = int(np.flatnonzero(history.macro.index == own.index[spot])[0])
    return row, int(rng.integers(first[spot], last[spot]))


def _republished(history: MarketHistory, row: int, moment: pd.Timestamp | None) -> MarketHistory:
    macro = history.macro
    if moment is None:
        return MarketHistory(history.bars, macro.drop(macro.index[row]))
    published = macro["published_at"].copy()
    published.iloc[row] = moment
    return MarketHistory(history.bars, macro.assign(published_at=published))


def _no_earlier(book: Book, published: Computed, absent: Computed, last: int, event: str, where: str) -> None:
    moved = book.differ(absent.values[: last + 1], published.values[: last + 1])
    for column in np.flatnonzero(moved.any(axis=0)):
        name, row = book.names[column], int(np.flatnonzero(moved[:, column])[-1])
        if book.is_new(name, "future"):
            change = move(absent.values[row, column], published.values[row, column])
            words = (
                f"{name} at {stamp(published.times[row])}, which closes {stamp(published.times[row] + BAR)}, "
                f"{change} though {event}{where}"
            )
            hint = "joined by date instead of published_at, or compared with another moment than the close"
            book.add(Finding(subject=name, rule="future", at=published.times[row], words=words, hint=hint))


def _exactly_one_bar(
    book: Book,
    variable: str,
    place: int,
    effect: np.ndarray,
    runs: tuple[Computed, Computed],
    where: str,
) -> None:
    """Of features that know no bars: a publication moved by an instant over a close moves that bar alone."""
    on_time, late = runs
    longer = book.differ(on_time.values[place + 1 :], late.values[place + 1 :])
    for column, name in enumerate(book.names):
        inputs = book.pipeline.inputs.get(name, (BARS,))
        if BARS in inputs or variable not in inputs:
            continue
        seen, next_seen = effect[place, column], effect[place + 1, column]
        times = on_time.times
        if next_seen and not seen and book.is_new(name, "late"):
            words = (
                f"{name} at {stamp(times[place])} did not see the {short_name(variable)} value published at "
                f"its close, {stamp(times[place] + BAR)}; the next bar did{where}"
            )
            hint = "compared with the bar's open, or shifted by a row on top of its publication"
            book.add(Finding(subject=name, rule="late", at=times[place], words=words, hint=hint))
        if longer[:, column].any() and book.is_new(name, "late"):
            row = place + 1 + int(np.flatnonzero(longer[:, column])[0])
            words = (
                f"{name} at {stamp(times[row])} moved when a {short_name(variable)} publication moved from "
                f"the close of {stamp(times[place])} to an instant later, which only that bar can tell{where}"
            )
            book.add(Finding(subject=name, rule="late", at=times[row], words=words))


# ---- age


def expiry(
    book: Book,
    history: MarketHistory,
    variable: str,
    limit_days: int,
    rng: np.random.Generator,
    where: str,
) -> bool:
    """Let a variable fall silent past its limit: its old values may then move nothing; False if none fits."""
    closes = closes_of(history.bars)
    limit = limit_days * _DAY
    published = history.macro["published_at"]
    own = (history.macro["variable"] == variable).to_numpy()
    place = int(rng.integers(len(closes) // 3, len(closes)))
    before = own & (published <= closes[place] - limit - 2 * BAR).to_numpy()
    if not before.any():
        return False
    last = published[before].max()
    silent = own & (published > last).to_numpy() & (published <= closes[place] + _DAY).to_numpy()
    quiet = MarketHistory(history.bars, history.macro[~silent])
    rest = published[own & ~silent & (published > last).to_numpy()]
    end = rest.min() if len(rest) else closes[-1] + BAR
    aged = np.asarray((closes > last + limit) & (closes < end))
    known = (quiet.macro["variable"] == variable).to_numpy() & (
        quiet.macro["published_at"] <= last
    ).to_numpy()
    base = book.run(quiet)
    other = book.run(change_values(quiet, known, int(rng.integers(2**31))))
    book.probes["expired value"] += 1
    effect = book.differ(base.values, other.values)
    book.heard(effect[~aged], variable)
    uses = np.array([variable in book.pipeline.inputs.get(name, ()) for name in book.names])
    book.looked_at(base.values, np.array(book.names)[effect[~aged].any(axis=0)])
    carried = (effect | (uses & np.isfinite(base.values))) & aged[:, None]
    carried[:, [name in book.excluded for name in book.names]] = False
    for column in np.flatnonzero(carried.any(axis=0)):
        name, row = book.names[column], int(np.flatnonzero(carried[:, column])[0])
        if book.is_new(name, "stale"):
            age = closes[row] - last
            words = (
                f"{name} at {stamp(base.times[row])} is {base.values[row, column]:.4g} though the newest "
                f"{short_name(variable)} value was published {stamp(last)}, {span(age)} before its close; "
                f"the limit is {limit_days} d{where}"
            )
            hint = "a forward fill without a limit, or one that counts rows instead of days"
            book.add(Finding(subject=name, rule="stale", at=base.times[row], words=words, hint=hint))
    return True


# ---- bars that do not exist


def relabel(book: Book, history: MarketHistory, rng: np.random.Generator, where: str) -> bool:
    """Move a bar's label within its gap: no feature of prices may move; False if none fits."""
    times = pd.DatetimeIndex(history.bars.index)
    slot, step = slots(times), np.diff(times) > BAR
    same_day = np.diff(session_dates(times)) == np.timedelta64(0, "D")
    earlier = np.flatnonzero(np.append(False, step) & (slot >= 1))
    later = np.flatnonzero(np.append(step & (same_day | (slot[:-1] < LAST_SLOT)), False) & (slot < LAST_SLOT))
    spots = [(int(p), -BAR) for p in earlier if p > len(times) // 10] + [
        (int(p), BAR) for p in later if p > len(times) // 10
    ]
    spots = [spot for spot in spots if not _publications_near(history, times[spot[0]])]
    if not spots:
        return False
    place, shift = spots[int(rng.integers(len(spots)))]
    labels = times.to_series().reset_index(drop=True)
    labels.iloc[place] += shift
    moved_bars = history.bars.set_axis(pd.DatetimeIndex(labels, name=times.name), axis=0)
    base, found = book.run(history), book.run(MarketHistory(moved_bars, history.macro))
    book.probes["moved label"] += 1
    effect = book.differ(base.values, found.values)
    book.heard(effect, CLOCK)
    book.looked_at(base.values, [n for n in book.names if book.pipeline.inputs.get(n) == (BARS,)])
    for column in np.flatnonzero(effect.any(axis=0)):
        name = book.names[column]
        if book.pipeline.inputs.get(name) != (BARS,) or not book.is_new(name, "filled"):
            continue
        row = int(np.flatnonzero(effect[:, column])[0])
        change = move(base.values[row, column], found.values[row, column])
        words = (
            f"{name} at {stamp(times[row])} {change} when the label of the bar of {stamp(times[place])} "
            f"moved to {stamp(labels.iloc[place])}, beside a missing bar: no price moved{where}"
        )
        hint = "missing bars were filled, within a session or across two"
        book.add(Finding(subject=name, rule="filled", at=times[row], words=words, hint=hint))
    return True


def _publications_near(history: MarketHistory, label: pd.Timestamp) -> bool:
    published = history.macro["published_at"]
    return bool(((published > label - 2 * BAR) & (published <= label + 3 * BAR)).any())


def check_rows(book: Book, base: Computed) -> None:
    """Look for rows without a bar."""
    if len(base.invented) == 0:
        return
    for name in book.names:
        words = f"{len(base.invented):,} rows have no bar, the first at {stamp(base.invented[0])}"
        hint = "bars laid on a full grid and filled"
        book.add(
            Finding(subject=name, rule="filled", at=base.invented[0], words=f"{name}: {words}", hint=hint)
        )


# ---- what must move does move


def check_repeats(book: Book, base: Computed, again: Computed) -> None:
    """Compare two runs on the same history; what differs is looked at no further."""
    moved = book.differ(base.values, again.values)
    for column in np.flatnonzero(moved.any(axis=0)):
        name, row = book.names[column], int(np.flatnonzero(moved[:, column])[0])
        change = move(base.values[row, column], again.values[row, column])
        words = f"{name} at {stamp(base.times[row])} {change} between two runs on the same data"
        hint = "an unseeded random number, the clock on the wall, or a value kept between calls"
        book.add(Finding(subject=name, rule="unrepeatable", at=base.times[row], words=words, hint=hint))
        book.excluded.add(name)


def listen(book: Book, history: MarketHistory, base: Computed, seed: int) -> None:
    """Find out which inputs move which features: prices, and macro variables by halving groups of them."""
    everything = np.ones(len(history.bars), bool)
    book.heard(book.differ(base.values, book.run(change_prices(history, everything, seed)).values), BARS)
    book.probes["changed input"] += 1
    groups = [sorted(history.macro["variable"].unique())]
    while groups:
        group = groups.pop()
        rows = history.macro["variable"].isin(group).to_numpy()
        moved = book.differ(base.values, book.run(change_values(history, rows, seed)).values)
        book.probes["changed input"] += 1
        if not moved.any():
            continue
        if len(group) == 1:
            book.heard(moved, group[0])
        else:
            groups += [group[: len(group) // 2], group[len(group) // 2 :]]


def check_inputs(book: Book, observed: Mapping[str, bool]) -> None:
    """Hold features to their declared inputs; `observed` says which had values to be moved."""
    for name, declared in book.pipeline.inputs.items():
        if name not in book.names or name in book.excluded or not observed[name]:
            continue
        heard = book.inputs.get(name, set())
        if missing := sorted(set(declared) - heard - {CLOCK}):
            words = f"{name} did not move when {_list(missing)} changed, which it is made of"
            book.add(Finding(subject=name, rule="deaf", at=None, words=words))
        if extra := sorted(heard - set(declared) - {CLOCK}):
            words = f"{name} moved when {_list(extra)} changed, which it is not made of"
            book.add(Finding(subject=name, rule="wired", at=None, words=words))


def _list(inputs: list[str]) -> str:
    return " and ".join(short_name(name) for name in inputs)
