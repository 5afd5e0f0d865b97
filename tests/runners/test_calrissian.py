"""stage-in.cwl under Calrissian, as deploy/calrissian has it run."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from kubernetes_validate import SchemaNotFoundError, ValidationError, latest_version, validate

from sandbox.server import Sandbox
from tests.conftest import ROOT, SameTree
from tests.runners.cluster import PODS, Cluster, Pod
from tests.runners.conftest import Engine
from tests.runners.pods import Node, check, expand, fields
from tests.test_cwl import CWL, stage

BIN = Path(sys.prefix) / "calrissian/bin"
DEPLOY = ROOT / "deploy/calrissian"
Document = dict[str, Any]


def documents() -> dict[str, Document]:
    """The manifests, by kind and name."""
    files = sorted(DEPLOY.glob("*.yaml"))
    found = [one for file in files for one in yaml.safe_load_all(file.read_text())]
    names = [
        one["metadata"].get("name") or one["metadata"]["generateName"].rstrip("-") for one in found
    ]
    return {f"{one['kind']} {name}": one for one, name in zip(found, names, strict=True)}


MANIFESTS = documents()
JOB = MANIFESTS["Job stage-in"]


def wrong(document: Document) -> str:
    """Say what Kubernetes' own schema has against a document; nothing if it has nothing."""
    try:
        validate(document, latest_version(), strict=True)
    except (ValidationError, SchemaNotFoundError) as error:
        return error.message
    return ""


