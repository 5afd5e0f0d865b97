"""This machine's faults: too little memory, too few threads, libraries that can't be loaded.

Libraries wrap such a failure in exceptions of their own, and then it looks as if the product or
the network were to blame. Therefore it is searched for among the causes of whatever ended a run.
"""

import errno
import os
import re
import resource
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from xml.etree.ElementTree import ParseError

from stage_in.errors import UsageError
from stage_in.secrets import excerpt

_MEMORY = "memory", "ulimit -v"
_THREADS = "threads", "ulimit -u, or ulimit -v as each of them needs memory"
_FILES = "open files", "ulimit -n"
_BY_NUMBER = {errno.ENOMEM: _MEMORY, errno.EMFILE: _FILES, errno.ENFILE: _FILES}
_NO_MEMORY = re.compile(
    r"(out of|not enough|insufficient|allocate) memory|memory allocation|malloc failure|"
    r"failed to map segment",
    re.IGNORECASE,
)
# Variables by which the loader finds other libraries than those that the tool was installed with.
_LOADER = ("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")
# With less, no run can succeed, and some libraries end the process without a message. A run takes
# 700 MB of address space and 17 open files.
_MINIMA = {
    resource.RLIMIT_AS: (400_000_000, "bytes of memory", "ulimit -v"),
    resource.RLIMIT_DATA: (300_000_000, "bytes of memory", "ulimit -d"),
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
                f"a run needs at least {minimum} {what}, but the limit is {found}. Raise it "
                f"({option})"
            )


def check_umask() -> None:
    """Check that the user can use the folders that a run creates, before anything is requested.

    Raises:
        UsageError: the umask takes permissions from their owner.
    """
    with suppress(OSError):  # a system without /proc
        status = Path("/proc/self/status").read_text(encoding="latin-1")
        umask = re.search(r"^Umask:\s*([0-7]+)$", status, re.MULTILINE)
        if umask is not None and int(umask[1], 8) & stat.S_IRWXU:
            raise UsageError(
                f"the umask {umask[1]} denies you access to the folders that you create. "
                "Set another one, such as umask 022"
            )


@contextmanager
def machine_faults_named() -> Iterator[None]:
    """Report a failure whose cause is a fault of this machine as such.

    Raises:
        UsageError: in place of an exception with such a cause.
    """
    try:
        yield
    except Exception as error:
        message = _find_fault(error)
        if message is None:
            raise
        named = UsageError(message)
        for note in getattr(error, "__notes__", ()):
            named.add_note(note)
        raise named from error


def is_machine_fault(error: BaseException) -> bool:
    """Tell whether the cause of an exception is a fault of this machine."""
    return _find_fault(error) is not None


def _find_fault(error: BaseException) -> str | None:
    """Return what is wrong and what helps, or None if the machine is not to blame."""
    causes = [*iterate_causes(error)]
    for cause in causes:
        if lacking := _find_lacking(cause):
            what, option = lacking
            return (
                f"this machine allows no more {what} ({_describe(cause)}). Raise the limit "
                f"({option}), or give the container or job more"
            )
    for cause in reversed(causes):
        if isinstance(cause, ImportError):
            settings = ", ".join(name for name in _LOADER if name in os.environ)
            remedy = (
                f"Unset {settings}, which may belong to another program"
                if settings
                else "Install the tool again"
            )
            return f"a library can't be loaded ({_describe(cause)}). {remedy}"
    return None


def _describe(error: BaseException) -> str:
    return excerpt(re.sub(r"\s+", " ", str(error)).strip(), 200) or type(error).__name__


def iterate_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that it was raised from or that libraries wrap in it."""
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
