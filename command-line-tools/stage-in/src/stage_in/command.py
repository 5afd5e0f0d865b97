"""The base of the commands: what they print about misuse and bugs holds no secret either."""

import os
import sys
import threading
import traceback
from types import TracebackType
from typing import Any

import click

from stage_in.secrets import clean, register_environment


class Command(click.Command):
    """A command that knows the secrets in the environment before it reads its options."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command; a bug ends it with a traceback without secrets."""
        register_environment(os.environ)
        sys.excepthook = _print_traceback
        threading.excepthook = lambda bug: _print_traceback(
            bug.exc_type, bug.exc_value, bug.exc_traceback
        )
        return super().main(*arguments, **options)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Read the options.

        Raises:
            click.ClickException: an option can't be used; the message is safe to print.
        """
        try:
            return super().make_context(*arguments, **options)
        except click.ClickException as error:
            vars(error)["message"] = clean(error.message)
            raise


def _print_traceback(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    lines = "".join(traceback.format_exception(kind, error, trace)).splitlines()
    print(*map(clean, lines), sep="\n", file=sys.stderr)  # noqa: T201
