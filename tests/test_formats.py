from datetime import UTC, datetime

import pytest

from dosvotos.formats import CHANCE, COUNT, PERCENT, RATIO, Formats


@pytest.mark.parametrize(
    ("language", "number", "percent", "change"),
    [("en", "1,234.50", "12.3%", "+0.5%"), ("es", "1.234,50", "12,3\u00a0%", "+0,5\u00a0%")],
)
def test_numbers_follow_the_language(language, number, percent, change):
    f = Formats(language)
    assert f.number(1234.5) == number
    assert f.percent(0.1234) == percent
    assert f.percent(0.005, signed=True) == change
    assert f.number(None) == f.percent(None) == f.chance(None) == "\u2013"


@pytest.mark.parametrize(
    ("chance", "digits", "text"),
    [
        (0.9734, 1, "97.3%"),
        (0.999, 1, "99.9%"),
        (0.99951, 1, "> 99.9%"),
        (1.0, 1, "> 99.9%"),
        (0.0004, 1, "< 0.1%"),
        (0.0, 2, "< 0.01%"),
        (0.0031, 2, "0.31%"),
    ],
)
def test_no_chance_is_written_as_certain(chance, digits, text):
    assert Formats("en").chance(chance, digits) == text
    assert Formats("es").chance(chance, digits) == text.replace(".", ",").replace("%", "\u00a0%")


@pytest.mark.parametrize(("fraction", "text"), [(0.005, "0.5%"), (0.00005, "0.005%"), (0.000333, "0.033%")])
def test_a_small_share_keeps_the_digits_that_count(fraction, text):
    assert Formats("en").small_percent(fraction) == text


@pytest.mark.parametrize(
    ("found", "needed", "form", "written"),
    [
        (0.499999, 0.5, RATIO, ("0.499999", "0.500000")),
        (0.1 + 0.2, 0.3, RATIO, ("0.30000000000000004", "0.30000000000000000")),
        (0.4649999, 0.465, PERCENT, ("46.49999%", "46.50000%")),
        (4.0649, 0.5, RATIO, ("4.06", "0.50")),
        (12_345, 50, COUNT, ("12,345", "50")),
        (0.5, 0.5, RATIO, ("0.50", "0.50")),
        (None, 0.5, RATIO, ("\u2013", "0.50")),
    ],
)
def test_two_figures_are_written_alike_only_if_they_are_equal(found, needed, form, written):
    assert Formats("en").distinct(found, needed, form) == written


def test_dates_plurals_and_marks_follow_the_language():
    en, es = Formats("en"), Formats("es")
    moment = datetime(2025, 7, 1, 13, tzinfo=UTC)
    assert (en.months()[0], es.months()[0], en.moment(None)) == ("Jan", "ene", "\u2013")
    assert es.moment(moment, "America/Bogota") == "2025-07-01 08:00" and en.moment(None) == "\u2013"
    assert en.plural(1, "seed", "seeds") == "1 seed" and en.plural(0, "seed", "seeds") == "0 seeds"
    assert es.plural(1_000_000, "sesión", "sesiones") == "1.000.000 sesiones"
    assert (en.separators, es.separators) == (".,", ",.")
    assert en.number(float("nan")) == "\u2013" and en.write(0.9999, CHANCE) == "> 99.9%"