@dataclass(frozen=True)
class Run:
    """How a process of Calrissian ended, and what it left.

    Attributes:
        code: its exit code.
        log: what it said on standard error.
        staged: the output object; None if it failed.
        results: the folder of the run on the volume.
        pod: the pod that it submitted.
        asked: what it asked the cluster for.
    """

    code: int
    log: str
    staged: Any
    results: Path
    pod: Pod
    asked: set[tuple[str, str]]

    @property
    def said(self) -> str:
        """What the tool said."""
        return (self.results / "stage-in.log").read_text()

    @property
    def container(self) -> Document:
        """The only container of the pod."""
        (container,) = self.pod.submitted["spec"]["containers"]
        return dict(container)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of the container."""
        return {one["name"]: one["value"] for one in self.container["env"]}


@dataclass(frozen=True)
class Calrissian:
    """Runs what job.yaml says, on this machine: the paths of its volumes are folders here."""

    platform: Sandbox
    node: Node
    folder: Path

    def __call__(
        self,
        cwl: Document | None = None,
        debug: bool = False,
        environment: Mapping[str, str] | None = None,
        **inputs: str,
    ) -> Run:
        """Run stage-in.cwl with a job order.

        Args:
            cwl: another tool instead.
            debug: whether Calrissian logs all.
            environment: what the Secret holds, next to where the platform is.
            inputs: the job order.
        """
        secret = {**self.platform.environment, **(environment or {})}
        files = {
            "stage-in.cwl": json.dumps(cwl) if cwl else CWL.read_text(),
            "params.yml": yaml.safe_dump(inputs),
            "environment.yaml": yaml.safe_dump(secret),
        }
        pod: Document = {"metadata": {"name": "stage-in-1"}, **deepcopy(JOB["spec"]["template"])}
        places = self._mount(pod, files)
        with fields(pod["spec"]["containers"][0], "container") as container:
            variables = self.node.environment(container, pod)
            command, args = container.pop("command"), container.pop("args")
            for unused in ("name", "image", "env", "resources", "securityContext", "volumeMounts"):
                container.pop(unused)
        args = [_placed(expand(text, variables), places) for text in args]
        if debug:
            args[args.index("--verbose")] = "--debug"
        variables = {name: _placed(text, places) for name, text in variables.items()}
        with Cluster(self.node, pod, wrong) as cluster:
            configuration = self.folder / "kubeconfig"
            configuration.write_text(cluster.configuration())
            run = subprocess.run(
                [*command, *args],
                cwd=self.folder,
                env={
                    **variables,
                    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
                    "KUBECONFIG": str(configuration),
                    "RETRY_ATTEMPTS": "1",
                },
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
            )
        assert not cluster.refused, run.stderr
        assert len(cluster.pods) == 1, run.stderr
        return Run(
            run.returncode,
            run.stderr,
            json.loads(run.stdout or "null"),
            places["/work"] / pod["metadata"]["name"],
            cluster.pods[0],
            cluster.asked,
        )

    def _mount(self, pod: Document, files: Mapping[str, str]) -> dict[str, Path]:
        """Make the volumes and say where each is mounted; put these places into the pod."""
        folders = {}
        for volume in pod["spec"]["volumes"]:
            with fields(volume, "volume") as rest:
                name = rest.pop("name")
                if "persistentVolumeClaim" in rest:
                    claim = rest.pop("persistentVolumeClaim")["claimName"]
                    folders[name] = self.node.claims[claim]
                    continue
                folders[name] = self.folder / name
                folders[name].mkdir()
                if "configMap" in rest:
                    check("configMap", rest.pop("configMap"), {"name": "stage-in"})
                    held = ["stage-in.cwl", "params.yml"]
                elif "secret" in rest:
                    secret = MANIFESTS[f"Secret {rest.pop('secret')['secretName']}"]
                    held = list(secret["stringData"])
                else:
                    check("emptyDir", rest.pop("emptyDir"), {})
                    held = []
                for file in held:
                    (folders[name] / file).write_text(files[file])
        places = {}
        (container,) = pod["spec"]["containers"]
        for mount in container["volumeMounts"]:
            places[mount["mountPath"]] = folders[mount["name"]]
            mount["mountPath"] = str(folders[mount["name"]])
        return places


def _placed(text: str, places: Mapping[str, Path]) -> str:
    """Replace the path at which a volume is mounted, at the begin of a path, by its folder."""
    paths = "|".join(re.escape(path) for path in places)
    return re.sub(rf"(?:^|(?<==))({paths})(?=/|$)", lambda match: str(places[match[1]]), text)


@pytest.fixture
def calrissian(platform: Sandbox, engine: Engine, image: str, tmp_path: Path) -> Calrissian:
    folder, volume, scratch = (tmp_path / name for name in ("job", "volume", "scratch"))
    for one in (folder, volume, scratch):
        one.mkdir()
    return Calrissian(platform, Node(engine, scratch, {"stage-in": volume}), folder)


def edited(edit: Callable[[Any], object]) -> Document:
    tool: Document = yaml.safe_load(CWL.read_text())
    edit(tool)
    return tool


def test_names_agree() -> None:
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


def test_the_secret_is_an_example() -> None:
    """Its variables are the tool's, and its values nobody's."""
    (text,) = MANIFESTS["Secret stage-in"]["stringData"].values()
    variables = yaml.safe_load(text)
    assert variables.keys() == {"CDSE_USERNAME", "CDSE_PASSWORD"}
    assert all(" " in value for value in variables.values())


@pytest.mark.parametrize("name", MANIFESTS)
def test_valid(name: str) -> None:
    assert wrong(MANIFESTS[name]) == ""


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
def test_what_is_wrong_is_found(name: str, path: str, value: str) -> None:
    document = deepcopy(MANIFESTS[name])
    *way, last = path.split(".")
    part: Any = document
    for step in way:
        part = part[int(step) if step.isdigit() else step]
    part[last] = value
    assert wrong(document)


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
def test_nothing_of_a_pod_is_passed_over(path: list[Any], value: Any, tmp_path: Path) -> None:
    """A pod is run as it says, or not at all."""
    node = Node(Engine("podman"), tmp_path)
    assert node.arguments(POD)[-1] == POD["spec"]["containers"][0]["image"]
    pod = deepcopy(POD)
    part = pod["spec"]
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    with pytest.raises((ValueError, KeyError)):
        node.arguments(pod)


def test_a_pod_that_is_none_is_refused(tmp_path: Path) -> None:
    pod = deepcopy(POD)
    pod["spec"]["containers"][0]["comand"] = "stage-in"
    node = Node(Engine("podman"), tmp_path)
    with Cluster(node, POD, wrong) as cluster:
        answer = requests.post(f"{cluster.url}{PODS}", json=pod, timeout=60)
    assert answer.status_code == 422
    assert "comand" in answer.json()["message"]
    assert not cluster.pods


@pytest.mark.runner
def test_stage(
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
    assert secret["CDSE_PASSWORD"] not in run.log + run.said
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
    assert run.asked == granted

    # That very pod would do with less: Calrissian has no option for it.
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
def test_without_a_token(calrissian: Calrissian, platform: Sandbox, new: Path) -> None:
    run = calrissian(item=platform.item_url(new.name))
    assert run.code == 1
    assert "handling completion with 77" in run.log
    assert "expected a token, found none" in run.said
    assert "temporaryFail" not in run.log


@pytest.mark.runner
@pytest.mark.parametrize(
    ("kind", "status"),
    [
        # What is missing decides, as in cwltool, so the exit code is in the log alone.
        ("Directory", "Did not find output"),
        ("Directory?", "Final process status is temporaryFail"),
    ],
)
def test_a_temporary_failure(
    calrissian: Calrissian, platform: Sandbox, new: Path, kind: str, status: str
) -> None:
    def edit(tool: Document) -> None:
        tool["arguments"] += ["--patience", "1"]
        tool["outputs"]["staged"]["type"] = kind

    platform.faults.add("status=503 on=download")
    run = calrissian(
        item=platform.item_url(new.name), access_token=platform.mint(), cwl=edited(edit)
    )
    assert run.code == 1
    assert "handling completion with 75" in run.log
    assert status in run.log
    assert "nothing new arrived for 1 s" in run.said


@pytest.mark.runner
def test_the_hint_of_secrets_breaks_the_tool(
    calrissian: Calrissian, platform: Sandbox, new: Path
) -> None:
    """Why stage-in.cwl is without it: Calrissian hands the tool a placeholder."""

    def edit(tool: Document) -> None:
        tool["$namespaces"] = {"cwltool": "http://commonwl.org/cwltool#"}
        tool["hints"]["cwltool:Secrets"] = {"secrets": ["access_token"]}

    run = calrissian(
        item=platform.item_url(new.name), access_token=platform.mint(), cwl=edited(edit)
    )
    assert run.variables["CDSE_ACCESS_TOKEN"].startswith("(secret-")
    assert run.code == 1
    assert "handling completion with 77" in run.log
    assert "a workflow runner's placeholder" in run.said
    assert len(platform.log) == 0


@pytest.mark.runner
def test_who_sees_the_token(calrissian: Calrissian, platform: Sandbox, new: Path) -> None:
    """As README.md has it: whoever may read pods, and with --debug whoever may read logs."""
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
