"""A real S3 server, Ceph with its RADOS gateway, where the machine has it."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from requests_aws4auth import AWS4Auth

from sandbox.s3 import BUCKET
from sandbox.sigv4 import Key
from sandbox.store import ServedProduct
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


def upload(origin: str, product: ServedProduct, **more: bytes) -> None:
    """Upload a product as the sandbox serves it, with a key for each empty folder.

    Args:
        origin: Origin of the server; the bucket is made if it does not exist.
        product: The product.
        more: Content of more objects, by their paths in the product.
    """
    contents = dict(more)
    for path in product.folder.rglob("*"):
        inside = path.relative_to(product.folder).as_posix()
        if path.is_file():
            contents[inside] = path.read_bytes()
        elif not any(path.iterdir()):
            contents[f"{inside}/"] = b""
    with requests.Session() as session:
        session.auth = AWS4Auth(KEY.access, KEY.secret, "default", "s3")
        session.put(f"{origin}/{BUCKET}", timeout=10).raise_for_status()
        for inside, content in contents.items():
            url = f"{origin}/{BUCKET}/{quote(f'{product.s3_key}/{inside}')}"
            session.put(url, data=content, timeout=100).raise_for_status()


def _is_free(*ports: int) -> bool:
    for port in ports:
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
