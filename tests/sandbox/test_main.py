import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from requests_aws4auth import AWS4Auth

from sandbox.__main__ import main
from tests.sandbox.client import BAND


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_runs_until_a_signal_stops_it(safe: Path, tmp_path: Path, stop: int) -> None:
    ready = tmp_path / "ready"
    ready.write_text("from an earlier run")
    command = [sys.executable, "-W", "error", "-m", "sandbox", "--safe", str(safe)]
    with subprocess.Popen(
        [
            *command,
            "--ready",
            ready.name,
            "--fault",
            "status=503 path=*.SAFE",
            "--seed",
            "3",
            "--s3",
            "--host",
            "127.0.0.2",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (ready.exists() and "export" in ready.read_text()):
            assert process.poll() is None
            time.sleep(0.02)
        words = shlex.split(ready.read_text())
        variables = dict(word.split("=", 1) for word in words if word != "export")
        item = requests.get(variables["SANDBOX_ITEM"], timeout=10).json()
        legacy = requests.get(variables["SANDBOX_ITEM_LEGACY_1"], timeout=10)
        headers = {"Authorization": f"Bearer {variables['CDSE_ACCESS_TOKEN']}"}
        href = item["assets"]["B04"]["alternate"]["https"]["href"]
        content = requests.get(href, headers=headers, timeout=10).content
        keys = AWS4Auth(
            variables["CDSE_S3_ACCESS_KEY"], variables["CDSE_S3_SECRET_KEY"], "default", "s3"
        )
        url = item["assets"]["B04"]["href"].replace("s3:/", variables["AWS_ENDPOINT_URL_S3"])
        stored = requests.get(url, auth=keys, timeout=10).content
        process.send_signal(stop)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors == ""
    assert variables["SANDBOX_ITEM"] in out
    reading = out.rpartition("To set the variables for clients: ")[2].strip()
    printing = f'{reading}; printf %s "$SANDBOX_ITEM"'
    printed = subprocess.check_output(["sh", "-euc", printing], cwd=tmp_path, text=True)
    assert printed == variables["SANDBOX_ITEM"]
    assert variables["SANDBOX_ITEM"].startswith("http://127.0.0.2:")
    assert Path(variables["SANDBOX_SAFE"]) == safe
    assert any(href.startswith(x) for x in variables["CDSE_TRUSTED_HOSTS"].split(","))
    assert content == stored == (safe / BAND).read_bytes()
    assert legacy.status_code == 503


def test_malformed_rule(safe: Path) -> None:
    result = CliRunner().invoke(main, ["--safe", str(safe), "--fault", "colour=red"])
    assert result.exit_code == 2
    assert "found 'colour'" in result.output
