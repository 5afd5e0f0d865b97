"""The manifests in deploy/calrissian fit the schemas of Kubernetes and each other."""

from copy import deepcopy
from typing import Any

import pytest
import yaml
from kubernetes_validate import SchemaNotFoundError, ValidationError, latest_version, validate

from tests.kubernetes.jobs import DEPLOY, Document


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
