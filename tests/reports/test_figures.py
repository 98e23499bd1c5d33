"""Figures drawn in one thread while another imports."""

import importlib
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from dosvotos.reports.figures import figure, to_html


class Waits:
    """Finds nothing itself; stops the import of one module halfway until it is told to go on."""

    def __init__(self, name: str) -> None:
        self.name, self.reached, self.over = name, threading.Event(), threading.Event()

    def find_spec(self, name: str, *_: object) -> None:
        if name == self.name:
            self.reached.set()
            self.over.wait(0.3)


@pytest.fixture
def without_pillow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of Pillow is imported; afterwards what was imported before is there again."""
    for name in [name for name in sys.modules if name == "PIL" or name.startswith("PIL.")]:
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in [name for name in sys.modules if name == "PIL" or name.startswith("PIL.")]:
        del sys.modules[name]


def test_a_figure_is_written_while_another_thread_is_half_done_with_pillow(without_pillow, monkeypatch):
    drawn = figure().add_bar(
        x=np.array(["a", "b"], object), y=[1.0, None]
    )  # what plotly looks at value by value
    halfway = Waits("PIL.ImageMode")  # which PIL.Image imports before it defines its class
    monkeypatch.setattr(sys, "meta_path", [halfway, *sys.meta_path])
    importing = threading.Thread(target=importlib.import_module, args=["PIL.Image"])
    importing.start()
    assert halfway.reached.wait(30)
    assert "Image" not in vars(sys.modules["PIL.Image"]), "half done"
    assert "bar" in to_html(drawn, "drawn")
    importing.join()
