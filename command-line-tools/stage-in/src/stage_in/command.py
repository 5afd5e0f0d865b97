"""The base of the commands: help, exit codes, and what they print about misuse and bugs."""

import errno
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any, NoReturn

import click

from stage_in.errors import OutputError, StageInError
from stage_in.log import is_json, log_json, set_up_log, setting_up_log
from stage_in.secrets import clean, register_environment

_INTERRUPTED = 130  # 128 + SIGINT
_UNEXPECTED_END = 2


class Command(click.Command):
    """A command whose messages hold no secret.

    It registers the secrets in the environment before it reads its options. If it has an option
    `--log-format`, what it prints about misuse and bugs has that format, too.
    """

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command; a bug ends it with a traceback without secrets."""
        _open_missing_streams()
        register_environment(os.environ)
        sys.excepthook = _report_bug
        threading.excepthook = lambda bug: _report_bug(
            bug.exc_type, bug.exc_value, bug.exc_traceback, exit_code=None
        )
        run = partial(super().main, prog_name=prog_name, complete_var=complete_var, **extra)
        if not standalone_mode:
            return run(args, standalone_mode=False)
        args = sys.argv[1:] if args is None else args
        if self._wants_json(args):
            log_json()
            sys.unraisablehook = lambda bug: _report_bug(
                bug.exc_type, bug.exc_value, bug.exc_traceback, exit_code=None
            )
        try:
            sys.exit(run(args, standalone_mode=False))
        except click.ClickException as error:
            vars(error)["message"] = clean(error.message)
            self._exit(error.exit_code, error.format_message(), error.show)
        except click.Abort as abort:
            if isinstance(abort.__context__, KeyboardInterrupt):
                self._exit(_INTERRUPTED, "stopped by SIGINT")
            self._exit(_UNEXPECTED_END, "the input ended, but the command needs more")
        except StageInError as error:
            self._exit(error.exit_code, str(error))
        finally:
            try:
                sys.stderr.flush()
            except OSError:
                # Otherwise the interpreter would try again at its end, and exit with 120.
                sys.stderr = None
                _open_missing_streams()

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Read the options, and print the help or the version.

        Raises:
            click.ClickException: an option can't be used.
            OutputError: standard output can't be written.
        """
        with writing_output():
            return super().make_context(*arguments, **options)

    def _wants_json(self, args: Sequence[str]) -> bool:
        """Tell whether the arguments ask for a log in JSON, whatever else is wrong with them."""
        params = [option for option in self.params if option.name == "log_format"]
        settings = {"ignore_unknown_options": True, "allow_extra_args": True}
        parser = click.Command(
            self.name, params=params, add_help_option=False, context_settings=settings
        )
        with suppress(click.ClickException):
            context = parser.make_context(self.name, [*args], resilient_parsing=True)
            return context.params.get("log_format") == "json"
        return False

    def _exit(self, code: int, reason: str, show: Callable[[], None] | None = None) -> NoReturn:
        if is_json():
            with setting_up_log:
                logger = set_up_log("ERROR")
            logger.error("{}", reason, exit_code=code)
        else:
            with suppress(OSError):  # the exit code says the same
                if show is not None:
                    show()
                else:
                    click.echo(f"{self.name}: {reason}", err=True)
        sys.exit(code)


def _open_missing_streams() -> None:
    """Open the standard streams that there are not: the parent process may have closed them.

    What is written to standard output is the result, so that fails there, as in `>/dev/full`.
    """
    for name, mode, flags in (
        ("stdin", "r", os.O_RDONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, flags)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


@contextmanager
def writing_output() -> Iterator[None]:
    """Report that standard output can't be written, such as `>/dev/full`.

    click handles a reader that has gone away.

    Raises:
        OutputError: it can't be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        # Otherwise the interpreter would try again at its end, and exit with 120.
        sys.stdout = None
        raise OutputError(
            f"can't write to standard output: {error.strerror}. Check where it is redirected to"
        ) from error


def _report_bug(
    kind: type[BaseException],
    error: BaseException | None,
    trace: TracebackType | None,
    *,
    exit_code: int | None = 1,
) -> None:
    lines = "".join(traceback.format_exception(kind, error, trace)).splitlines()
    if not is_json():
        print(*map(clean, lines), sep="\n", file=sys.stderr)  # noqa: T201
        return
    ending = {} if exit_code is None else {"exit_code": exit_code}
    with setting_up_log:
        logger = set_up_log("ERROR")
    logger.error("This is a bug: {}", lines[-1], event="bug", traceback=lines, **ending)
