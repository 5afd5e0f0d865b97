"""Calrissian, run as deploy/calrissian runs it, in the environment that `make` keeps for it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes_validate import SchemaNotFoundError, ValidationError, latest_version, validate

from sandbox.server import Sandbox
from tests.conftest import ROOT
from tests.cwl_runs import CWL
from tests.runners.cluster import Cluster, Pod
from tests.runners.pods import Node, check, expand, fields

BIN = Path(sys.prefix) / "calrissian/bin"
DEPLOY = ROOT / "deploy/calrissian"
Document = dict[str, Any]


def read_manifests() -> dict[str, Document]:
    """Return the manifests in deploy/calrissian by kind and name."""
    files = sorted(DEPLOY.glob("*.yaml"))
    found = [one for file in files for one in yaml.safe_load_all(file.read_text())]
    names = [
        one["metadata"].get("name") or one["metadata"]["generateName"].rstrip("-") for one in found
    ]
    return {f"{one['kind']} {name}": one for one, name in zip(found, names, strict=True)}


MANIFESTS = read_manifests()
JOB = MANIFESTS["Job stage-in"]


def find_error(document: Document) -> str:
    """Return what is wrong with a document by the schema of Kubernetes, or an empty text."""
    try:
        validate(document, latest_version(), strict=True)
    except (ValidationError, SchemaNotFoundError) as error:
        return error.message
    return ""


@dataclass(frozen=True)
class Run:
    """The outcome of a run of Calrissian.

    Attributes:
        code: Its exit code.
        log: Its standard error.
        staged: The output object; None if it failed.
        results: The folder of the run on the volume.
        pod: The pod that it submitted.
        used: The verbs and resources of the cluster that it used.
    """

    code: int
    log: str
    staged: Any
    results: Path
    pod: Pod
    used: set[tuple[str, str]]

    @property
    def tool_log(self) -> str:
        """The standard error of the tool."""
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
    """Runs the container of job.yaml on this machine, with folders as its volumes."""

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
            cwl: Another tool instead.
            debug: Whether Calrissian runs with --debug.
            environment: Variables of the Secret, besides those for the sandbox.
            inputs: The job order.
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
        with Cluster(self.node, pod, find_error) as cluster:
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
            cluster.used,
        )

    def _mount(self, pod: Document, files: Mapping[str, str]) -> dict[str, Path]:
        """Make a folder for each volume, and return the folders by mount path, also in the pod."""
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
    """Replace the mount path of a volume, at the start of a path, by the volume's folder."""
    paths = "|".join(re.escape(path) for path in places)
    return re.sub(rf"(?:^|(?<==))({paths})(?=/|$)", lambda match: str(places[match[1]]), text)
