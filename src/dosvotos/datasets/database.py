"""The database and the providers' keys in the catalog: loading gives a handle to ask, saving stores."""

from typing import Any

from kedro.io import AbstractDataset, DatasetError
from kedro.utils import load_obj
from pydantic import SecretStr

from dosvotos.database.connection import open_database


class TableDataset(AbstractDataset[Any, Any]):
    """A handle on tables of the database.

    Parameters
    ----------
    handle : str
        Full name of the handle's class: a dataclass of an engine and `arguments` with a ``store`` method.
    credentials : dict
        ``url`` of the database.
    arguments : dict, optional
        What the handle is bound to, such as the instrument. ``feed: null`` is filled from the
        parameters, which YAML cannot read.
    """

    def __init__(
        self,
        handle: str,
        credentials: dict[str, str],
        arguments: dict[str, str | None] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._handle_name = handle
        self._url = credentials["url"]
        self._arguments = dict(arguments or {})
        self.metadata = metadata

    def bind_feed(self, feed: str) -> None:
        """Bind a handle whose arguments name a feed."""
        if "feed" in self._arguments:
            self._arguments["feed"] = feed

    def load(self) -> Any:
        """Make the handle; nothing is read before it is asked.

        Raises
        ------
        DatasetError
            If it needs a feed and none is bound: the catalog was made outside a Kedro session.
        """
        if None in self._arguments.values():
            raise DatasetError(f"{self._handle_name}: bound to no feed; load it in a session (kedro ipython)")
        return load_obj(self._handle_name)(open_database(self._url), **self._arguments)

    def save(self, data: Any) -> None:
        """Store a batch, the handle's own tuple of arguments to ``store``."""
        self.load().store(*data)

    def _describe(self) -> dict[str, Any]:
        return {"handle": self._handle_name, **self._arguments}


class KeysDataset(AbstractDataset[None, dict[str, SecretStr]]):
    """The providers' keys: those that the environment holds, hidden from every message."""

    def __init__(self, credentials: dict[str, str], metadata: dict[str, Any] | None = None) -> None:
        self._keys = {name: SecretStr(key) for name, key in credentials.items() if key}
        self.metadata = metadata

    def load(self) -> dict[str, SecretStr]:
        """The keys by provider; a provider without one is absent."""
        return self._keys

    def save(self, data: None) -> None:
        """Refuse: keys come from the environment only."""
        raise NotImplementedError("provider_keys are read from the environment; set them there")

    def _describe(self) -> dict[str, Any]:
        return {"providers": sorted(self._keys)}
