"""deploy/argo: its documents fit Argo's own models, and its container runs as Argo runs it."""

import json
import re
import tarfile
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from uuid import uuid4

import kubernetes_validate
import pytest
import yaml
from hera.workflows import models
from pydantic import ValidationError

from sandbox.server import Sandbox
from stage_in.safe.bands import BAND_OF_ASSET
from tests.conftest import ROOT, SameTree
from tests.cwl_runs import CWL, run_program, serve_real_item
from tests.runners.conftest import Engine
from tests.runners.pods import Node

DEPLOY = ROOT / "deploy/argo"
STAC = "https://stac.dataspace.copernicus.eu"
FILES = sorted(path.name for path in DEPLOY.glob("*.yaml"))
Document = dict[str, Any]


def load_all(name: str) -> list[Document]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def load(name: str) -> Document:
    (document,) = load_all(name)
    return dict(document)


def validate(document: Document) -> None:
    """Validate a document against Argo's model of its kind, or the schema of Kubernetes.

    Raises:
        ValidationError: A field is unknown, missing, or of the wrong type.
        kubernetes_validate.ValidationError: A field is unknown, missing, or of the wrong type.
    """
    if not document["apiVersion"].startswith("argoproj.io/"):
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        return
    model = getattr(models, document["kind"])
    model.model_validate(document, extra="forbid")


def get_template() -> Document:
    """Return the only template of the WorkflowTemplate."""
    (found,) = load("stage-in.yaml")["spec"]["templates"]
    return dict(found)


def get_values(parameters: list[Document]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in parameters if "value" in one}


def get_retried_codes() -> set[int]:
    """Return the exit codes after which Argo tries again."""
    strategy = get_template()["retryStrategy"]
    codes = re.fullmatch(r"asInt\(lastRetry\.exitCode\) in \[(.*)\]", strategy["expression"])
    assert codes
    return {int(code) for code in codes[1].split(",")}


@pytest.mark.parametrize("name", FILES)
def test_document_is_valid(name: str) -> None:
    for document in load_all(name):
        validate(document)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("stage-in.yaml", "spec.templates.0.retryStrategy.expresion", "true"),
        ("stage-in.yaml", "spec.templates.0.retryStrategy.backoff.duration", 60),
        ("stage-in.yaml", "spec.templates.0.container.env.0.valueFrom.secretKeyRef.kay", "x"),
        ("stage-in.yaml", "spec.templates.0.container.resources.requests.cpu", 1),
        ("stage-in.yaml", "spec.templates.0.container.readOnlyRootFilesystem", True),
        ("stage-in.yaml", "spec.templates.0.outputs.artifacts.0.archive.nothing", {}),
        ("one.yaml", "spec.workflowTemplateRef.template", "stage-in"),
        ("several.yaml", "spec.templates.0.steps.0", {"name": "no list"}),
        ("several.yaml", "spec.serviceAccount", "stage-in"),
        ("stage-in-items.yaml", "spec.templates.0.inputs.artifacts.0.file", "items.json"),
        ("items.yaml", "spec.arguments.artifacts.0.http.uri", STAC),
    ],
)
def test_error_in_a_document_is_found(name: str, path: str, value: Any) -> None:
    document = load(name)
    *way, last = path.split(".")
    part: Any = document
    for step in way:
        part = part[int(step) if step.isdigit() else step]
    part[int(last) if last.isdigit() else last] = value
    with pytest.raises(ValidationError):
        validate(document)


def test_service_account_may_report_outputs() -> None:
    account, role, binding = load_all("rbac.yaml")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [one["name"] for one in binding["subjects"]] == [account["metadata"]["name"]]
    assert role["rules"] == [
        {
            "apiGroups": ["argoproj.io"],
            "resources": ["workflowtaskresults"],
            "verbs": ["create", "patch"],
        }
    ]
    for name in ("stage-in.yaml", "stage-in-items.yaml", "several.yaml"):
        assert load(name)["spec"]["serviceAccountName"] == account["metadata"]["name"]


def pass_on(artifact: Document, staged: Path, folder: Path) -> Path:
    """Store an artifact by its archive strategy, and unpack it for the next step.

    Raises:
        ValueError: The strategy is neither tar nor none.
    """
    target = folder / "passed-on"
    archive = artifact.get("archive", {"tar": {}})
    if archive == {"none": {}}:  # one object for each file
        for path in staged.rglob("*"):
            if path.is_file():
                copy = target / path.relative_to(staged)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
    elif archive.keys() == {"tar"}:
        packed = folder / "artifact.tar"
        with tarfile.open(packed, "w") as content:
            content.add(staged, arcname=".")
        with tarfile.open(packed) as content:
            content.extractall(target)
    else:
        raise ValueError(f"expected tar or none, found {archive}")
    return target


def test_temporary_failures_are_tried_again() -> None:
    assert get_retried_codes() == set(yaml.safe_load(CWL.read_text())["temporaryFailCodes"])
    assert get_template()["retryStrategy"]["retryPolicy"] == "Always"


