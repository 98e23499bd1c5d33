import re

import numpy as np
import pandas as pd
import pytest

from dosvotos.reports import pages

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)> & \"x\" 'y'"


def body(page: str) -> str:
    return page[page.index("<body>") :]


def cells(html: str) -> list[list[str]]:
    return [
        re.findall(r"<td[^>]*>(.*?)(?=<td|$)", row)
        for row in re.findall(r"<tr>(<td.*?)(?=<tr>|</tbody>)", html)
    ]


def test_text_stays_text_wherever_it_enters():
    rows = pd.DataFrame({HOSTILE: [HOSTILE]})
    drawn = pages.figure().add_bar(x=[1], y=[1])
    page = pages.page(
        HOSTILE, HOSTILE, HOSTILE, pages.section(HOSTILE, HOSTILE, pages.table(rows)),
        pages.tiles({HOSTILE: HOSTILE}), pages.verdict(HOSTILE, good=False), pages.legend({HOSTILE: HOSTILE}),
        pages.note(HOSTILE), pages.mark(HOSTILE), pages.plot(drawn, "drawn", HOSTILE, HOSTILE),
    )  # fmt: skip
    assert "alert(1)</script>" not in page and "<img" not in body(page)
    assert page.count("&lt;/script&gt;&lt;script&gt;") == 17


def test_a_table_shows_each_kind_of_value_by_its_nature():
    rows = pd.DataFrame(
        {
            "name": ["a", None],
            "n": [1234, 5],
            "share": [0.12345, np.nan],
            "at": pd.to_datetime(["2025-07-01 08:00", None]).tz_localize("America/Bogota"),
            "ok": [True, False],
            "drawn": pd.Series([pages.mark("x"), "<y>"], dtype=object),
        }
    )
    html = pages.table(rows, {"share": ".1%"})
    first, second = cells(html)
    assert first == ["a", "1,234", "12.3%", "2025-07-01 13:00", "yes", "<b class=bad>x</b>"]
    assert second == ["-", "5", "-", "-", "no", "&lt;y&gt;"]
    assert re.findall(r"<th( class=\w)?>", html) == ["", " class=n", " class=n", " class=t", "", ""]
    assert "<th class=n>ok" in pages.table(rows, right=["ok"])


def test_rows_of_words_and_marks_keep_their_marks():
    html = pages.table([{"verdict": "clean", "n": 3}, {"verdict": pages.mark("future"), "n": 4}])
    assert cells(html) == [["clean", "3"], ["<b class=bad>future</b>", "4"]]
    assert "<tbody></tbody>" in pages.table([])


def test_an_empty_table_keeps_its_head():
    assert "<th>a<th>b</thead><tbody></tbody>" in pages.table(pd.DataFrame(columns=["a", "b"]))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(np.nan, "-"), (0.0, "0"), (4012.5, "4,012.50"), (1.23456789, "1.2346"), (-1e-7, "-1e-07")],
)
def test_numbers_have_five_digits(value, shown):
    assert pages.number(value) == shown


def test_only_a_page_with_figures_carries_plotly_and_only_once():
    drawn = pages.figure().add_bar(x=[1], y=[1])
    page = pages.page("t", "l", pages.grid(pages.plot(drawn, "a"), pages.plot(drawn, "b")))
    assert page.count("plotly.js v") == 1 and page.count('class="plotly-graph-div"') == 2
    assert page == pages.page("t", "l", pages.grid(pages.plot(drawn, "a"), pages.plot(drawn, "b")))
    assert "plotly.js v" not in pages.page("t", "l", "nothing drawn", "<div class=plot>")


def test_a_page_asks_nobody():
    page = pages.page("t", "l", pages.section("s", "text"))
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*\b(?:src|href)=", page)
    assert "default-src 'none'" in page
