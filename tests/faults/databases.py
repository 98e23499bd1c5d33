"""Databases of both kinds whose state can be copied, and processes of their own to vote in."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from dosvotos.database.connection import make_engine
from dosvotos.signing.home import HOME_VARIABLE
from tests.forked import processes
from tests.migrated import copy_database, copy_migrated, create_migrated, execute
from tests.proposal_fixtures import Desk

_NUMBERS = count()
HOMES = "home"
"""DOSVOTOS_HOME of a desk, counted from its folder, so that a copied desk has a copied home."""


@dataclass(frozen=True)
class Databases:
    """Makes databases with today's schema, one folder each, and copies of them."""

    root: Path
    server: str | None = None
    """PostgreSQL's address, with the database that `create_migrated` copies; without one SQLite is used."""

    @property
    def kind(self) -> str:
        return "sqlite" if self.server is None else "postgresql"

    def empty(self) -> Desk:
        """A desk without proposals."""
        folder, name = self._place()
        folder.mkdir(parents=True)
        desk = Desk(make_engine(self._url(folder, name)), folder)
        if self.server is None:
            copy_migrated(folder / "dosvotos.db")
        else:
            create_migrated(self.server, name)
        return desk

    def copy(self, desk: Desk) -> Desk:
        """A desk with the same rows and files; the first one's connections are closed."""
        desk.engine.dispose()
        folder, name = self._place()
        shutil.copytree(desk.root, folder)
        if self.server is not None:
            copy_database(self.server, name, desk.engine.url.database)
        return Desk(make_engine(self._url(folder, name)), folder)

    def drop(self, desk: Desk) -> None:
        """Remove a desk with all it holds."""
        desk.engine.dispose()
        if self.server is not None:
            execute(self.server, f"DROP DATABASE {desk.engine.url.database} WITH (FORCE)")
        shutil.rmtree(desk.root)

    @contextmanager
    def copied(self, desk: Desk) -> Iterator[Desk]:
        """Work in a copy, as a process in its folder would, and remove it."""
        copy = self.copy(desk)
        try:
            with chdir(copy.root):
                yield copy
        finally:
            self.drop(copy)

    def _place(self) -> tuple[Path, str]:
        name = f"faults_{os.getpid()}_{next(_NUMBERS)}"
        return self.root / name, name

    def _url(self, folder: Path, name: str) -> str:
        if self.server is None:
            return f"sqlite:///{folder}/dosvotos.db"
        return self.server.replace("/postgres?", f"/{name}?")


def enter(folder: str) -> None:
    """Work in a desk's folder with its own home, as a process of its own."""
    os.chdir(folder)
    os.environ[HOME_VARIABLE] = HOMES


def url_of(engine: Engine) -> str:
    """The address another process connects to."""
    return engine.url.render_as_string(hide_password=False)


def answer_of(target: Callable[..., None], *arguments: Any) -> str | None:
    """Run a function in a process of its own until it ends or is stopped; gives what it had answered by then.

    Its last argument is the pipe that it answers by.
    """
    context = processes()
    receiver, answer = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(*arguments, answer))
    process.start()
    answer.close()
    process.join()
    answered: str | None = None
    with suppress(EOFError):  # it answered nothing
        answered = receiver.recv() if receiver.poll() else None
    return answered
