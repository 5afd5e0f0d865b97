"""deploy/calrissian on a cluster: what its Jobs leave, and what they say when they fail."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from sandbox.limits import Limits
from sandbox.log import Exchange
from sandbox.server import Sandbox
from tests.conftest import ROOT, SameTree
from tests.cwl_runs import (
    CWL,
    IMAGE,
    MANY,
    OPENEO,
    assert_many_staged,
    assert_only_s3,
    make_third_product,
    stage,
)
from tests.kubernetes.jobs import (
    DEPLOY,
    JOB,
    NAMESPACE,
    Document,
    Job,
    Volume,
    apply,
    create_job,
    get,
    get_pods,
    kubectl,
    run_commands,
    set_secret,
    wait_until_ended,
)
from tests.web import URI

pytestmark = pytest.mark.kubernetes

GRANTED = [
    f"{verb} {resource}"
    for document in yaml.safe_load_all((DEPLOY / "rbac.yaml").read_text())
    for rule in document.get("rules", [])
    for resource in rule["resources"]
    for verb in rule["verbs"]
]
ACCOUNT = {"CDSE_USERNAME": "user", "CDSE_PASSWORD": "secret"}


def test_commands_for_a_product_stage_it_as_cwltool_does(
    platform: Sandbox, volume: Volume, new: Path, tmp_path: Path, assert_same_tree: SameTree
) -> None:
    set_secret({**platform.environment, **ACCOUNT})
    log = run_commands(
        2, {"https://stac.dataspace.copernicus.eu": platform.stac, "<name>": new.stem}
    )
    (name,) = re.findall(r"logs to /work/(\S+)/stage-in.log", log)
    job = Job(get_pods()[name]["metadata"]["labels"]["job-name"])
    assert job.wait(), job.log
    outside = tmp_path / "outside"
    outside.mkdir()
    assert stage(platform, outside, item=platform.item_url(new.name)).returncode == 0
    staged = volume.fetch(f"{job.pod_name}/catalog", tmp_path / "staged")
    assert_same_tree(outside / "catalog", staged)
    assert volume("ls", f"/work/{job.pod_name}/tmp") == ""
    assert not get_tool_pods()
    assert ACCOUNT["CDSE_PASSWORD"] not in job.log


def test_reason_of_the_tool_is_the_last_line(platform: Sandbox, volume: Volume, new: Path) -> None:
    job = create_job({"item": platform.item_url(new.name)}, platform.environment)
    assert not job.wait()
    assert job.reason.startswith("The tool has ended with exit code 77: ")
    assert "CDSE_ACCESS_TOKEN" in job.reason
    assert job.exit_code == 77
    # Calrissian would leave this file empty, because the tool ends before Calrissian looks.
    assert "CDSE_ACCESS_TOKEN" in volume("cat", f"/work/{job.pod_name}/stage-in.log")


def test_volume_of_root(platform: Sandbox, volume: Volume, new: Path) -> None:
    volume("chown", "0:0", "/work")
    try:
        job = create_job({"item": platform.item_url(new.name)}, platform.environment)
        assert not job.wait()
    finally:
        volume("chown", "1000:1000", "/work")
    assert job.reason.startswith(
        "check: user 1000 and group 1000 cannot write to /work: Permission denied. It belongs to "
        "user 0 and group 0, with mode 755."
    )


@pytest.mark.parametrize("missing", GRANTED)
def test_role_without_a_verb(platform: Sandbox, volume: Volume, new: Path, missing: str) -> None:
    role = get("role", "calrissian")
    verb, _, resource = missing.partition(" ")
    for rule in role["rules"]:
        if rule["resources"] == [resource]:
            rule["verbs"].remove(verb)
    role["rules"] = [rule for rule in role["rules"] if rule["verbs"]]
    kubectl("replace", "--filename=-", stdin=yaml.safe_dump(role))
    try:
        job = create_job({"item": platform.item_url(new.name)}, platform.environment)
        assert not job.wait()
    finally:
        kubectl("apply", f"--filename={DEPLOY}/rbac.yaml")
    assert job.reason.startswith(f"check: Kubernetes refuses to {missing}: ")
    assert f"cannot {verb} resource" in job.reason


def test_quota(platform: Sandbox, volume: Volume, new: Path) -> None:
    metadata = {"name": "limits", "namespace": NAMESPACE}
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": metadata,
        "spec": {"hard": {"limits.memory": "64Gi", "requests.cpu": "8", "requests.memory": "16Gi"}},
    }
    default = {"type": "Container", "default": {"memory": "2Gi"}}
    limits = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": metadata,
        "spec": {"limits": [default]},
    }
    order = {"item": platform.item_url(new.name), "assets": ["B01"]}
    secret = {**platform.environment, **ACCOUNT}
    # Each container of the pod that checks the images needs requests.
    files = {"other.cwl": f"dockerPull: {get_container(JOB)['image']}"}
    apply(quota)
    try:
        job = create_job(order, secret, files)
        assert not job.wait()
        assert job.reason.startswith("check: Kubernetes refuses to create pods: ")
        assert "must specify limits.memory" in job.reason
        apply(limits)
        again = create_job(order, secret, files)
        assert again.wait(), again.log
    finally:
        kubectl("delete", "resourcequota/limits", "limitrange/limits", "--ignore-not-found")


def test_missing_image(platform: Sandbox, volume: Volume, new: Path) -> None:
    def edit(job: Document) -> None:
        get_container(job)["env"].append({"name": "CHECK_PATIENCE", "value": "10"})

    job = create_job(
        {"item": platform.item_url(new.name)},
        platform.environment,
        {"stage-in.cwl": CWL.read_text().replace(IMAGE, "stage-in:0.0.0")},
        edit,
    )
    assert not job.wait()
    check = f"{job.pod_name}-check"
    assert job.reason.startswith(f"check: the pod {check} has not started within 10 s: ")
    assert "stage-in:0.0.0: ErrImagePull: " in job.log
    assert not [name for name in get_pods() if name == check]


@pytest.mark.parametrize(
    ("kind", "name"), [("serviceaccount", "calrissian"), ("secret", "stage-in")]
)
def test_commands_end_if_the_pod_of_a_job_cannot_start(
    volume: Volume, kind: str, name: str
) -> None:
    found = get(kind, name)
    kept = {key: found[key] for key in ("apiVersion", "kind", "data") if key in found}
    kubectl("delete", kind, name)
    try:
        shown = run_commands(2, {"+ 600": "+ 10"})
    finally:
        again = {**kept, "metadata": {"name": name}}
        kubectl("create", "--filename=-", stdin=yaml.safe_dump(again))
        kubectl("delete", "jobs", "--all")
    assert f'{kind} "{name}" not found' in shown


def test_tool_that_needs_more_memory_than_its_limit(
    platform: Sandbox, volume: Volume, new: Path
) -> None:
    tool = yaml.safe_load(CWL.read_text())
    tool["requirements"]["ResourceRequirement"] |= {"ramMin": 20, "ramMax": 20}
    default = {"type": "Container", "default": {"memory": "20Mi"}}
    metadata = {"name": "limits", "namespace": NAMESPACE}
    apply(
        {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": metadata,
            "spec": {"limits": [default]},
        }
    )
    try:
        job = create_job(
            {"item": platform.item_url(new.name)},
            {**platform.environment, **ACCOUNT},
            {"stage-in.cwl": yaml.safe_dump(tool)},
        )
        assert not job.wait()
    finally:
        kubectl("delete", "limitrange/limits")
    assert job.exit_code == 137
    killed = "The tool has ended with exit code 137 (OOMKilled): it printed nothing"
    assert job.reason == killed


def stop_by_deadline(job: Job) -> None:
    """Let the pod reach its deadline now."""
    kubectl("patch", "pod", job.pod_name, "--patch", '{"spec": {"activeDeadlineSeconds": 1}}')
    assert not job.wait()
    assert job.pod["status"]["reason"] == "DeadlineExceeded"
    assert "Received signal 15" in job.log


def stop_by_deletion(job: Job) -> None:
    """Delete the Job, which deletes its pod."""
    name = job.pod_name
    kubectl("delete", "job", job.name)
    wait_until_ended(name)


@pytest.mark.parametrize("stop", [stop_by_deadline, stop_by_deletion])
def test_stopped_job_is_resumed_by_the_next(
    platform: Sandbox,
    volume: Volume,
    new: Path,
    tmp_path: Path,
    assert_same_tree: SameTree,
    stop: Callable[[Job], None],
) -> None:
    with stalled(platform, new) as job:
        name = job.pod_name
        (tool,) = get_tool_pods()
        stop(job)
        # The tool stops at SIGTERM. Kubernetes would kill it after 30 s.
        wait_until_ended(tool["metadata"]["name"], 20)
    assert volume("find", f"/work/{name}/tmp", "-name", "*_B03.jp2")
    before = len(platform.log)
    again = create_job({"item": platform.item_url(new.name)}, {**platform.environment, **ACCOUNT})
    assert again.wait(), again.log
    assert f"Resuming from the files of /work/{name}/tmp/" in again.log
    assert [one.path for one in list(platform.log)[before:] if is_image(one, "")] == [
        one.path for one in platform.log if is_image(one, "_B02.jp2")
    ][-1:]
    staged = volume.fetch(f"{again.pod_name}/catalog", tmp_path / "staged")
    assert_same_tree(new, staged / new.stem / new.name)
    assert volume("find", f"/work/{name}/tmp", "-mindepth", "1") == ""


def test_pods_have_what_they_need_and_no_more(platform: Sandbox, volume: Volume, new: Path) -> None:
    """They are restricted as the Pod Security Standard asks, and by what the kernel says."""
    with stalled(platform, new) as job:
        (tool,) = get_tool_pods()
        for pod in (job.pod, tool):
            (container,) = pod["spec"]["containers"]
            context = {**pod["spec"]["securityContext"], **container["securityContext"]}
            assert context["runAsNonRoot"]
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not context["allowPrivilegeEscalation"]
            kinds = {kind for one in pod["spec"]["volumes"] for kind in one if kind != "name"}
            assert kinds <= {
                *("configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret")
            }
            name = pod["metadata"]["name"]
            status = kubectl("exec", name, "--", "cat", "/proc/1/status")
            facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert facts["Uid"].split() == facts["Gid"].split() == ["1000"] * 4
            assert int(facts["CapBnd"], 16) == int(facts["CapEff"], 16) == 0
            assert facts["NoNewPrivs"] == "1"
            assert facts["Seccomp"] == "2"
        (container,) = tool["spec"]["containers"]
        assert container["image"] == IMAGE
        resources = yaml.safe_load(CWL.read_text())["requirements"]["ResourceRequirement"]
        assert container["resources"]["requests"] == {
            "cpu": str(resources["coresMax"]),
            "memory": f"{resources['ramMax'] // 1024}Gi",
        }
        assert {one["name"]: one.get("value", "") for one in container["env"]} == {
            **ACCOUNT,
            **platform.environment,
            "CDSE_ACCESS_TOKEN": "",
            "STAGE_IN_OUTPUT_GLOB": "catalog",
            "HOME": container["workingDir"],
            "TMPDIR": "/tmp",
        }
        assert tool["spec"]["serviceAccountName"] == "stage-in"
        assert not [one for one in tool["spec"]["volumes"] if "projected" in one or "secret" in one]


def test_three_pods_wait_for_each_other(
    platform: Sandbox,
    volume: Volume,
    old: Path,
    new: Path,
    tmp_path: Path,
    assert_same_tree: SameTree,
) -> None:
    products = [old, new, make_third_product(tmp_path)]
    platform.add_product(products[2])
    platform.limits = Limits(connections=4, lag=1)
    many = yaml.safe_load(MANY.read_text())
    del many["hints"]  # Calrissian would pass on a placeholder
    many["steps"]["stage-in"]["run"] = "stage-in.cwl"
    tool = yaml.safe_load(CWL.read_text())
    # Three pods fit on a node of two cores.
    tool["requirements"]["ResourceRequirement"] |= {"coresMin": 0.3, "coresMax": 0.3}

    def edit(job: Document) -> None:
        args = get_container(job)["args"]
        args[args.index("/stage-in/stage-in.cwl")] = "/stage-in/stage-in-many.cwl"

    job = create_job(
        {"item": [platform.item_url(safe.name) for safe in products]},
        {**platform.environment, **ACCOUNT},
        {"stage-in-many.cwl": yaml.safe_dump(many), "stage-in.cwl": yaml.safe_dump(tool)},
        edit,
    )
    assert job.wait(), job.log
    before, _, _ = job.log.partition("handling completion with")
    assert before.count("Created k8s pod") == 3
    assert [one for one in platform.log if one.status == 429]
    fetched = volume.fetch(job.pod_name, tmp_path / "fetched")
    for path in (*fetched.glob("*.log"), fetched / "tmp"):
        path.rmdir() if path.is_dir() else path.unlink()
    assert_many_staged(fetched, products, assert_same_tree)


def test_keys_for_s3_in_the_secret(
    platform: Sandbox, volume: Volume, new: Path, tmp_path: Path, assert_same_tree: SameTree
) -> None:
    """The variables are those of openEO, which has temporary keys, an endpoint and no token."""
    platform.s3.keys = {OPENEO.access: OPENEO}
    job = create_job(
        {"item": platform.item_url(new.name)},
        {**platform.environment, **platform.s3_environment()},
    )
    assert job.wait(), job.log
    assert_only_s3(platform, OPENEO)
    staged = volume.fetch(f"{job.pod_name}/catalog", tmp_path / "staged")
    assert_same_tree(new, staged / new.stem / new.name)
    for secret in (OPENEO.secret, str(OPENEO.session)):
        assert secret not in job.log


def test_temporary_failure_has_its_exit_code(platform: Sandbox, volume: Volume, new: Path) -> None:
    platform.faults.add("status=503 on=download")
    tool = yaml.safe_load(CWL.read_text())
    tool["arguments"] += ["--patience", "4"]
    job = create_job(
        {"item": platform.item_url(new.name)},
        {**platform.environment, **ACCOUNT},
        {"stage-in.cwl": yaml.safe_dump(tool)},
    )
    assert not job.wait()
    assert job.exit_code == 75
    assert "status 503" in job.reason


def test_hint_for_secrets_breaks_the_tool(platform: Sandbox, volume: Volume, new: Path) -> None:
    """This is why stage-in.cwl has no such hint: Calrissian passes a placeholder to the tool."""
    tool = yaml.safe_load(CWL.read_text())
    tool["$namespaces"] = {"cwltool": "http://commonwl.org/cwltool#"}
    tool["hints"]["cwltool:Secrets"] = {"secrets": ["access_token"]}
    job = create_job(
        {"item": platform.item_url(new.name), "access_token": platform.mint()},
        platform.environment,
        {"stage-in.cwl": yaml.safe_dump(tool)},
    )
    assert not job.wait()
    assert job.exit_code == 77
    assert "placeholder" in job.reason
    assert len(platform.log) == 0


@pytest.mark.parametrize("option", ["--verbose", "--debug"])
def test_token_is_in_the_log_with_debug_only(
    platform: Sandbox, volume: Volume, new: Path, option: str
) -> None:
    def edit(job: Document) -> None:
        args = get_container(job)["args"]
        args[args.index("--verbose")] = option

    token = platform.mint_refresh()
    job = create_job(
        {"item": platform.item_url(new.name), "assets": ["B01"]},
        {**platform.environment, "CDSE_REFRESH_TOKEN": token},
        edit=edit,
    )
    assert job.wait(), job.log
    assert (token in job.log) is (option == "--debug")
    search = f"grep --recursive --files-with-matches --fixed-strings {token} /work || true"
    assert volume("sh", "-c", search) == ""


def test_stage_in_of_eoepca(
    platform: Sandbox, volume: Volume, new: Path, tmp_path: Path, assert_same_tree: SameTree
) -> None:
    tool = yaml.safe_load((ROOT / "workflows/stage-in-eoepca.cwl").read_text())
    # Calrissian would fetch the type from the Web, which the tests must not use.
    (tool["inputs"]["reference"]["type"],) = yaml.safe_load(URI)
    del tool["requirements"]["SchemaDefRequirement"]
    token = platform.mint()
    job = create_job(
        {"reference": {"value": platform.item_url(new.name)}},
        {**platform.environment, "CDSE_ACCESS_TOKEN": token},
        {"stage-in.cwl": yaml.safe_dump(tool)},
    )
    assert job.wait(), job.log
    assert token not in job.log
    staged = volume.fetch(f"{job.pod_name}/catalog", tmp_path / "staged")
    assert_same_tree(new, staged / new.stem / new.name)


def get_container(job: Document) -> Document:
    """Return the only container of the document of a Job."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return dict(container)


def get_tool_pods() -> list[Document]:
    """Return the pods that Calrissian has created and not removed."""
    return [pod for name, pod in get_pods().items() if name.startswith("stage-in-pod-")]


def is_image(exchange: Exchange, end: str) -> bool:
    """Tell whether a request is for an image of the product, with this end of its name."""
    return "(IMG_DATA)" in exchange.path and exchange.path.endswith(f"{end})/$value")


@contextmanager
def stalled(platform: Sandbox, new: Path) -> Iterator[Job]:
    """Yield a Job that has all files but one image, which arrives no further; then remove it."""
    number = sum(path.is_file() for path in new.rglob("*")) - 1

    def has_others(_: Exchange) -> bool:
        files = (x.path for x in platform.log.now() if x.complete and x.path.endswith("/$value"))
        return len({*files}) == number

    rule = platform.faults.add("stall=200 at=50% on=download path=*(IMG_DATA)*_B02.jp2*")
    job = create_job({"item": platform.item_url(new.name)}, {**platform.environment, **ACCOUNT})
    try:
        platform.log.wait(has_others, 200)
        yield job
    finally:
        platform.faults.remove(rule)
        kubectl("delete", "job", job.name, "--ignore-not-found")
