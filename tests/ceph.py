"""A real S3 server, Ceph with its RADOS gateway, where the machine has it."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.sigv4 import Key
from tests.conftest import SHARED

SERVER = SHARED / "tools" / "ceph" / "s3server"
KEY = Key("TESTKEY", "TESTSECRET")
# The monitor's port is this much above the gateway's.
MONITOR = 9300


@contextmanager
def ceph(folder: Path) -> Iterator[str]:
    """Run Ceph while the context is active, and return its origin. It has no buckets.

    Without Ceph on this machine, the test is skipped.
    """
    if not SERVER.is_file() or shutil.which("radosgw") is None or os.geteuid() != 0:
        pytest.skip(f"needs {SERVER}, root and the radosgw package")
    # Tests may run in several processes at once, which must not try the same port.
    first = 20000 + os.getpid() % 10000
    port = next(port for port in range(first, 32000) if _is_free(port, port + MONITOR))
    try:
        # The object storage daemon sometimes starts before its monitor is ready, and gives up.
        for _ in range(5):
            command = [SERVER, "up", folder, str(port)]
            with (folder / "up.log").open("wb") as log:
                started = subprocess.run(command, stdout=log, stderr=log, timeout=100)
            if started.returncode == 0:
                break
        else:
            raise RuntimeError((folder / "up.log").read_text())
        yield f"http://127.0.0.1:{port}"
    finally:
        subprocess.run([SERVER, "down", folder], check=True, timeout=60)


def _is_free(*ports: int) -> bool:
    for port in ports:
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
