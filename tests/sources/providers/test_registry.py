import ast
import importlib
import inspect
from typing import get_args

import pytest

from dosvotos.contracts.acquisition import BarProvider, Provider, WebProvider
from dosvotos.sources.http import ProviderClient
from dosvotos.sources.providers import DROP_IN, MODULES, provider_module
from dosvotos.sources.series import FetchedSeries, SeriesRequest

PACKAGE = "dosvotos.sources.providers"
SHARED = {"parsing", "dates", "bcrp_days"}
ALL = [*get_args(WebProvider), *DROP_IN]


def test_every_provider_of_the_contract_is_registered_and_no_other():
    contract = {name for part in get_args(Provider) for name in get_args(part) or (part,)}
    assert set(MODULES) == contract == set(ALL)


@pytest.mark.parametrize("name", get_args(WebProvider))
def test_every_web_provider_fetches_a_series_with_a_client(name):
    signature = inspect.signature(provider_module(name).fetch)
    assert [p.annotation for p in signature.parameters.values()] == [SeriesRequest, ProviderClient]
    assert signature.return_annotation is FetchedSeries


@pytest.mark.parametrize("name", sorted(set(get_args(BarProvider)) & set(get_args(WebProvider))))
def test_every_bar_provider_fetches_bars(name):
    assert list(inspect.signature(provider_module(name).fetch_bars).parameters) == [
        "symbol",
        "start",
        "end",
        "client",
    ]


def test_both_drop_in_providers_read_the_same_folder():
    assert {provider_module(name).__name__ for name in DROP_IN} == {f"{PACKAGE}.drop_in"}


def test_all_sources_of_the_40_variables_are_registered(variables):
    assert len(variables) == 40
    assert {source.provider for v in variables.values() for source in v.sources} <= set(MODULES)


def imported(module, at_top_level=False):
    package = importlib.import_module(f"{PACKAGE}.{module}".removesuffix(".__init__"))
    tree = ast.parse(inspect.getsource(package))
    nodes = tree.body if at_top_level else list(ast.walk(tree))
    names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return names + [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]


@pytest.mark.parametrize("module", sorted(set(MODULES.values())))
def test_a_provider_imports_no_other_provider(module):
    inside = [name for name in imported(module) if name.startswith(PACKAGE)]
    assert set(inside) <= {f"{PACKAGE}.{name}" for name in SHARED}


@pytest.mark.parametrize("module", ["__init__", *sorted(set(MODULES.values()))])
def test_importing_a_module_costs_neither_another_one_nor_a_heavy_package(module):
    top_level = imported(module, at_top_level=True)
    assert not {name.split(".")[0] for name in top_level} & {"openpyxl", "lxml", "yfinance"}
    if module == "__init__":
        assert not [name for name in top_level if name.startswith(PACKAGE)]
