"""Paths as people type them."""

from pathlib import Path
from typing import Any

import click


class TypedPath(click.Path):
    """A path as a person types it, from the folder they are in, which may lie anywhere in the project.

    With `existing_file` anything but a file that is there is a usage error.
    """

    def __init__(self, existing_file: bool = False) -> None:
        super().__init__(path_type=Path, exists=existing_file, dir_okay=not existing_file)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Count a typed path from where the command was started, and a default from the project's root."""
        started_in = ctx.find_object(Path) if ctx is not None and isinstance(value, str) else None
        return super().convert(started_in / value if started_in else value, param, ctx)
