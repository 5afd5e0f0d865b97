import threading
import warnings
from pathlib import Path

import pytest
import requests

from sandbox.server import Sandbox
from tests.sandbox.client import Client


def test_environment(sandbox: Sandbox) -> None:
    assert sandbox.environment == {
        "CDSE_TRUSTED_HOSTS": ",".join(
            sandbox.origins[role] for role in ("catalogue", "stac", "download", "keys")
        ),
        "CDSE_IDENTITY_URL": sandbox.token_url,
        "CDSE_S3_KEYS_URL": f"{sandbox.origins['keys']}/api/user/credentials",
    }
    assert len(set(sandbox.origins.values())) == 7
    assert all(origin.startswith("http://127.0.0.1:") for origin in sandbox.origins.values())


def test_service_that_is_down(sandbox: Sandbox, safe: Path) -> None:
    with requests.Session() as session:
        assert session.get(sandbox.item_url(safe.name), timeout=10).ok
        with sandbox.down("stac"), pytest.raises(requests.ConnectionError, match="refused"):
            session.get(sandbox.item_url(safe.name), timeout=10)
        assert session.get(sandbox.item_url(safe.name), timeout=10).ok


def test_added_product(sandbox: Sandbox, tmp_path: Path) -> None:
    folder = tmp_path / "second.SAFE"
    folder.mkdir()
    assert requests.get(sandbox.item_url("second"), timeout=10).status_code == 404
    sandbox.add_product(folder)
    assert requests.get(sandbox.item_url("second"), timeout=10).ok
    with pytest.raises(NotADirectoryError):
        sandbox.add_product(tmp_path / "third.SAFE")


def test_port_in_use(sandbox: Sandbox) -> None:
    port = int(sandbox.catalogue.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=port).start()


def test_stopping_aborts_responses(safe: Path) -> None:
    threads = threading.active_count()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Sandbox([safe]) as sandbox:
            sandbox.faults.add("stall=60 at=50%")
            client = Client(sandbox)
            response = client.get(client.band, stream=True)
        response.close()
    (exchange,) = sandbox.log.now()
    assert exchange.closed is not None
    assert not exchange.complete
    assert threading.active_count() == threads
