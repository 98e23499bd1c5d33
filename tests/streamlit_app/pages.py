"""Pages as Streamlit runs them: what they say, a click, and whether hostile text stays text."""

from datetime import UTC, datetime
from pathlib import Path

from streamlit.testing.v1 import AppTest

import streamlit_app
from dosvotos.promotion.decision import Vote, decide
from tests.proposal_fixtures import NOTES, Desk

UI = Path(streamlit_app.__file__).with_name("ui.py")
HOSTILE = (
    "<img src=http://evil.test/a.png> ![x](http://evil.test/b.png) [c](javascript:evil.test) **evil.test** "
    ":red[evil.test] $evil.test$"
)
PLAIN_ELEMENTS = ("text", "arrow_data_frame", "dataframe", "text_area")


def page_text(at: AppTest) -> str:
    """All text of a page, its sidebar included."""
    kinds = (
        at.title,
        at.header,
        at.subheader,
        at.markdown,
        at.caption,
        at.text,
        at.info,
        at.error,
        at.warning,
        at.success,
    )
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def press(at: AppTest, label: str) -> AppTest:
    (button,) = [button for button in at.button if button.label == label]
    button.click()
    at.run()
    assert not at.exception
    return at


def vote(desk: Desk, proposal_id: int, decision: str, notes: str = NOTES) -> None:
    decide(desk.engine, proposal_id, Vote(decision, "alice", notes), datetime.now(UTC))


def assert_plain(at: AppTest) -> None:
    """Hostile text stands in elements that interpret nothing, and it does stand there."""
    loud = [e for e in at if e.type not in PLAIN_ELEMENTS and "evil.test" in str(getattr(e, "proto", ""))]
    assert loud == []
    assert any("evil.test" in element.value for element in at.text)
