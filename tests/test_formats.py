import pytest

from dosvotos.formats import Formats


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
