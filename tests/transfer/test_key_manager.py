"""Keys of the object store: created, used and deleted by the commands."""

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from requests_aws4auth import AWS4Auth

from sandbox.server import Sandbox
from sandbox.sigv4 import Key
from stage_in.transfer.trust import KEY_MANAGER_URL, Trust
from tests.conftest import StageIn
from tests.transfer.test_credentials import cdse_token

USER = {"CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret"}


def run(platform: Sandbox, *options: str, **variables: str) -> Any:
    return cdse_token(platform, *options, **(USER | variables))


def read_exports(text: str) -> dict[str, str]:
    """Return the variables that a shell exports when it evaluates a text."""
    shell = subprocess.run(
        ["/bin/sh", "-c", 'eval "$OUTPUT"; unset OUTPUT; exec env'],
        env={"PATH": os.environ["PATH"], "OUTPUT": text},
        capture_output=True,
        text=True,
        check=True,
    )
    variables = dict(line.split("=", 1) for line in shell.stdout.splitlines())
    return {name: value for name, value in variables.items() if name.startswith("CDSE_")}


def test_keys_are_printed_although_standard_error_cannot_be_written(platform: Sandbox) -> None:
    """Otherwise the secret key would be lost, and the pair would count until it expires."""
    with Path("/dev/full").open("w") as full:
        created = subprocess.run(
            [Path(sys.executable).with_name("cdse-token"), "--s3"],
            env={**platform.environment, **USER},
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            timeout=60,
        )
    assert created.returncode == 0
    keys = read_exports(created.stdout)
    assert keys.keys() == {"CDSE_S3_ACCESS_KEY", "CDSE_S3_SECRET_KEY"}


def test_keys_open_the_object_store_until_they_are_deleted(
    stage_in: StageIn, platform: Sandbox, new: Path
) -> None:
    created = run(platform, "--s3", "--days", "2")
    assert created.returncode == 0, created.stderr
    assert created.stdout.count("\n") == 2
    keys = read_exports(created.stdout)
    assert keys.keys() == {"CDSE_S3_ACCESS_KEY", "CDSE_S3_SECRET_KEY"}
    access, secret = keys["CDSE_S3_ACCESS_KEY"], keys["CDSE_S3_SECRET_KEY"]

    (request,) = platform.log.of("keys")
    asked = datetime.fromisoformat(json.loads(request.body)["expiration_date"])
    assert timedelta(0) <= datetime.now(UTC) + timedelta(days=2) - asked < timedelta(minutes=5)
    # The token went to the key manager and nowhere else, the secret only to standard output.
    token = str(request.header("Authorization")).removeprefix("Bearer ")
    assert {x.role for x in platform.log if x.holds(token)} == {"keys"}
    assert not [x for x in platform.log if x.holds(secret)]
    assert secret not in created.stderr
    for fact in (
        access,
        f"{asked:%Y-%m-%d %H:%M} UTC",
        "stays in your account",
        "limited",
        "--s3-delete",
    ):
        assert fact in created.stderr

    variables = {**keys, "AWS_ENDPOINT_URL_S3": platform.origins["s3"], "CDSE_ACCESS_TOKEN": ""}
    assert stage_in(platform.item_url(new.name), **variables).code == 0

    deleted = run(platform, "--s3-delete", access)
    assert (deleted.returncode, deleted.stdout) == (0, ""), deleted.stderr
    assert access not in platform.s3.keys


def test_expired_keys_neither_work_nor_count(platform: Sandbox) -> None:
    key = Key("EXPIRED", expires=datetime.now(UTC) - timedelta(seconds=1))
    platform.s3.keys.clear()
    platform.s3.keys[key.access] = key
    auth = AWS4Auth(key.access, key.secret, "default", "s3")
    refused = requests.get(f"{platform.origins['s3']}/eodata/x", auth=auth, timeout=10)
    assert (refused.status_code, "InvalidAccessKeyId" in refused.text) == (403, True)
    platform.key_manager.limit = 1
    assert run(platform, "--s3").returncode == 0


