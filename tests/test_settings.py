"""What the settings spare a run."""

import sys

from kedro.io import MemoryDataset

from dosvotos import settings


class Searches:
    """Finds nothing, and counts what it is asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(self, name: str, *_: object) -> None:
        self.names.append(name)


def test_a_package_that_is_not_there_is_not_searched_for_at_every_parameter(monkeypatch):
    searches = Searches()
    monkeypatch.setattr(sys, "meta_path", [searches, *sys.meta_path])
    monkeypatch.delitem(sys.modules, "ibis", raising=False)
    MemoryDataset(1)
    assert searches.names == ["ibis"], "Kedro searches"
    settings._search_once("ibis")
    searches.names.clear()
    MemoryDataset(1)
    assert searches.names == []
