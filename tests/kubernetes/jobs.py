"""Jobs of deploy/calrissian, run on a cluster by kubectl as deploy/calrissian/README.md says."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT
from tests.cwl_runs import CWL

DEPLOY = ROOT / "deploy/calrissian"
NAMESPACE = "stage-in"
Document = dict[str, Any]
JOB: Document = yaml.safe_load((DEPLOY / "job.yaml").read_text())


def kubectl(*arguments: str | Path, stdin: str = "", timeout: float = 60) -> str:
    """Run kubectl in the namespace of the manifests, and return its output."""
    run = subprocess.run(
        ["kubectl", "--namespace", NAMESPACE, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert run.returncode == 0, f"kubectl {arguments}: {run.stderr}"
    return run.stdout


def run_commands(number: int, replaced: Mapping[str, str] | None = None) -> str:
    """Run one of the blocks of commands in README.md, with other texts in it, in its folder."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (DEPLOY / "README.md").read_text(), re.M | re.S)
    text: str = blocks[number]
    for old, new in (replaced or {}).items():
        assert old in text
        text = text.replace(old, new)
    run = subprocess.run(
        ["sh", "-e", "-c", text], cwd=DEPLOY, capture_output=True, text=True, timeout=200
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def get(*arguments: str) -> Document:
    """Return an object of the cluster."""
    return dict(json.loads(kubectl("get", "--output=json", *arguments)))


def get_pods() -> dict[str, Document]:
    """Return the pods that are not being removed, by name."""
    pods = get("pods")["items"]
    return {
        pod["metadata"]["name"]: pod for pod in pods if "deletionTimestamp" not in pod["metadata"]
    }


def wait_until_ended(name: str, timeout: float = 60) -> None:
    """Wait until a pod has failed, or is not there."""
    deadline = time.monotonic() + timeout
    status = "--output=jsonpath={.status.phase}"
    while kubectl("get", "pod", name, "--ignore-not-found", status) not in ("", "Failed"):
        assert time.monotonic() < deadline, f"{name} has not ended after {timeout} s"
        time.sleep(0.5)


def apply(*documents: Document) -> None:
    """Create objects, or replace what differs."""
    kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(documents))


@dataclass(frozen=True)
class Volume:
    """The volume of the claim, seen from a pod of root.

    Attributes:
        pod: The pod, which has the volume at /work.
    """

    pod: str = "volume"

    def __call__(self, *command: str) -> str:
        """Run a command in the pod."""
        return kubectl("exec", self.pod, "--", *command)

    def fetch(self, path: str, folder: Path) -> Path:
        """Copy a file or a folder of the volume into a new folder, and return its path there."""
        folder.mkdir()
        parent, _, name = f"/work/{path}".rpartition("/")
        pack = ["tar", "--create", "--directory", parent, name]
        archive = subprocess.run(
            ["kubectl", "--namespace", NAMESPACE, "exec", self.pod, "--", *pack],
            capture_output=True,
            check=True,
            timeout=60,
        )
        unpack = ["tar", "--extract", "--directory", folder]
        subprocess.run(unpack, input=archive.stdout, check=True, timeout=60)
        return folder / name


@dataclass(frozen=True)
class Job:
    """A Job that was created.

    Attributes:
        name: Its name.
    """

    name: str

    @property
    def pod(self) -> Document:
        """Its only pod."""
        (pod,) = get("pods", f"--selector=job-name={self.name}")["items"]
        return dict(pod)

    @property
    def pod_name(self) -> str:
        """The name of its pod, which is that of its folder on the volume."""
        return str(self.pod["metadata"]["name"])

    @property
    def log(self) -> str:
        """What its pod has printed so far."""
        return kubectl("logs", f"job/{self.name}")

    @property
    def reason(self) -> str:
        """The last line of its log."""
        return self.log.rstrip().rpartition("\n")[2]

    @property
    def exit_code(self) -> int:
        """The exit code of its container."""
        (status,) = self.pod["status"]["containerStatuses"]
        return int(status["state"]["terminated"]["exitCode"])

    def wait(self, timeout: float = 200) -> bool:
        """Wait until it has ended, and tell whether it has succeeded."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for condition in get("job", self.name)["status"].get("conditions", []):
                if condition["status"] == "True":
                    return bool(condition["type"] == "Complete")
            time.sleep(0.5)
        raise TimeoutError(f"{self.name} has not ended: {self.log}")


def set_secret(variables: Mapping[str, str]) -> None:
    """Replace the Secret that README.md creates."""
    content = {"stringData": {"environment.yaml": yaml.safe_dump(dict(variables))}}
    metadata = {"name": "stage-in", "namespace": NAMESPACE}
    kubectl(
        "replace",
        "--filename=-",
        stdin=yaml.safe_dump(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **content}
        ),
    )


def create_job(
    order: Mapping[str, Any],
    secret: Mapping[str, str],
    files: Mapping[str, str] | None = None,
    edit: Callable[[Document], object] = lambda document: None,
) -> Job:
    """Create the ConfigMap, the Secret, and the Job of job.yaml.

    Args:
        order: The job order.
        secret: The variables in the Secret.
        files: Files of the ConfigMap, besides the usual ones or in place of them.
        edit: Changes the document of the Job.
    """
    files = {
        "stage-in.cwl": CWL.read_text(),
        "run.py": (DEPLOY / "run.py").read_text(),
        "params.yml": yaml.safe_dump(dict(order)),
        **(files or {}),
    }
    metadata = {"name": "stage-in", "namespace": NAMESPACE}
    apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": files})
    set_secret(secret)
    document = deepcopy(JOB)
    edit(document)
    created = kubectl("create", "--filename=-", "--output=name", stdin=yaml.safe_dump(document))
    return Job(created.strip().partition("/")[2])
