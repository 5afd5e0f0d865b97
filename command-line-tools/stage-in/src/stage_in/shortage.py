"""This machine's lack of memory, threads or open files, wherever it shows.

Libraries wrap such a failure in exceptions of their own, and then it looks as if the product or
the network were to blame. Therefore it is searched for among the causes of whatever ended a run.
"""

import errno
import re
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree.ElementTree import ParseError

from stage_in.errors import UsageError

_MEMORY = "memory", "ulimit -v"
_THREADS = "threads", "ulimit -u"
_FILES = "open files", "ulimit -n"
_BY_NUMBER = {errno.ENOMEM: _MEMORY, errno.EMFILE: _FILES, errno.ENFILE: _FILES}
_NO_MEMORY = re.compile(
    r"(out of|not enough|insufficient|allocate) memory|memory allocation|malloc failure|"
    r"failed to map segment",
    re.IGNORECASE,
)
# With less, no run can succeed, and some libraries end the process without a message. A run takes
# 480 MB of address space and 17 open files.
_MINIMA = {
    resource.RLIMIT_AS: (400_000_000, "bytes of memory", "ulimit -v"),
    resource.RLIMIT_NOFILE: (32, *_FILES),
}


def check_limits() -> None:
    """Check the limits of this process before anything is requested.

    Raises:
        UsageError: one of them is too low for any run.
    """
    for limit, (minimum, what, option) in _MINIMA.items():
        found, _ = resource.getrlimit(limit)
        if found != resource.RLIM_INFINITY and found < minimum:
            raise UsageError(
                f"expected at least {minimum} {what}, found a limit of {found}. Raise it ({option})"
            )


@contextmanager
def shortages_named() -> Iterator[None]:
    """Report a failure whose cause is a lack of this machine as such.

    Raises:
        UsageError: in place of an exception with such a cause.
    """
    try:
        yield
    except Exception as error:
        for cause in _iterate_causes(error):
            if lacking := _find_lacking(cause):
                text = re.sub(r"\s+", " ", str(cause)).strip()[:200] or type(cause).__name__
                what, option = lacking
                named = UsageError(
                    f"this machine allows no more {what} ({text}). Raise the limit ({option}), or "
                    "give the container or job more"
                )
                for note in getattr(error, "__notes__", ()):
                    named.add_note(note)
                raise named from error
        raise


def is_shortage(error: BaseException) -> bool:
    """Tell whether the cause of an exception is a lack of this machine."""
    return any(_find_lacking(cause) for cause in _iterate_causes(error))


def _iterate_causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    left = [error]
    while left:
        error = left.pop()
        if id(error) not in seen:
            seen.add(id(error))
            yield error
            inner = (error.__cause__, error.__context__, getattr(error, "reason", None))
            left += [e for e in (*inner, *error.args) if isinstance(e, BaseException)]


def _find_lacking(error: BaseException) -> tuple[str, str] | None:
    """Return what is lacking and the option that sets its limit, or None."""
    text = str(error)
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, socket.gaierror):
        return _MEMORY if error.errno == socket.EAI_MEMORY else None
    if isinstance(error, RuntimeError) and "can't start new thread" in text:
        return _THREADS
    if isinstance(error, OSError) and error.errno in _BY_NUMBER:
        return _BY_NUMBER[error.errno]
    # Messages of other exceptions may quote what a server or a product says.
    speaks_for_itself = isinstance(error, ImportError | OSError | ParseError) or any(
        kind.__module__.startswith(("rasterio.", "lxml.", "zlib")) for kind in type(error).__mro__
    )
    return _MEMORY if speaks_for_itself and _NO_MEMORY.search(text) else None
