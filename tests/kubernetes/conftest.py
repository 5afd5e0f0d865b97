"""The cluster that KUBECONFIG names, with the manifests of deploy/calrissian, and a sandbox."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.cwl_runs import IMAGE
from tests.kubernetes.jobs import NAMESPACE, Document, Volume, apply, kubectl, run_commands

HOST_PATH = "stage-in-tests"


@pytest.fixture(scope="session")
def address(pytestconfig: pytest.Config) -> str:
    """An address of this machine that pods can reach."""
    missing = [name for name in ("KUBECONFIG", "HOST_ADDRESS") if not os.environ.get(name)]
    assert not missing, f"expected variables that CONTRIBUTING.md describes, found no {missing}"
    return os.environ["HOST_ADDRESS"]


@pytest.fixture
def platform(address: str, old: Path, new: Path) -> Iterator[Sandbox]:
    """A sandbox of the platform that pods can reach."""
    with Sandbox([old, new], host=address) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def volume(address: str) -> Iterator[Volume]:
    """The volume of the claim, after the commands of README.md that come before the first Job."""
    labels = "--output=jsonpath={.metadata.name} {.metadata.labels.made-for}"
    found = kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", labels)
    assert found in ("", f"{NAMESPACE} tests"), f"the namespace {NAMESPACE} is not of the tests"
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout=200)
    folder = os.environ.get("VOLUMES")
    if folder:
        kubectl("delete", "persistentvolume", HOST_PATH, "--ignore-not-found")
        apply(_host_path(f"{folder}/{os.getpid()}"))
    run_commands(0)
    volume = Volume()
    # As for volume-owner.yaml: a pod of root must be allowed.
    label = "pod-security.kubernetes.io/enforce=baseline"
    kubectl("label", "namespace", NAMESPACE, "--overwrite", "made-for=tests", label)
    apply(_root_pod(volume.pod))
    kubectl("wait", "--for=condition=ready", f"pod/{volume.pod}", "--timeout=100s", timeout=120)
    run_commands(1)
    yield volume
    kubectl("delete", "namespace", NAMESPACE, timeout=200)
    if folder:
        kubectl("delete", "persistentvolume", HOST_PATH)


def _host_path(folder: str) -> Document:
    """Return a volume for the claim, for clusters without a storage class."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": HOST_PATH},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": {"storage": "20Gi"},
            "claimRef": {"namespace": NAMESPACE, "name": "stage-in"},
            "hostPath": {"path": folder, "type": "DirectoryOrCreate"},
        },
    }


def _root_pod(name: str) -> Document:
    """Return a pod of root that waits for commands."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "terminationGracePeriodSeconds": 0,  # sleep would ignore the signal
            "containers": [
                {
                    "name": "main",
                    "image": IMAGE,
                    "command": ["sleep", "infinity"],
                    "securityContext": {"runAsUser": 0},
                    "volumeMounts": [{"name": "work", "mountPath": "/work"}],
                }
            ],
            "volumes": [{"name": "work", "persistentVolumeClaim": {"claimName": "stage-in"}}],
        },
    }
