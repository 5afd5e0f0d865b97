"""stage-in.cwl under Calrissian, as deploy/calrissian runs it."""

import os
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from sandbox.server import Sandbox
from tests.conftest import SameTree
from tests.cwl_runs import CWL, OPENEO, assert_only_s3, stage
from tests.runners.calrissian import JOB, MANIFESTS, Calrissian, Document, find_error
from tests.runners.cluster import PODS, Cluster
from tests.runners.conftest import Engine
from tests.runners.pods import Node


@pytest.fixture
def calrissian(platform: Sandbox, engine: Engine, image: str, tmp_path: Path) -> Calrissian:
    folder, volume, scratch = (tmp_path / name for name in ("job", "volume", "scratch"))
    for one in (folder, volume, scratch):
        one.mkdir()
    return Calrissian(platform, Node(engine, scratch, {"stage-in": volume}), folder)


def edit_tool(edit: Callable[[Any], object]) -> Document:
    """Return stage-in.cwl with a change."""
    tool: Document = yaml.safe_load(CWL.read_text())
    edit(tool)
    return tool


def test_manifests_refer_to_each_other_by_the_right_names() -> None:
    spec = JOB["spec"]["template"]["spec"]
    assert f"ServiceAccount {spec['serviceAccountName']}" in MANIFESTS
    (account,) = (
        arg.partition("=")[2]
        for arg in spec["containers"][0]["args"]
        if arg.startswith("--pod-serviceaccount=")
    )
    assert not MANIFESTS[f"ServiceAccount {account}"]["automountServiceAccountToken"]
    binding = MANIFESTS["RoleBinding calrissian"]
    assert f"Role {binding['roleRef']['name']}" in MANIFESTS
    assert [one["name"] for one in binding["subjects"]] == [spec["serviceAccountName"]]
    (claim,) = (
        volume["persistentVolumeClaim"]["claimName"]
        for volume in spec["volumes"]
        if "persistentVolumeClaim" in volume
    )
    assert "ReadWriteMany" in MANIFESTS[f"PersistentVolumeClaim {claim}"]["spec"]["accessModes"]
    spaces = {one["metadata"].get("namespace") for one in MANIFESTS.values()}
    assert spaces == {None, MANIFESTS["Namespace stage-in"]["metadata"]["name"]}


def test_example_secret_has_the_variables_of_the_tool_and_no_real_values() -> None:
    (text,) = MANIFESTS["Secret stage-in"]["stringData"].values()
    variables = yaml.safe_load(text)
    assert variables.keys() == {"CDSE_USERNAME", "CDSE_PASSWORD"}
    assert all(" " in value for value in variables.values())


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest_is_valid(name: str) -> None:
    assert find_error(MANIFESTS[name]) == ""


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("Job stage-in", "spec.template.spec.containers.0.volumeMounts.0.mountpath", "/work"),
        ("Job stage-in", "spec.backoffLimit", "none"),
        ("Role calrissian", "rules.0.verbs", "list"),
        ("PersistentVolumeClaim stage-in", "spec.accessMode", "ReadWriteMany"),
        ("Namespace stage-in", "kind", "Namespaces"),
    ],
)
def test_error_in_a_manifest_is_found(name: str, path: str, value: str) -> None:
    document = deepcopy(MANIFESTS[name])
    *way, last = path.split(".")
    part: Any = document
    for step in way:
        part = part[int(step) if step.isdigit() else step]
    part[last] = value
    assert find_error(document)


