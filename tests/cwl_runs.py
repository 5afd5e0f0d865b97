"""Runs of the CWL files: by cwltool, by the programs that check packages, and what they leave."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from sandbox.product import NEW, make_product
from sandbox.server import Sandbox
from sandbox.sigv4 import Key
from tests.conftest import PIXELS, ROOT, SameTree

CWL = ROOT / "stage-in.cwl"
IMAGE = str(yaml.safe_load(CWL.read_text())["hints"]["DockerRequirement"]["dockerPull"])
SECRET = ROOT / "workflows/stage-in-secret.cwl"
MANY = ROOT / "workflows/stage-in-many.cwl"
ITEMS = ROOT / "workflows/stage-in-items.cwl"
# The sandbox is at an origin that only the environment makes trusted.
PRESERVE_TRUST = ("--preserve-environment", "CDSE_TRUSTED_HOSTS")
# What openEO on the Copernicus Data Space gives an application package.
OPENEO = Key("ASIAOPENEO", "open/eo+secret", session="session+of/openEO==", region="eodata")

CompletedProcess = subprocess.CompletedProcess[str]


def run_program(
    program: str | Path, *arguments: str | Path, cwd: Path, timeout: float = 120, **variables: str
) -> CompletedProcess:
    """Run a program in a folder that is its HOME, with the tests' environment on its PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env={"PATH": path, "HOME": str(cwd), **variables},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def run_package_program(
    name: str, *arguments: str | Path, cwd: Path, timeout: float = 120, **variables: str
) -> CompletedProcess:
    """Run a program of the environment that `make` keeps for the package's tools."""
    program = Path(sys.prefix) / "package" / "bin" / name
    return run_program(program, *arguments, cwd=cwd, timeout=timeout, **variables)


def cwltool(*arguments: str | Path, cwd: Path, **variables: str) -> CompletedProcess:
    """Run cwltool in a folder."""
    return run_program("cwltool", *arguments, cwd=cwd, **variables)


def assert_valid(document: Path) -> None:
    """Check that cwltool accepts a CWL file without a warning."""
    checked = cwltool("--enable-ext", "--validate", "--strict", document, cwd=ROOT)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def stage(platform: Sandbox, folder: Path, **inputs: Any) -> CompletedProcess:
    """Run stage-in.cwl with a job order, as a user would."""
    params = folder / "params.yml"
    params.write_text(json.dumps({"access_token": platform.mint(), **inputs}))
    params.chmod(0o600)
    return cwltool(
        *("--no-container", *PRESERVE_TRUST, CWL, params), cwd=folder, **platform.environment
    )


def serve_real_item(platform: Sandbox, name: str) -> str:
    """Serve an item that names the platform's own hosts, as real ones do, and return its URL.

    A run that uses S3 alone needs no other host than those of the item and of S3.
    """
    text = json.dumps(platform.item(name))
    real = text.replace(platform.download, "https://download.dataspace.copernicus.eu")
    platform.pages[f"/real/{name}"] = json.loads(real)
    return f"{platform.stac}/real/{name}"


def assert_only_s3(platform: Sandbox, key: Key) -> None:
    """Check that all files came over S3, signed with one key, and that no token was sent."""
    requests = platform.log.of("s3")
    assert requests
    signed = [str(exchange.header("Authorization")) for exchange in requests]
    assert all(f"Credential={key.access}/" in header for header in signed)
    assert {exchange.role for exchange in platform.log} == {"stac", "s3"}
    assert not [exchange for exchange in platform.log if exchange.holds("Bearer")]


def find_files_with(secret: str, folder: Path) -> set[Path]:
    """Return the files below a folder that contain a secret, relative to the folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder) for path in files if secret.encode() in path.read_bytes()}


def make_third_product(folder: Path) -> Path:
    """Make a product of the same tile as `new`, of another satellite."""
    return make_product(folder, replace(NEW, satellite="B", pixels=PIXELS, seed=1))


def make_many_order(platform: Sandbox) -> dict[str, Any]:
    """Return a job order of stage-in-many.cwl for the three products of a sandbox."""
    return {
        "item": [platform.item_url(product.name) for product in platform.products],
        "access_token": platform.mint(),
    }


def assert_many_staged(folder: Path, products: list[Path], assert_same_tree: SameTree) -> None:
    """Check that a folder has one catalog for each product, and nothing else."""
    assert {path.name for path in folder.iterdir()} == {safe.stem for safe in products}
    for safe in products:
        catalog = folder / safe.stem
        links = json.loads((catalog / "catalog.json").read_text())["links"]
        items = [catalog / link["href"] for link in links if link["rel"] == "item"]
        assert [json.loads(item.read_text())["id"] for item in items] == [safe.stem]
        assert_same_tree(safe, catalog / safe.stem / safe.name)
