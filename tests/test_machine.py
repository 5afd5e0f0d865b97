"""A fault of this machine is named as such, whatever library meets it and however it is wrapped."""

import errno
import os
import socket
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import requests
import urllib3

from sandbox.server import Sandbox
from stage_in.errors import OutputError, ProductError, TemporaryError, UsageError
from stage_in.machine import is_machine_fault, machine_faults_named
from stage_in.sources.platform_item import parse_items
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.response import translated_errors
from stage_in.transfer.retries import Retries
from tests.conftest import StageIn, slow_after
from tests.test_libraries import assert_no_file_was_requested
from tests.test_output import switch_user

FAULTS = [
    (MemoryError(), "ulimit -v"),
    (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "ulimit -v"),
    (OSError("memory allocation failed"), "ulimit -v"),
    (ImportError("libx.so: failed to map segment from shared object"), "ulimit -v"),
    (ET.ParseError("out of memory: line 1, column 0"), "ulimit -v"),
    (zlib.error("Error -4 while decompressing data: insufficient memory"), "ulimit -v"),
    (socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"), "ulimit -v"),
    (RuntimeError("can't start new thread"), "ulimit -u"),
    (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "ulimit -n"),
    (OSError(errno.ENFILE, os.strerror(errno.ENFILE)), "ulimit -n"),
    (ImportError("libx.so: cannot open shared object file"), "install the tool again"),
]


def fail(error: BaseException) -> None:
    raise error


def wrap_as_cause(error: Exception) -> None:
    try:
        fail(error)
    except Exception as cause:
        raise ProductError("the product seems to be wrong") from cause


def wrap_as_context(error: Exception) -> None:
    try:
        fail(error)
    except Exception:
        raise OutputError("the output seems to be wrong") from None


def wrap_as_argument(error: Exception) -> None:
    with translated_errors("http://there"):
        raise requests.ConnectionError(
            urllib3.exceptions.MaxRetryError(urllib3.HTTPConnectionPool("there"), "/", error)
        )


@pytest.mark.parametrize(
    "wrap", [fail, wrap_as_cause, wrap_as_context, wrap_as_argument], ids=lambda wrap: wrap.__name__
)
@pytest.mark.parametrize(("error", "remedy"), FAULTS, ids=str)
def test_what_is_wrong_is_named(
    error: Exception, remedy: str, wrap: Callable[[Exception], None]
) -> None:
    with pytest.raises(UsageError, match=f"(?i){remedy}"), machine_faults_named():
        wrap(error)


@pytest.mark.parametrize(
    "error",
    [
        ProductError("found 'out of memory'"),
        TemporaryError("status 500 (Out of memory) from there"),
        ValueError("out of memory"),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        RuntimeError("another"),
    ],
    ids=str,
)
def test_other_failures_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, machine_faults_named():
        raise error
    assert caught.value is error
    assert not is_machine_fault(error)


def test_the_note_about_resuming_stays() -> None:
    error = MemoryError()
    error.add_note("Run the command again")
    with pytest.raises(UsageError) as caught, machine_faults_named():
        raise error
    assert caught.value.__notes__ == ["Run the command again"]


def test_a_shortage_is_not_waited_for() -> None:
    attempts = []

    def request() -> None:
        attempts.append(1)
        raise TemporaryError("at there") from OSError(errno.EMFILE, "Too many open files")

    with pytest.raises(TemporaryError):
        Retries(Arrivals(lambda received, expected: None), 600)(request)
    assert len(attempts) == 1


def test_a_library_without_memory_does_not_make_the_item_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pystac.Item.from_dict", lambda *args, **kwargs: fail(MemoryError()))
    with pytest.raises(UsageError, match="ulimit -v"), machine_faults_named():
        parse_items(b'{"type": "Feature"}', "there")


@pytest.mark.parametrize(
    "memory", slow_after(2, [60, 390, 200, 80, 100, 120, 150, 300, 420, 440, 600])
)
def test_too_little_memory(stage_in: StageIn, platform: Sandbox, new: Path, memory: int) -> None:
    """The run succeeds, or ends before any file of the product was requested."""
    limited = replace(stage_in, through=("prlimit", f"--as={memory}000000"))
    run = limited(platform.item_url(new.name))
    if run.code:
        assert run.code == 2, run.log
        assert "ulimit -v" in run.reason
        assert_no_file_was_requested(platform)
        assert [*stage_in.folder.iterdir()] == []
    assert memory >= 400 or run.code == 2


@pytest.mark.parametrize("number", slow_after(2, [12, 31, 32, 6, 16]))
def test_few_open_files(stage_in: StageIn, platform: Sandbox, new: Path, number: int) -> None:
    limited = replace(stage_in, through=("prlimit", f"--nofile={number}"))
    run = limited(platform.item_url(new.name))
    assert run.code == (0 if number == 32 else 2), run.log
    if run.code:
        assert "ulimit -n" in run.reason
        assert_no_file_was_requested(platform)


def test_few_threads(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    """One is enough; without any, the message says so."""
    user = switch_user()
    stage_in.folder.chmod(0o777)
    none = replace(stage_in, through=("prlimit", "--nproc=1", *user))
    run = none(platform.item_url(new.name))
    assert run.code == 2, run.log
    assert "ulimit -u" in run.reason
    assert "Traceback" not in run.log
    if user:  # otherwise, the other processes of the same user count
        few = replace(stage_in, through=("prlimit", "--nproc=7", *user))
        run = few(platform.item_url(new.name))
        assert run.code == 0, run.log
        assert "Fewer parallel downloads: the system allows" in run.log


def test_a_umask_that_locks_the_user_out(stage_in: StageIn, platform: Sandbox, new: Path) -> None:
    masked = replace(stage_in, through=("sh", "-c", 'umask 277 && exec "$@"', "sh"))
    run = masked(platform.item_url(new.name))
    assert run.code == 2, run.log
    assert "The umask 0277 denies you access" in run.reason
    assert_no_file_was_requested(platform)
    assert not [*stage_in.folder.iterdir()]
