"""The node that stands in for one of Kubernetes refuses what it cannot do."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.runners.conftest import Engine
from tests.runners.pods import Node

POD: dict[str, Any] = {
    "metadata": {"name": "stage-in-test"},
    "spec": {
        "containers": [{"name": "main", "image": "tool", "command": ["stage-in"]}],
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
    },
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["hostNetwork"], True),
        (["initContainers"], [{"name": "first", "image": "tool"}]),
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
