"""`make live` on the sandbox: it finds out what the sandbox does, and its report has no secrets."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.live.report import Filter
from sandbox.limits import Limits
from sandbox.server import Sandbox
from sandbox.sigv4 import Key
from sandbox.tokens import Account
from tests.conftest import ROOT, StageIn

ACCOUNT = Account("ada.lovelace", "correct horse battery staple")
KEY = Key("AKIAACCESSACCESS", "wJalrXUtnFEMI/K7MDENG+bPxRfiCY")


@pytest.fixture
def platform(new: Path) -> Iterator[Sandbox]:
    """A sandbox with an account whose secrets are no ordinary words."""
    with Sandbox([new], accounts=[ACCOUNT]) as sandbox:
        sandbox.s3.keys[KEY.access] = KEY
        yield sandbox


def report(stage_in: StageIn, *options: str, **variables: str) -> tuple[str, dict[str, str]]:
    """Return the whole output, and the answers of the summary by their questions."""
    platform = stage_in.platform
    (product,) = platform.products
    environment = stage_in.environment(**{**platform.s3_environment(KEY), **variables})
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.live", platform.item_url(product.name), *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert process.returncode == 0, process.stderr
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", process.stdout, re.MULTILINE)
    return process.stdout + process.stderr, dict(rows)


def read_codes(text: str) -> dict[str, str]:
    """Return the exit codes by transport."""
    return dict(re.findall(r"^\| (mount|s3|nodes|zip) \| (\d*) \|", text, re.MULTILINE))


@pytest.mark.slow
def test_report_finds_out_what_the_sandbox_does(
    platform: Sandbox, stage_in: StageIn, new: Path, tmp_path: Path
) -> None:
    (product,) = platform.products
    platform.limits = Limits(connections=4, lag=1.5)
    platform.ranges = True
    platform.faults.add("status=429 retry_after=2 on=s3 path=*manifest.safe times=1 after=12")
    platform.faults.add("header=X-RateLimit-Limit:2000 on=s3")
    shutil.copytree(new, tmp_path / "eodata" / product.s3_key)
    text, found = report(stage_in, "--pause=2", CDSE_EODATA=str(tmp_path / "eodata"))
    assert read_codes(text) == dict.fromkeys(("mount", "s3", "nodes", "zip"), "0")
    assert "failed" not in text
    assert found["Range of a file"].startswith("**206** `bytes 0-99/")
    assert found["Range of the zip"].startswith("**206** `bytes 0-99/")
    assert found["A file, without a token"] == "**401** `DAT-ZIP-604 Token not found`"
    assert found["An access token is valid for"] == "600 s"
    assert found["The catalogue's URL of the zip"] == (
        f"`301 {platform.catalogue} → 200 {platform.download}`"
    )
    size = found["Size of the zip in the item"]
    assert size == found["Size of the zip in OData"] == found["Content-Length of the zip"]
    for kind in ("finished", "cancelled"):
        lag = found[f"One of 4 {kind} downloads still counts for"]
        # There is one figure if a busy machine starts the downloads further apart than the lag.
        least, most = [0.0, *map(float, re.findall(r"\d+\.\d", lag))][-2:]
        assert least - 1 <= 1.5 <= most  # the service may notice an end later than the client
    assert "DAT-ZIP-100" in found["Without a free slot"]
    assert found["Headers about limits"] == "`Retry-After, X-RateLimit-Limit`"
    assert found["S3: Range"].startswith("**206**")
    for name in ("item", "list", "manifest"):
        agree, of = re.findall(r"\d+", found[f"Sizes in the {name}"])
        assert int(agree) == int(of) > 5
    assert "0 differ, 0 can't be read" in found["Checksums in the item"]
    assert platform.log.most_open("download", "*/Nodes(*/$value") <= 4
    assert platform.log.most_open("s3") <= 4


@pytest.mark.slow
@pytest.mark.parametrize("role", ["download", "identity"])
def test_secrets_that_servers_echo_are_not_in_the_report(
    role: str, platform: Sandbox, stage_in: StageIn
) -> None:
    secrets = {
        "CDSE_ACCESS_TOKEN": platform.mint(user=ACCOUNT.name) if role == "download" else "",
        "CDSE_REFRESH_TOKEN": platform.mint_refresh(user=ACCOUNT.name),
        "CDSE_USERNAME": ACCOUNT.name,
        "CDSE_PASSWORD": ACCOUNT.password,
        **KEY.environment,
    }
    echo = " ".join(filter(None, secrets.values()))
    body = json.dumps({"code": echo, "message": echo, "error_description": echo})
    for service in ("stac", "download", "s3", "catalogue"):
        platform.faults.add(f"on={service} header='ETag:{echo}' header='Server:{echo}'")
    platform.faults.add(f"on=s3 status=403 code='{KEY.access}'")
    platform.faults.add(f"on={role} path=*[$]* status=403 body='{body}'")
    platform.faults.add(f"on=identity status=401 body='{body}'")
    text, _ = report(stage_in, "--pause=0", **secrets)
    assert "[secret]" in text
    assert read_codes(text) == {"s3": "77", "nodes": "77", "zip": "77"}
    for secret in filter(None, secrets.values()):
        assert secret not in text
        assert not [part for part in secret.split(".") if len(part) > 12 and part in text]
    assert str(Path.home()) not in text


@pytest.mark.slow
def test_transport_that_fails_is_a_line(platform: Sandbox, stage_in: StageIn) -> None:
    platform.s3.keys.clear()
    token = platform.mint(user=ACCOUNT.name)
    platform.faults.add(f"on=download header='ETag:{token}'")
    options = ("--pause=0", "--bands=B10", "--max-zip=0")
    text, found = report(stage_in, *options, CDSE_ACCESS_TOKEN=token)
    assert read_codes(text) == {"s3": "77", "nodes": "0", "zip": ""}
    assert "- s3 failed: `The keys in CDSE_S3_ACCESS_KEY were refused" in text
    assert "and at most 0 MB are downloaded" in text
    assert found["ETag of a file"] == "`[secret]`"
    assert token[-20:] not in text
    assert found["S3: a small object"] == "**403** `InvalidAccessKeyId`"
    assert found["Sizes in the manifest"].endswith("agree with what was received")


@pytest.mark.slow
def test_item_that_is_not_there_does_not_end_the_report(
    platform: Sandbox, stage_in: StageIn
) -> None:
    with platform.down("stac"):
        text, found = report(stage_in, "--pause=0")
    assert found["An access token is valid for"] == "600 s"
    assert found["Range of a file"] == "not determined"
    assert text.count("- failed: ") >= 4


def test_an_account_is_needed() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.live"],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 2
    assert "expected an account in the environment" in process.stderr


def test_no_path_of_this_machine_is_published(tmp_path: Path) -> None:
    environment = {"HOME": "/home/al/", "CDSE_EODATA": "/mnt/private/eodata"}
    publish = Filter(environment, tmp_path)
    line = publish(f"/home/al /home/alice/x /mnt/private/eodata/Sentinel-2 {tmp_path}/out {ROOT}")
    assert line == "~ /home/alice/x <mount>/Sentinel-2 …/out <here>"
    assert publish(f"Signature={'0a' * 32}, x") == "Signature=…, x"
