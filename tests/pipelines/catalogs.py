"""The project's catalog for a test: files become memory, tables and bundles lie in the test's folder."""

from pathlib import Path

from kedro.io import DataCatalog, MemoryDataset
from pydantic import BaseModel

from dosvotos.config_loader import StrictConfigLoader
from dosvotos.contracts.parameters import Parameters
from dosvotos.hooks import ParameterHooks
from dosvotos.settings import CONFIG_LOADER_ARGS
from tests.conftest import ROOT
from tests.migrated import copy_migrated

ON_DISK = ("TableDataset", "CandidateModelDataset", "ProductionModelDataset", "FolderDataset")


class KeptDataset(MemoryDataset):
    """Memory that a runner does not empty when the last node has read it."""

    def _release(self) -> None:
        pass


def catalog_config(env: str = "smoke", **runtime: str) -> dict[str, dict]:
    """The catalog's entries as a run of an experiment gets them."""
    loader = StrictConfigLoader(
        str(ROOT / "conf"), env=env, runtime_params=runtime or None, **CONFIG_LOADER_ARGS
    )
    return loader["catalog"]


def memory_catalog(parameters: Parameters, folder: Path) -> DataCatalog:
    """A catalog without files, filled with the parameters, on an empty SQLite database."""
    url = f"sqlite:///{copy_migrated(folder / 'books.db')}"
    entries = {
        name: _inside(entry, folder)
        if entry["type"].endswith(ON_DISK)
        else {"type": KeptDataset, "copy_mode": "assign"}
        for name, entry in catalog_config(parameters.experiment.name).items()
    }
    catalog = DataCatalog.from_config(entries, credentials={"database": {"url": url}})
    for name in type(parameters).model_fields:
        section = getattr(parameters, name)
        if isinstance(section, BaseModel):
            catalog[f"params:{name}"] = section
    catalog["parameters"] = parameters.model_dump()
    catalog["provider_keys"] = MemoryDataset({})
    catalog["last_feature_state"] = MemoryDataset(None)
    ParameterHooks().after_catalog_created(catalog, {"parameters": parameters.model_dump()})
    return catalog


def _inside(entry: dict, folder: Path) -> dict:
    def moved(value: object) -> object:
        return str(folder / value) if isinstance(value, str) and value.startswith("data/") else value

    arguments = {name: moved(value) for name, value in entry.get("arguments", {}).items()}
    return {**{k: moved(v) for k, v in entry.items()}, **({"arguments": arguments} if arguments else {})}
