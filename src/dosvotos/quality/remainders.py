"""Rule of macro series of which most is wrong: the values that pass by chance are out too."""

from typing import Final

from dosvotos.quality.findings import CheckedRows, QualityCheck

MOSTLY_WRONG: Final = "mostly_wrong"
_OTHER_SERIES: Final = ("out_of_range", "step", "splice")
"""Rules that find values of another series, sign or unit; a lost decimal point spoils one value at a time."""
_MOST, _MIN_WRONG = 0.5, 10


def check_remainders(macro: CheckedRows) -> CheckedRows:
    """Quarantine what is left of variables of which most delivered values are another series'.

    Parameters
    ----------
    macro : CheckedRows
        Kept rows have variable, observation_date, value, source.
    """
    rows, found = macro.kept, macro.quarantined
    n_wrong = found["subject"][found["rule"].isin(_OTHER_SERIES)].value_counts()
    n_rows = found["subject"].value_counts().add(rows["variable"].value_counts(), fill_value=0)
    share = (n_wrong / n_rows).loc[lambda wrong: wrong > _MOST]
    names = [name for name in share.index if n_wrong[name] >= _MIN_WRONG]
    out = rows["variable"].isin(names).to_numpy()
    if not out.any():
        return macro
    check = QualityCheck.of_macro(rows)
    says = {n: f"{n_wrong[n]:,} of {int(n_rows[n]):,} values of this delivery are no {n}" for n in names}
    why = "{:g} passes by chance: {}"
    wrong = zip(rows["value"][out], rows["variable"][out], strict=True)
    check.quarantine(MOSTLY_WRONG, out, [why.format(value, says[name]) for value, name in wrong])
    return macro.followed_by(check)
