"""The image without a runner: its content, and how it runs under a runner's restrictions."""

import json
import re
import subprocess
import tarfile
from pathlib import Path
from urllib.parse import unquote

import pytest

from sandbox.server import Sandbox
from tests.conftest import ROOT, SameTree
from tests.runners.conftest import Engine

pytestmark = pytest.mark.runner

# The restrictions of the strictest runner: only the working directory is writable, and the uid
# belongs to no user.
STRICT = ("--network", "host", "--read-only", "--user", "12345:0", "--env", "HOME=/")
IN_TMP = ("--tmpfs", "/tmp:mode=1777", "--workdir", "/tmp")


def variables(platform: Sandbox) -> list[str]:
    """Return the options that set the variables of the sandbox."""
    return [f"--env={name}={value}" for name, value in platform.environment.items()]


def test_configuration_suits_runners(engine: Engine, image: str) -> None:
    config = engine.inspect(image)["Config"]
    assert not config.get("Entrypoint")
    assert config["User"].partition(":")[0].isdigit()
    assert config["User"] != "0"
    assert {variable.partition("=")[0] for variable in config["Env"]} == {"PATH", "LANG"}
    assert {
        label: config["Labels"][f"org.opencontainers.image.{label}"]
        for label in ("title", "version", "licenses")
    } == {"title": "stage-in", "version": image.rpartition(":")[2], "licenses": "Apache-2.0"}


def test_label_names_the_commit(engine: Engine, image: str) -> None:
    labels = engine.inspect(image)["Config"]["Labels"]
    assert re.match("[0-9a-f]{7}", labels["org.opencontainers.image.revision"])


def test_no_layer_has_files_that_only_the_build_needs(
    engine: Engine, image: str, tmp_path: Path
) -> None:
    """Neither sources nor keys, configurations or job orders beside them are in the image."""
    file = tmp_path / "image.tar"
    assert engine("save", "--output", file, image).returncode == 0
    names = set()
    with tarfile.open(file) as archive:
        layers = json.load(archive.extractfile("manifest.json"))[0]["Layers"]
        for layer in layers:
            with tarfile.open(fileobj=archive.extractfile(layer)) as content:
                names |= {member.name.removeprefix("./") for member in content}
    assert "opt/stage-in/bin/stage-in" in names
    assert not [name for name in names if re.match("(src|pip|wheels|home/.|mnt/.|tmp/.)", name)]
    secret = re.compile(r"(netrc|pip\.conf|params.*\.yml|\.env|requirements\.lock)$|\.git/")
    assert not [name for name in names if secret.search(name)]


def test_size_is_the_documented_one(engine: Engine, image: str) -> None:
    # The blocks of the files depend on the engine's file system. The size that podman gives grows
    # when a container runs with another user namespace.
    files = ("du", "-sx", "--apparent-size", "--block-size=1", "/")
    used = engine("run", "--rm", "--user", "0", image, *files)
    size = int(used.stdout.split()[0]) / 1e6
    assert size <= 320
    (documented,) = re.findall(
        r"^The image is (\d+) MB", (ROOT / "docs/runners.md").read_text(), re.MULTILINE
    )
    assert size == pytest.approx(int(documented), rel=0.08)


def test_image_prints_the_help_by_default(engine: Engine, image: str) -> None:
    run = engine("run", "--rm", image)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Usage: stage-in [OPTIONS]")


def test_image_has_the_tool_and_no_installers(engine: Engine, image: str) -> None:
    look = "for name in pip gcc git curl stage-in; do command -v $name; done"
    found = engine("run", "--rm", image, "/bin/sh", "-c", look)
    assert found.stdout.split() == ["/opt/stage-in/bin/stage-in"]


def test_every_compiled_module_loads(engine: Engine, image: str) -> None:
    """The build strips them, which breaks some libraries."""
    load = (
        "import ctypes, pathlib\n"
        "modules = list(pathlib.Path('/opt/stage-in').rglob('*.so'))\n"
        "for path in modules: ctypes.CDLL(str(path))\n"
        "print(len(modules))"
    )
    run = engine("run", "--rm", *STRICT, image, "python3", "-c", load)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 50


def test_product_is_staged_under_any_uid(
    engine: Engine,
    image: str,
    platform: Sandbox,
    new: Path,
    tmp_path: Path,
    assert_same_tree: SameTree,
) -> None:
    """The uid belongs to no user, HOME is not writable, and the root is read-only."""
    item = platform.item_url(new.name)
    command = f"id -u >&2; stage-in --input-item {item} && tar -c catalog"
    token = f"--env=CDSE_ACCESS_TOKEN={platform.mint()}"
    run = engine(
        *("run", "--rm", *STRICT, *IN_TMP, *variables(platform), token),
        *(image, "/bin/sh", "-c", command),
        text=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr.startswith(b"12345\n")
    subprocess.run(["tar", "-x", "-C", tmp_path], input=run.stdout, check=True)
    assert_same_tree(new, tmp_path / "catalog" / new.stem / new.name)


def test_missing_token_ends_with_77(
    engine: Engine, image: str, platform: Sandbox, new: Path
) -> None:
    run = engine(
        *("run", "--rm", *STRICT, *IN_TMP, *variables(platform)),
        *(image, "stage-in", "--input-item", platform.item_url(new.name)),
    )
    assert run.returncode == 77
    assert "CDSE_ACCESS_TOKEN" in run.stderr


def test_sigterm_stops_the_first_process(
    engine: Engine, image: str, platform: Sandbox, new: Path
) -> None:
    """Process 1 ignores signals without a handler, until the engine kills it."""
    platform.faults.add("stall=60 on=download")
    token = f"--env=CDSE_ACCESS_TOKEN={platform.mint()}"
    with engine.container(
        *(*STRICT, *IN_TMP, *variables(platform), token),
        *(image, "stage-in", "--input-item", platform.item_url(new.name)),
    ) as container:
        platform.log.wait(lambda exchange: exchange.role == "download")
        engine("stop", "--time", "20", container)
        assert engine.inspect(container)["State"]["ExitCode"] == 143
        assert "Stopped by SIGTERM" in engine("logs", container).stderr


def test_bill_of_materials_is_complete(engine: Engine, image: str, tmp_path: Path) -> None:
    """It has every package that the image's own package managers list."""
    file = tmp_path / "stage-in.cdx.json"
    made = subprocess.run(
        [ROOT / "deploy/sbom.sh", engine.name, image, file], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    components = json.loads(file.read_text())["components"]
    listed = {unquote(one.get("purl", "")).partition("?")[0] for one in components}
    distributions = (
        "from importlib.metadata import distributions\n"
        "for each in distributions(): print(each.name.lower(), each.version)"
    )
    python = engine("run", "--rm", image, "python3", "-c", distributions).stdout.splitlines()
    packages = engine(
        *("run", "--rm", image, "dpkg-query", "--show", "--showformat", "${Package} ${Version}\n")
    ).stdout.splitlines()
    # The project's own packages come from no index, so that they have no package URL.
    ours = {one["name"] for one in components if "purl" not in one}
    assert ours >= {"stage-in", "classify"}
    wanted = {f"pkg:deb/debian/{line.replace(' ', '@')}" for line in packages}
    wanted |= {
        f"pkg:pypi/{line.replace(' ', '@').replace('_', '-')}"
        for line in python
        if line.partition(" ")[0] not in ours
    }
    assert len(wanted) > 100
    assert wanted <= listed