POD: Document = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "stage-in-test"},
    "spec": {
        "containers": [{"name": "main", "image": "stage-in:0.1.0", "command": ["stage-in"]}],
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
    },
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["hostNetwork"], True),
        (["initContainers"], [{"name": "first", "image": "stage-in:0.1.0"}]),
        (["securityContext", "supplementalGroups"], [1]),
        (["containers", 0, "stdin"], True),
        (["containers", 0, "imagePullPolicy"], "Always"),
        (["containers", 0, "env"], [{"name": "A", "valueFrom": {"configMapKeyRef": {}}}]),
        (["containers", 0, "resources"], {"limits": {"cpu": "1"}}),
        (["containers", 0, "securityContext"], {"privileged": True}),
        (["volumes"], [{"name": "work", "hostPath": {"path": "/"}}]),
    ],
)
def test_node_refuses_pods_with_fields_that_it_cannot_honour(
    path: list[Any], value: Any, tmp_path: Path
) -> None:
    node = Node(Engine("podman"), tmp_path)
    assert node.arguments(POD)[-1] == POD["spec"]["containers"][0]["image"]
    pod = deepcopy(POD)
    part = pod["spec"]
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    with pytest.raises((ValueError, KeyError)):
        node.arguments(pod)


def test_cluster_refuses_an_invalid_pod(tmp_path: Path) -> None:
    pod = deepcopy(POD)
    pod["spec"]["containers"][0]["comand"] = "stage-in"
    node = Node(Engine("podman"), tmp_path)
    with Cluster(node, POD, find_error) as cluster:
        answer = requests.post(f"{cluster.url}{PODS}", json=pod, timeout=60)
    assert answer.status_code == 422
    assert "comand" in answer.json()["message"]
    assert not cluster.pods


