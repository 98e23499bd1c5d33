"""Commands whose modules are imported when they are asked for: a proof need not wait for pandas."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group that knows some of its commands by name and finds them elsewhere.

    Parameters
    ----------
    elsewhere : mapping of str
        ``module:attribute`` below ``dosvotos.commands``, by the command's name.
    """

    def __init__(self, *arguments: Any, elsewhere: Mapping[str, str], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._elsewhere = elsewhere

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all commands, imported or not."""
        return sorted({*self.commands, *self._elsewhere})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Give a command, imported on first use."""
        if (where := self._elsewhere.get(cmd_name)) is not None and cmd_name not in self.commands:
            module, _, attribute = where.partition(":")
            self.add_command(getattr(import_module(f"dosvotos.commands.{module}"), attribute))
        return super().get_command(ctx, cmd_name)