def test_at_the_limit_the_user_learns_what_can_be_deleted(platform: Sandbox) -> None:
    platform.key_manager.limit = 2
    first = run(platform, "--s3")
    (access,) = re.findall(r"ACCESS_KEY=(\w+)", first.stdout)
    full = run(platform, "--s3")
    assert (full.returncode, full.stdout) == (77, "")
    for part in (
        "Max number of credentials",
        "--s3-delete: ",
        "SANDBOXKEY (expires never)",
        access,
    ):
        assert part in full.stderr
    assert full.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("fault", "code", "expected"),
    [
        ("status=401", 77, "status 401"),
        ("status=403", 77, "status 403"),
        ("status=503", 75, "may nevertheless have created"),
        ("reset=start", 75, "may nevertheless have created"),
        ("cut=0.5", 75, "may nevertheless have created"),
        ("body={}", 75, "contains no key pair. The key manager may nevertheless"),
        ("body=[[1,2]]", 75, "contains no key pair. The key manager may nevertheless"),
        ('body=\'{"access_id": "A", "secret": "x\\ny"}\'', 75, "contains no key pair"),
        ("redirect={stranger}", 75, "status 302"),
    ],
    ids=["401", "403", "503", "reset", "cut", "no keys", "no object", "no single line", "redirect"],
)
def test_a_key_manager_that_fails(platform: Sandbox, fault: str, code: int, expected: str) -> None:
    platform.faults.add(f"on=keys {fault}")
    failed = run(platform, "--s3")
    assert (failed.returncode, failed.stdout) == (code, ""), failed.stderr
    assert expected in failed.stderr
    assert failed.stderr.count("\n") == 1
    # A second request could create a second pair.
    assert [x.method for x in platform.log.of("keys")].count("POST") == 1
    assert not platform.log.of("stranger")


def test_what_the_key_manager_writes_is_data_for_the_shell(
    platform: Sandbox, tmp_path: Path
) -> None:
    evil = f"A';touch${{IFS}}{tmp_path / 'evil'};'"
    body = json.dumps({"access_id": evil, "secret": "$(id)"})
    platform.pages["/api/user/credentials"] = body
    created = run(platform, "--s3")
    assert created.returncode == 0, created.stderr
    assert read_exports(created.stdout) == {
        "CDSE_S3_ACCESS_KEY": evil,
        "CDSE_S3_SECRET_KEY": "$(id)",
    }
    assert not (tmp_path / "evil").exists()


def test_secrets_that_the_key_manager_quotes_are_struck(platform: Sandbox) -> None:
    secret = "wJalrXUtnFEMI/K7MDENG"
    body = json.dumps({"access_id": "A", "secret": secret, "detail": f"refused {secret}"})
    platform.faults.add(f"on=keys status=403 body={shlex.quote(body)}")
    failed = run(platform, "--s3")
    assert failed.returncode == 77
    assert re.search(r"refused \[+secret\]", failed.stderr)
    assert secret not in failed.stderr


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (["--s3-delete", "OTHER"], 66, "SANDBOXKEY"),
        (["--s3-delete", ".."], 2, "access key"),
        (["--s3-delete", "sandbox/secret+key"], 2, "access key"),
        (["--s3", "--refresh"], 2, "combined"),
        (["--s3", "--days", "0"], 2, "--days"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_options(platform: Sandbox, options: list[str], code: int, expected: str) -> None:
    failed = run(platform, *options)
    assert (failed.returncode, failed.stdout) == (code, "")
    assert expected in failed.stderr
    assert "secret+key" not in failed.stderr
    assert list(platform.s3.keys) == ["SANDBOXKEY"]


def test_the_token_goes_only_to_a_key_manager_that_is_trusted(platform: Sandbox) -> None:
    refused = run(platform, "--s3", CDSE_S3_KEYS_URL=f"{platform.stranger}/api/user/credentials")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "CDSE_TRUSTED_HOSTS" in refused.stderr
    assert not platform.log.of("stranger")

    trust = Trust.from_environment({"CDSE_TRUSTED_HOSTS": "https://mirror.example"})
    assert not trust.allows(KEY_MANAGER_URL)
    assert trust.of_key_manager().allows(KEY_MANAGER_URL)
    assert trust.of_key_manager().allows("https://mirror.example/keys")
    assert not trust.of_key_manager().allows("https://zipper.dataspace.copernicus.eu/")