def test_image_is_that_of_the_tool() -> None:
    tool = yaml.safe_load(CWL.read_text())
    assert get_template()["container"]["image"] == tool["hints"]["DockerRequirement"]["dockerPull"]


def test_all_bands_are_staged_by_default() -> None:
    spec = load("stage-in.yaml")["spec"]
    defaults = get_values(spec["arguments"]["parameters"])
    assert get_values(spec["templates"][0]["inputs"]["parameters"]) == defaults
    assert set(defaults["assets"].split(",")) == set(BAND_OF_ASSET.values())


def test_examples_refer_to_the_template_by_the_right_names() -> None:
    spec = load("stage-in.yaml")["spec"]
    inputs = {one["name"] for one in spec["templates"][0]["inputs"]["parameters"]}
    assert {one["name"] for one in spec["arguments"]["parameters"]} == inputs
    assert spec["entrypoint"] == spec["templates"][0]["name"]
    one, several = (load(name)["spec"] for name in ("one.yaml", "several.yaml"))
    assert one["workflowTemplateRef"] == {"name": load("stage-in.yaml")["metadata"]["name"]}
    assert {"item"} == {one["name"] for one in one["arguments"]["parameters"]}
    ((step,),) = several["templates"][0]["steps"]
    assert step["templateRef"] == {"name": "stage-in", "template": spec["entrypoint"]}
    assert {"item", "output_dir"} == {one["name"] for one in step["arguments"]["parameters"]}
    mounted = {one["name"] for one in spec["templates"][0]["container"]["volumeMounts"]}
    for workflow in (spec, several):
        claims = {one["metadata"]["name"] for one in workflow["volumeClaimTemplates"]}
        own = {one["name"] for one in spec["templates"][0]["volumes"]}
        assert mounted == claims | own


