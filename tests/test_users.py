import pytest

from dosvotos.errors import DecisionError, ParameterError
from dosvotos.users import current_user
from tests.conftest import parameters_of


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ana\u202e", "DOSVOTOS_USER: plain text in one line only, found U\\+202E RIGHT-TO-LEFT OVERRIDE"),
        ("a\x1b[8mna", "found U\\+001B ESC at character 2"),
        ("ana\u200b", "found U\\+200B ZERO WIDTH SPACE"),
        ("x" * 256, "at most 255 characters, were 256"),
    ],
)
def test_a_user_whose_name_does_not_show_as_it_is_works_under_no_name(monkeypatch, name, said):
    monkeypatch.setenv("DOSVOTOS_USER", name)
    with pytest.raises(DecisionError, match=said):
        current_user()


def test_an_experiment_s_description_is_plain_text_too():
    assert parameters_of(experiment={"description": "two\nlines"}).experiment.description == "two\nlines"
    with pytest.raises(ParameterError, match=r"description.*found U\+001B ESC at character 4"):
        parameters_of(experiment={"description": "red\x1b[31m"})
