"""Run Calrissian with its own arguments, and add what it lacks for Jobs.

- First: the files beside this one, a ConfigMap, are copied, because the next Job replaces them.
- Before: Calrissian repeats for hours a request that Kubernetes refuses, and waits as long for a
  pod that cannot start. Therefore a pod with the images of the workflow is created, watched and
  removed first, as Calrissian would do it. If that fails, the last line says why.
- Meanwhile: the pods of the tools are restricted, what the tools print is logged, and a tool gets
  the files that an earlier Job has left.
- After: the last line and the exit code are those of the tool that failed.
"""

import json
import logging
import os
import re
import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from calrissian import main as calrissian
from calrissian.job import CalrissianCommandLineJob, KubernetesPodBuilder
from calrissian.k8s import KubernetesClient, load_config_get_namespace
from calrissian.report import CPUParser, MemoryParser
from cwltool.argparser import arg_parser
from kubernetes import client, watch
from urllib3.exceptions import HTTPError

OWN_NAME = os.environ["CALRISSIAN_POD_NAME"]
# What the Pod Security Standard "restricted" asks of a container.
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RECORDS = "tmp/*.json"  # of commands, relative to the folder of a Job
PATIENCE = int(os.environ.get("CHECK_PATIENCE", "300"))  # seconds for the pod to start


def main() -> None:
    """Copy the ConfigMap, check, then run Calrissian."""
    copy_inputs(Path(__file__).parent)
    parser = arg_parser()
    calrissian.add_arguments(parser)
    args = calrissian.parse_arguments(parser)
    folder = Path(args.outdir)
    check_inputs(args)
    check_volume(folder)
    check_cluster(args)
    restrict_pods()
    log_requests()
    failures = log_tools()
    resume_jobs(folder)
    code = calrissian.main()
    if code == 0:
        for record in folder.glob(RECORDS):
            record.unlink()
    else:  # with `successCodes`, a tool may end with another code than 0 although nothing failed
        for exit_code, line in failures:
            sys.stderr.write(f"The tool has ended with exit code {line}\n")
            code = exit_code
    sys.exit(code)


def copy_inputs(folder: Path) -> None:
    """Copy the workflow and the job order, and name the copies in the arguments.

    Kubernetes replaces the files of a ConfigMap in pods that run. It does so for all of them at
    once, by another target of the link `..data`.
    """
    copy = Path(tempfile.mkdtemp(), "stage-in")
    data = folder / "..data"
    shutil.copytree(data.resolve() if data.exists() else folder, copy)
    own = re.compile(f"^(-[a-z-]+=)?{re.escape(str(folder))}/")
    sys.argv[1:] = [own.sub(rf"\g<1>{copy}/", argument) for argument in sys.argv[1:]]
    sys.stderr.write(f"This Job uses a copy of {folder}\n")


def check_inputs(args: Namespace) -> None:
    """End the run if a file that the arguments name is missing."""
    inputs = [args.workflow.partition("#")[0]]
    if len(args.job_order) == 1 and not args.job_order[0].startswith("-"):
        inputs += args.job_order
    for path in map(Path, inputs):
        if not path.is_file():
            sys.exit(f"check: the ConfigMap has no file {path.name}")
    if args.pod_env_vars and not Path(args.pod_env_vars).is_file():
        sys.exit(f"check: the Secret has no key {Path(args.pod_env_vars).name}")