def test_template_for_many_items_differs_only_in_what_it_is_given() -> None:
    """It takes a search result in place of an item, and stages all of it in one pod."""
    one, many = (load(name) for name in ("stage-in.yaml", "stage-in-items.yaml"))
    for document in (one, many):
        (template,) = document["spec"]["templates"]
        assert template["name"] == document["spec"]["entrypoint"] == document["metadata"]["name"]
        del document["metadata"], template["name"], document["spec"]["entrypoint"]
        del document["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]
    inputs = many["spec"]["templates"][0]["inputs"]
    (artifact,) = inputs.pop("artifacts")
    given, passed = one["spec"]["arguments"], one["spec"]["templates"][0]["inputs"]
    for parameters in (given["parameters"], passed["parameters"]):
        assert parameters.pop(0)["name"] == "item"
    container = one["spec"]["templates"][0]["container"]
    assert container["args"][0] == "--input-item={{inputs.parameters.item}}"
    container["args"][0] = f"--input-item={artifact['path']}"
    assert one == many
    # Argo refuses an artifact without a location among the arguments of a WorkflowTemplate.
    example = load("items.yaml")["spec"]
    assert "artifacts" not in many["spec"]["arguments"]
    assert [one["name"] for one in example["arguments"]["artifacts"]] == [artifact["name"]]
    assert example["workflowTemplateRef"] == {
        "name": load("stage-in-items.yaml")["metadata"]["name"]
    }


@pytest.mark.slow
def test_items_of_a_search_are_staged_with_keys_of_the_secret(
    tmp_path: Path, new: Path, old: Path, assert_same_tree: SameTree
) -> None:
    """A temporary failure ends with 75, and the next run resumes. Here no pod is around it."""
    (template,) = load("stage-in-items.yaml")["spec"]["templates"]
    defaults = get_values(template["inputs"]["parameters"])
    values = {f"inputs.parameters.{name}": value for name, value in defaults.items()}
    container = substitute(template, values)["container"]
    items = tmp_path / "items.json"
    work = tmp_path / "work"
    work.mkdir()
    (artifact,) = template["inputs"]["artifacts"]
    args = [text.replace(artifact["path"], str(items)) for text in container["args"]]
    with Sandbox([new, old]) as platform:
        key = next(iter(platform.s3.keys.values()))
        secret = {"CDSE_S3_ACCESS_KEY": key.access, "CDSE_S3_SECRET_KEY": key.secret}
        node = Node(Engine("none"), tmp_path, secrets={"cdse": secret})
        variables = node.environment(container)
        assert variables == secret
        for safe in (new, old):
            serve_real_item(platform, safe.name)
        features = [platform.pages[f"/real/{safe.name}"] for safe in (new, old)]
        items.write_text(json.dumps({"type": "FeatureCollection", "features": features}))

        def run(*more: str) -> CompletedProcess[str]:
            return run_program(
                *(*container["command"], *args, *more),
                cwd=work,
                **variables,
                AWS_ENDPOINT_URL_S3=platform.origins["s3"],
            )

        platform.faults.add("status=503 on=s3 path=*.jp2 after=6")
        first = run("--patience=2")
        assert first.returncode in get_retried_codes(), first.stderr
        assert not (work / "catalog").exists()
        platform.faults.clear()
        platform.log.clear()
        second = run()
        assert second.returncode == 0, second.stderr
        assert "Resuming: " in second.stderr
        assert {exchange.role for exchange in platform.log} == {"s3"}
    for safe in (new, old):
        assert_same_tree(safe, work / "catalog" / safe.stem / safe.name)


def substitute(document: Document, values: Mapping[str, str]) -> Document:
    """Replace {{name}} by values; as in Argo, a name without a value is an error."""

    def value(match: re.Match[str]) -> str:
        return json.dumps(values[match[1]])[1:-1]

    found: Document = json.loads(re.sub(r"{{([^}]*)}}", value, json.dumps(document)))
    return found


class Argo:
    """Runs the template's container in pods such as Argo makes, which share one volume."""

    def __init__(self, engine: Engine, platform: Sandbox, folder: Path, secret: Document) -> None:
        self.volume = folder / "volume"
        self.volume.mkdir()
        scratch = folder / "scratch"
        scratch.mkdir()
        self._node = Node(engine, scratch, {"claim": self.volume}, {"cdse": secret})
        self._platform = platform

    def __call__(self, *more: str, **parameters: str) -> tuple[CompletedProcess[str], Path]:
        """Run a pod.

        Args:
            more: Arguments for the command.
            parameters: Parameters of the template.

        Returns:
            The finished process, and the path of the artifact.
        """
        given = get_template()
        defaults = get_values(given["inputs"]["parameters"])
        filled = substitute(
            given,
            {f"inputs.parameters.{name}": value for name, value in (defaults | parameters).items()},
        )
        container = filled["container"]
        container["args"] += more
        container["env"] += [
            {"name": name, "value": value} for name, value in self._platform.environment.items()
        ]
        claim = {"name": "work", "persistentVolumeClaim": {"claimName": "claim"}}
        pod = {
            "metadata": {"name": f"stage-in-{uuid4().hex}"},
            "spec": {
                "containers": [{**container, "name": "main"}],
                "securityContext": filled["securityContext"],
                "volumes": [*filled["volumes"], claim],
            },
        }
        run = self._node.engine(*self._node.arguments(pod))
        (artifact,) = filled["outputs"]["artifacts"]
        return run, self.volume / Path(artifact["path"]).relative_to("/work")


@pytest.mark.runner
def test_retry_resumes(
    engine: Engine,
    image: str,
    tmp_path: Path,
    bare: Path,
    assert_same_tree: SameTree,
) -> None:
    """The retry uses the same volume. The artifact keeps empty folders."""
    with Sandbox([bare]) as platform:
        stage_twice(engine, platform, tmp_path, bare, assert_same_tree)


def stage_twice(
    engine: Engine, platform: Sandbox, folder: Path, safe: Path, assert_same_tree: SameTree
) -> None:
    """Run the command while the service fails, and again when it has recovered."""
    secret = {"CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret"}
    argo = Argo(engine, platform, folder, secret)
    item = platform.item_url(safe.name)
    images = "*.jp2*$value"
    platform.faults.add("status=503 on=download path=*.jp2* after=6")
    first, staged = argo("--patience=4", item=item)
    assert first.returncode in get_retried_codes(), first.stderr
    assert not staged.exists()
    arrived = {x.path for x in platform.log.of("download", images) if x.status == 200}
    assert len(arrived) == 6

    platform.faults.clear()
    platform.log.clear()
    second, staged = argo(item=item)
    assert second.returncode == 0, second.stderr
    fetched = {x.path for x in platform.log.of("download", images)}
    assert fetched
    assert not fetched & arrived
    assert_same_tree(safe, staged / safe.stem / safe.name)
    assert "stage-in:partial" not in (staged / safe.stem / f"{safe.stem}.json").read_text()
    (artifact,) = get_template()["outputs"]["artifacts"]
    assert_same_tree(staged, pass_on(artifact, staged, folder))


@pytest.mark.runner
def test_missing_secret_ends_with_77(
    engine: Engine, image: str, platform: Sandbox, tmp_path: Path, new: Path
) -> None:
    run, staged = Argo(engine, platform, tmp_path, {})(item=platform.item_url(new.name))
    assert run.returncode == 77
    assert "CDSE_ACCESS_TOKEN" in run.stderr
    assert run.returncode not in get_retried_codes()
    assert not staged.exists()


@pytest.mark.runner
def test_each_item_of_several_is_staged(
    engine: Engine, image: str, platform: Sandbox, tmp_path: Path, new: Path, old: Path
) -> None:
    secret = {"CDSE_REFRESH_TOKEN": platform.mint_refresh()}
    argo = Argo(engine, platform, tmp_path, secret)
    ((step,),) = load("several.yaml")["spec"]["templates"][0]["steps"]
    for name in (new.stem, old.stem):
        given = substitute(deepcopy(step["arguments"]), {"item": name})
        parameters = get_values(given["parameters"])
        parameters["item"] = parameters["item"].replace(STAC, platform.stac)
        run, staged = argo("--assets=B01", **parameters)
        assert run.returncode == 0, run.stderr
        assert staged == argo.volume / name
        assert (staged / "catalog.json").is_file()