@pytest.mark.runner
def test_product_is_staged_in_a_pod(
    calrissian: Calrissian,
    platform: Sandbox,
    engine: Engine,
    image: str,
    new: Path,
    tmp_path: Path,
    assert_same_tree: SameTree,
) -> None:
    item = platform.item_url(new.name)
    secret = {"CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret"}
    run = calrissian(item=item, environment=secret)
    assert run.code == 0, run.log
    assert "Final process status is success" in run.log
    assert secret["CDSE_PASSWORD"] not in run.log + run.tool_log
    outside = tmp_path / "outside"
    outside.mkdir()
    assert stage(platform, outside, item=item).returncode == 0
    assert run.staged["staged"]["path"] == str(run.results / "catalog")
    assert_same_tree(outside / "catalog", run.results / "catalog")
    assert not any((run.results / "tmp").iterdir())

    assert run.container["image"] == image
    assert run.container["command"] == ["/bin/sh", "-c"]
    assert run.container["args"] == [f"stage-in --output-dir catalog --input-item {item}"]
    folder = run.container["workingDir"]
    assert run.variables == {
        **secret,
        **platform.environment,
        "CDSE_ACCESS_TOKEN": "",
        "STAGE_IN_OUTPUT_GLOB": "catalog",
        "HOME": folder,
        "TMPDIR": "/tmp",
    }
    resources = yaml.safe_load(CWL.read_text())["requirements"]["ResourceRequirement"]
    assert run.container["resources"]["requests"] == {
        "cpu": str(resources["coresMax"]),
        "memory": f"{resources['ramMax']}Mi",
    }
    spec = run.pod.submitted["spec"]
    assert spec["securityContext"] == {"runAsUser": os.getuid(), "runAsGroup": os.getgid()}
    assert os.getuid() != 0
    assert spec["serviceAccountName"] == "stage-in"
    assert [volume["name"] for volume in spec["volumes"]] == ["stage-in", "tmpdir"]
    mounts = {one["mountPath"]: one["name"] for one in run.container["volumeMounts"]}
    assert mounts == {folder: "stage-in", "/tmp": "tmpdir"}
    granted = {
        (verb, resource)
        for rule in MANIFESTS["Role calrissian"]["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert run.used == granted

    # The same pod runs with fewer rights, too, but Calrissian has no option for them.
    pod = deepcopy(run.pod.submitted)
    pod["metadata"]["name"] += "-restricted"
    pod["spec"]["containers"][0]["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    other = tmp_path / "other"
    again = engine(*replace(calrissian.node, claims={"stage-in": other}).arguments(pod))
    assert again.returncode == 0, again.stderr
    (catalog,) = other.rglob("catalog")
    assert_same_tree(outside / "catalog", catalog)


@pytest.mark.runner
def test_keys_of_openeo_are_enough(
    calrissian: Calrissian,
    platform: Sandbox,
    new: Path,
    assert_same_tree: SameTree,
) -> None:
    """openEO gives the pods temporary keys for its own endpoint, and no token."""
    platform.s3.keys = {OPENEO.access: OPENEO}
    variables = platform.s3_environment()
    run = calrissian(item=platform.item_url(new.name), environment=variables)
    assert run.code == 0, run.log
    assert variables.items() <= run.variables.items()
    assert run.variables["CDSE_ACCESS_TOKEN"] == ""
    assert_only_s3(platform, OPENEO)
    assert_same_tree(new, run.results / "catalog" / new.stem / new.name)
    for secret in (OPENEO.secret, str(OPENEO.session)):
        assert secret not in run.log + run.tool_log


@pytest.mark.runner
def test_missing_token_ends_with_77(calrissian: Calrissian, platform: Sandbox, new: Path) -> None:
    run = calrissian(item=platform.item_url(new.name))
    assert run.code == 1
    assert "handling completion with 77" in run.log
    assert "CDSE_ACCESS_TOKEN" in run.tool_log
    assert "temporaryFail" not in run.log


@pytest.mark.runner
@pytest.mark.parametrize(
    ("kind", "status"),
    [
        # As in cwltool, a missing output counts more than the exit code, which is only in the log.
        ("Directory", "Did not find output"),
        ("Directory?", "Final process status is temporaryFail"),
    ],
)
def test_exit_code_75_is_temporary_only_if_the_output_is_optional(
    calrissian: Calrissian, platform: Sandbox, new: Path, kind: str, status: str
) -> None:
    def edit(tool: Document) -> None:
        tool["arguments"] += ["--patience", "6"]
        tool["outputs"]["staged"]["type"] = kind

    platform.faults.add("status=503 on=download")
    run = calrissian(
        item=platform.item_url(new.name), access_token=platform.mint(), cwl=edit_tool(edit)
    )
    assert run.code == 1
    assert "handling completion with 75" in run.log
    assert status in run.log
    assert "status 503" in run.tool_log


@pytest.mark.runner
def test_hint_for_secrets_breaks_the_tool(
    calrissian: Calrissian, platform: Sandbox, new: Path
) -> None:
    """This is why stage-in.cwl has no such hint: Calrissian passes a placeholder to the tool."""

    def edit(tool: Document) -> None:
        tool["$namespaces"] = {"cwltool": "http://commonwl.org/cwltool#"}
        tool["hints"]["cwltool:Secrets"] = {"secrets": ["access_token"]}

    run = calrissian(
        item=platform.item_url(new.name), access_token=platform.mint(), cwl=edit_tool(edit)
    )
    assert run.variables["CDSE_ACCESS_TOKEN"].startswith("(secret-")
    assert run.code == 1
    assert "handling completion with 77" in run.log
    assert "placeholder" in run.tool_log
    assert len(platform.log) == 0


@pytest.mark.runner
def test_token_is_in_the_pod_and_in_the_debug_log_only(
    calrissian: Calrissian, platform: Sandbox, new: Path
) -> None:
    """So users who may read pods can see it and, with --debug, users who may read logs."""
    token = platform.mint_refresh()
    run = calrissian(
        item=platform.item_url(new.name), environment={"CDSE_REFRESH_TOKEN": token}, debug=True
    )
    assert run.code == 0, run.log
    assert run.variables["CDSE_REFRESH_TOKEN"] == token
    assert token in run.log
    files = [path for path in run.results.rglob("*") if path.is_file()]
    assert run.results / "stage-in.log" in files
    assert not [path for path in files if token.encode() in path.read_bytes()]