def check_volume(folder: Path) -> None:
    """Make the folder of this run, which shows whether the volume can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        volume = next(path for path in folder.parents if path.exists())
        facts = volume.stat()
        sys.exit(
            f"check: user {os.getuid()} and group {os.getgid()} cannot write to {volume}: "
            f"{error.strerror}. It belongs to user {facts.st_uid} and group {facts.st_gid}, with "
            f"mode {facts.st_mode & 0o7777:o}. The Job of volume-owner.yaml changes its owner"
        )


def check_cluster(args: Namespace) -> None:
    """Run a pod with the images of the workflow."""
    namespace = load_config_get_namespace()
    api = client.CoreV1Api()
    with request("list pods"):
        own = api.list_namespaced_pod(namespace, field_selector=f"metadata.name={OWN_NAME}").items
    pod = make_pod(own[0], args)
    name = pod["metadata"]["name"]
    with request("create pods"):
        api.create_namespaced_pod(namespace, pod)
    try:
        wait_for(api, namespace, name)
        with request("get pods/log"):
            api.read_namespaced_pod_log(name, namespace, container="image-0")
    except SystemExit:
        with suppress(client.ApiException, HTTPError):
            api.delete_namespaced_pod(name, namespace)
        raise
    with request("delete pods"):
        api.delete_namespaced_pod(name, namespace)


@contextmanager
def request(what: str) -> Iterator[None]:
    """End the run if Kubernetes refuses a request, or cannot be reached."""
    try:
        yield
    except client.ApiException as error:
        message = f"{error.status} {error.reason}"
        with suppress(TypeError, ValueError, KeyError):
            message = json.loads(error.body)["message"]
        sys.exit(f"check: Kubernetes refuses to {what}: {message}")
    except HTTPError as error:
        sys.exit(f"check: the request to {what} does not reach Kubernetes: {error}")


def make_pod(own: client.V1Pod, args: Namespace) -> dict[str, Any]:
    """Return a pod like those that Calrissian creates, with one container for each image.

    All but one are init containers. They run one after another, so that the requests of the pod
    are those of a single container, although each has them, as quotas require.
    """
    parts = list(find_parts(read_documents(args)))
    images = sorted({str(part["dockerPull"]) for part in parts if "dockerPull" in part})
    if not images:
        sys.exit("check: no CWL file in the ConfigMap names an image with dockerPull")
    cores = get_most(parts, "cores", 1, CPUParser.parse(args.max_cores))
    ram = get_most(parts, "ram", 256, MemoryParser.parse_to_megabytes(args.max_ram))
    containers = [
        {
            "name": f"image-{number}",
            "image": image,
            "command": ["/bin/sh", "-c", "exit"],
            "securityContext": RESTRICTED,
            "resources": {"requests": {"cpu": str(cores), "memory": f"{ram}Mi"}},
        }
        for number, image in enumerate(images)
    ]
    spec: dict[str, Any] = {
        "initContainers": containers[1:],
        "containers": containers[:1],
        "restartPolicy": "Never",
    }
    if args.pod_serviceaccount:
        spec["serviceAccountName"] = args.pod_serviceaccount
    if args.pod_nodeselectors:
        spec["nodeSelector"] = yaml.safe_load(Path(args.pod_nodeselectors).read_text())
    if not args.no_match_user:
        spec["securityContext"] = {"runAsUser": os.getuid(), "runAsGroup": os.getgid()}
    owner = {"apiVersion": "v1", "kind": "Pod", "name": OWN_NAME, "uid": own.metadata.uid}
    metadata = {"name": f"{OWN_NAME}-check", "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def read_documents(args: Namespace) -> list[Any]:
    """Return the content of the CWL files in the folder of the workflow."""
    documents = []
    for path in sorted(Path(args.workflow.partition("#")[0]).parent.glob("*.cwl")):
        try:
            documents.append(yaml.safe_load(path.read_text()))
        except (ValueError, yaml.YAMLError) as error:
            sys.exit(f"check: {path.name} is not YAML: {' '.join(str(error).split())}")
    return documents


def find_parts(document: Any) -> Iterator[dict[str, Any]]:
    """Yield each mapping, anywhere in a document."""
    if isinstance(document, dict):
        yield document
        document = list(document.values())
    if isinstance(document, list):
        for part in document:
            yield from find_parts(part)


def get_most(parts: list[dict[str, Any]], kind: str, default: float, limit: float) -> float:
    """Return the most that Calrissian requests for a tool: the maximum, up to its own limit."""
    numbers = []
    for part in parts:
        values = [part.get(f"{kind}{end}") for end in ("Max", "Min")]
        numbers += [value for value in values if isinstance(value, int | float)][:1]
    return min(max(numbers, default=default), limit)


def wait_for(api: client.CoreV1Api, namespace: str, name: str) -> None:
    """Wait until a pod has succeeded, and log why it does not start."""
    reason = ""
    with request("watch pods"):
        for event in watch.Watch().stream(
            api.list_namespaced_pod,
            namespace,
            field_selector=f"metadata.name={name}",
            timeout_seconds=PATIENCE,
        ):
            pod = event["object"]
            if pod.status.phase == "Succeeded":
                return
            found = explain(pod)
            if pod.status.phase == "Failed":
                sys.exit(f"check: the pod {name} failed: {found}")
            if found and found != reason:
                reason = found
                sys.stderr.write(f"check: the pod {name} waits: {reason}\n")
    sys.exit(f"check: the pod {name} has not started within {PATIENCE} s: {reason}")


def explain(pod: client.V1Pod) -> str:
    """Return why a pod does not run, or an empty text."""
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return str(condition.message)
    status = pod.status
    for container in [*(status.init_container_statuses or []), *(status.container_statuses or [])]:
        state = container.state.waiting or container.state.terminated
        if state and state.reason not in ("ContainerCreating", "PodInitializing", "Completed"):
            return f"{container.image}: {state.reason}: {state.message}"
    return pod.status.message or ""


def restrict_pods() -> None:
    """Add to the pods of the tools what Calrissian has no option for."""
    build = KubernetesPodBuilder.build

    def build_restricted(self: Any) -> dict[str, Any]:
        pod: dict[str, Any] = build(self)
        for container in [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]:
            container["securityContext"] = RESTRICTED
        return pod

    KubernetesPodBuilder.build = build_restricted


def log_requests() -> None:
    """Make Calrissian log what the tools print, and which requests it repeats.

    Its option --debug would do so, but also log the variables of the pods, with their secrets.
    """
    activate = calrissian.activate_logging

    def activate_more(level: int) -> None:
        activate(level)
        logging.getLogger("calrissian.k8s").setLevel(logging.DEBUG)

    calrissian.activate_logging = activate_more


def log_tools() -> list[tuple[int, str]]:
    """Make Calrissian read the log of each tool, and return a list that will have the failures.

    Each failure is an exit code and a line that begins with it.

    Calrissian reads the log of a pod only if it sees it running, and a tool may end before that.
    """
    failures: list[tuple[int, str]] = []
    handle = KubernetesClient._handle_completion

    def handle_with_log(self: Any, state: Any, container: Any) -> None:
        if not self.tool_log:
            self.follow_logs()
        handle(self, state, container)
        code, reason = state.terminated.exit_code, state.terminated.reason
        if code:
            known = f" ({reason})" if reason and reason != "Error" else ""  # such as OOMKilled
            last = self.tool_log[-1]["entry"] if self.tool_log else "it printed nothing"
            failures.append((code, f"{code}{known}: {last}"))

    KubernetesClient._handle_completion = handle_with_log
    return failures


def resume_jobs(folder: Path) -> None:
    """Move what earlier Jobs have left of stage-in's files into the folder in which it runs now.

    A file beside that folder records the command. Folders of Jobs that run are left alone. Other
    tools may not expect any files, so they get none.
    """
    run = CalrissianCommandLineJob.run

    def run_with_files(self: Any, *arguments: Any) -> None:
        if self.command_line[0] == "stage-in":
            own = Path(f"{self.outdir}.json")
            command = json.dumps(self.command_line)
            own.write_text(command)
            for record in sorted(folder.parent.glob(f"*/{RECORDS}")):
                if is_left(self.client, record, command) and take(record, Path(self.outdir)):
                    break
        run(self, *arguments)

    CalrissianCommandLineJob.run = run_with_files


def is_left(kubernetes: KubernetesClient, record: Path, command: str) -> bool:
    """Tell whether there are files of a command that no Job uses."""
    with suppress(OSError, ValueError):  # anything may be on the volume
        return (
            record.read_text() == command
            and any(record.with_suffix("").iterdir())
            and not is_used(kubernetes, record)
        )
    return False


def take(record: Path, folder: Path) -> bool:
    """Move the files of a record, and tell whether no other Job has taken them before.

    One step moves all of them, and each folder has a record before and after it. So if this Job is
    stopped, the next one finds the files.
    """
    left = record.with_suffix("")
    try:
        left.rename(folder)  # replaces an empty folder
    except FileNotFoundError:
        return False
    record.unlink(missing_ok=True)
    sys.stderr.write(f"Resuming from the files of {left}\n")
    return True


def is_used(kubernetes: KubernetesClient, record: Path) -> bool:
    """Tell whether a Job that runs, or a pod that it has started, uses the folder of a record."""
    run = record.parents[1].name
    for pod in kubernetes.core_api_instance.list_namespaced_pod(kubernetes.namespace).items:
        mounts = [one.sub_path or "" for one in pod.spec.containers[0].volume_mounts or []]
        if pod.status.phase not in ("Succeeded", "Failed") and (
            pod.metadata.name == run or any(one.startswith(f"{run}/") for one in mounts)
        ):
            return True
    return False


if __name__ == "__main__":
    main()
