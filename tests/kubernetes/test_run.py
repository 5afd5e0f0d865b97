"""deploy/calrissian/run.py without a cluster: the modules that it imports are replaced."""

import importlib.util
import json
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from urllib3.exceptions import ProtocolError

from tests.kubernetes.jobs import DEPLOY

STAGED = [("catalog.json", b"{}"), ("B02.jp2", b"image")]
COMMAND = ["stage-in", "--input-item", "item.json"]
TOOL = """\
class: CommandLineTool
baseCommand: stage-in
requirements:
  ResourceRequirement: {coresMin: 1, coresMax: 3, ramMin: 512}
hints: [{class: DockerRequirement, dockerPull: "stage-in:1"}]
"""


class ApiError(Exception):
    """Stands for kubernetes.client.ApiException."""

    status, reason, body = 403, "Forbidden", '{"message": "no"}'


class Job:
    """Stands for CalrissianCommandLineJob."""

    def __init__(self, folder: Path, command: list[str], pods: list[Any]) -> None:
        folder.mkdir(parents=True)
        self.outdir = str(folder)
        self.command_line = command
        self.client = MagicMock()
        self.client.core_api_instance.list_namespaced_pod().items = pods
        self.found: list[str] | None = None

    def run(self) -> None:
        self.found = sorted(path.name for path in Path(self.outdir).iterdir())


@pytest.fixture
def run_py(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module, with a ConfigMap that Kubernetes has mounted beside it."""
    kubernetes = MagicMock()
    kubernetes.client.ApiException = ApiError
    calrissian = MagicMock()
    calrissian.main.parse_arguments = lambda parser: parse()
    calrissian.job.CalrissianCommandLineJob = type("FreshJob", (Job,), {})
    calrissian.report.CPUParser.parse = float
    calrissian.report.MemoryParser.parse_to_megabytes = float
    for name, module in {
        "calrissian": calrissian,
        "calrissian.job": calrissian.job,
        "calrissian.k8s": calrissian.k8s,
        "calrissian.report": calrissian.report,
        "cwltool": MagicMock(),
        "cwltool.argparser": MagicMock(),
        "kubernetes": kubernetes,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("CALRISSIAN_POD_NAME", "stage-in-own")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / "mounted"
    mount(folder, {"stage-in.cwl": TOOL, "params.yml": "item: first"})
    (tmp_path / "environment.yaml").write_text("{}")
    options = [f"--outdir={tmp_path}/work/own", f"--pod-env-vars={tmp_path}/environment.yaml"]
    arguments = [*options, f"{folder}/stage-in.cwl", f"{folder}/params.yml"]
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    spec = importlib.util.spec_from_file_location("run_py", DEPLOY / "run.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__file__ = str(folder / "run.py")
    monkeypatch.setattr(module, "check_cluster", lambda args: None)
    return module


def mount(folder: Path, files: dict[str, str]) -> None:
    """Replace the files of a ConfigMap as the kubelet does, by another target of a link."""
    folder.mkdir(exist_ok=True)
    target = folder / f"..{len(list(folder.iterdir()))}"
    target.mkdir()
    for name, text in files.items():
        (target / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data", name))
    link = folder / "..new"
    link.symlink_to(target.name)
    link.rename(folder / "..data")


def parse() -> Namespace:
    """Parse sys.argv as cwltool and Calrissian do, as far as run.py needs it."""
    options = dict(one[2:].split("=", 1) for one in sys.argv[1:-2])
    return Namespace(
        workflow=sys.argv[-2],
        job_order=[sys.argv[-1]],
        outdir=options["outdir"],
        pod_env_vars=options["pod-env-vars"],
        pod_serviceaccount="",
        pod_nodeselectors="",
        no_match_user=False,
        max_cores="2",
        max_ram="4000",
    )


def test_files_replaced_during_the_check_are_not_those_of_the_job(
    run_py: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mounted"

    def replace(args: Namespace) -> None:
        mount(folder, {"stage-in.cwl": "other", "params.yml": "item: second"})
        assert (folder / "params.yml").read_text() == "item: second"

    seen = []

    def calrissian() -> int:
        args = parse()
        assert args.outdir == f"{tmp_path}/work/own"
        seen.extend(Path(one).read_text() for one in (args.workflow, *args.job_order))
        return 0

    monkeypatch.setattr(run_py, "check_cluster", replace)
    run_py.calrissian.main = calrissian
    with pytest.raises(SystemExit) as ended:
        run_py.main()
    assert ended.value.code == 0
    assert seen == [TOOL, "item: first"]


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (1, 75)])
def test_exit_code_is_that_of_a_tool_only_if_the_workflow_fails(
    run_py: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    code: int,
    expected: int,
) -> None:
    monkeypatch.setattr(run_py, "log_tools", lambda: [(75, "75: later")])
    run_py.calrissian.main = lambda: code
    with pytest.raises(SystemExit) as ended:
        run_py.main()
    assert ended.value.code == expected
    assert ("exit code 75: later" in capfd.readouterr().err) is (expected == 75)


@pytest.mark.parametrize(
    ("reason", "line"),
    [("Error", "137: last"), ("OOMKilled", "137 (OOMKilled): last"), (None, "137: last")],
)
def test_reason_of_a_killed_tool(run_py: ModuleType, reason: str | None, line: str) -> None:
    run_py.KubernetesClient = type("Client", (), {"_handle_completion": lambda *_: None})
    failures = run_py.log_tools()
    ended = SimpleNamespace(terminated=SimpleNamespace(exit_code=137, reason=reason))
    run = SimpleNamespace(tool_log=[{"entry": "last"}])
    run_py.KubernetesClient._handle_completion(run, ended, None)
    assert failures == [(137, line)]


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("mounted/stage-in.cwl", "the ConfigMap has no file stage-in.cwl"),
        ("mounted/params.yml", "the ConfigMap has no file params.yml"),
        ("environment.yaml", "the Secret has no key environment.yaml"),
    ],
)
def test_missing_file(run_py: ModuleType, tmp_path: Path, missing: str, line: str) -> None:
    (tmp_path / missing).resolve().unlink()
    with pytest.raises(SystemExit) as ended:
        run_py.main()
    assert ended.value.code == f"check: {line}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("class: Workflow", "no CWL file in the ConfigMap names an image with dockerPull"),
        ("a: [", "stage-in.cwl is not YAML: "),
    ],
)
def test_workflow_that_names_no_image(
    run_py: ModuleType, tmp_path: Path, text: str, line: str
) -> None:
    mount(tmp_path / "mounted", {"stage-in.cwl": text})
    with pytest.raises(SystemExit) as ended:
        run_py.make_pod(MagicMock(), parse())
    assert str(ended.value.code).startswith(f"check: {line}")


def test_check_requests_what_calrissian_will(run_py: ModuleType, tmp_path: Path) -> None:
    other = {
        "requirements": [
            {"class": "ResourceRequirement", "coresMax": "$(inputs.cores)", "ramMin": 300},
            {"class": "DockerRequirement", "dockerPull": "classify:1"},
        ]
    }
    files = {"stage-in.cwl": TOOL, "classify.cwl": yaml.safe_dump(other)}
    mount(tmp_path / "mounted", files)
    spec = run_py.make_pod(MagicMock(), parse())["spec"]
    (first,), (main,) = spec["initContainers"], spec["containers"]
    assert {first["image"], main["image"]} == {"classify:1", "stage-in:1"}
    # 3 cores, limited by --max-cores, and 512 MiB, because there is no ramMax.
    for container in (first, main):
        assert container["resources"] == {"requests": {"cpu": "2.0", "memory": "512Mi"}}


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ProtocolError("broken"), "check: the request to watch pods does not reach Kubernetes: "),
        (ApiError(), "check: Kubernetes refuses to watch pods: no"),
    ],
)
def test_request_that_fails(run_py: ModuleType, error: Exception, line: str) -> None:
    with pytest.raises(SystemExit) as ended, run_py.request("watch pods"):
        raise error
    assert str(ended.value.code).startswith(line)


def leave(folder: Path, command: list[str] = COMMAND) -> Path:
    """Leave files and their record as a Job that was stopped, and return their folder."""
    folder.mkdir(parents=True)
    for name, content in STAGED:
        (folder / name).write_bytes(content)
    Path(f"{folder}.json").write_text(json.dumps(command))
    return folder


def make_pod(name: str, phase: str) -> Any:
    """Return a pod that has no folder of the volume except its own."""
    pod = MagicMock()
    pod.metadata.name, pod.status.phase = name, phase
    pod.spec.containers = [SimpleNamespace(volume_mounts=None)]
    return pod


Start = Callable[..., Any]


@pytest.fixture
def start(run_py: ModuleType, tmp_path: Path) -> Start:
    """Run a tool in a Job, and return it."""
    run_py.resume_jobs(tmp_path / "work/own")

    def start(command: list[str] = COMMAND, pods: list[Any] | None = None) -> Any:
        job = run_py.CalrissianCommandLineJob(tmp_path / "work/own/tmp/1", command, pods or [])
        job.run()
        return job

    return start


def test_foreign_files_on_the_volume_are_ignored(start: Start, tmp_path: Path) -> None:
    foreign = tmp_path / "work/a/tmp"
    foreign.mkdir(parents=True)
    (foreign / "binary.json").write_bytes(b"\xff\xfe")
    (foreign / "folder.json").mkdir()
    (foreign / "file.json").write_text(json.dumps(COMMAND))
    (foreign / "file").write_text("not a folder")
    left = leave(tmp_path / "work/b/tmp/2")
    assert start().found == sorted(name for name, _ in STAGED)
    assert not left.exists()
    assert not Path(f"{left}.json").exists()
    assert json.loads((tmp_path / "work/own/tmp/1.json").read_text()) == COMMAND
    assert (foreign / "file").exists()


def test_only_stage_in_resumes(start: Start, tmp_path: Path) -> None:
    left = leave(tmp_path / "work/b/tmp/2", ["classify"])
    assert start(["classify"]).found == []
    assert left.exists()


@pytest.mark.parametrize(
    ("phase", "resumes"),
    [
        *(("Pending", False), ("Running", False), ("Unknown", False)),
        *(("Succeeded", True), ("Failed", True)),
    ],
)
def test_only_files_of_jobs_that_have_ended_are_taken(
    start: Start, tmp_path: Path, phase: str, resumes: bool
) -> None:
    leave(tmp_path / "work/b/tmp/2")
    assert bool(start(pods=[make_pod("b", phase)]).found) is resumes


@pytest.mark.parametrize("method", ["rename", "unlink"])
def test_job_killed_while_it_takes_files_leaves_them_to_the_next(
    start: Start, run_py: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    class Killed(BaseException):
        pass

    def kill(*arguments: Any, **options: Any) -> None:
        raise Killed

    leave(tmp_path / "work/b/tmp/2")
    with monkeypatch.context() as patch:
        patch.setattr(Path, method, kill)
        with pytest.raises(Killed):
            start()
    # The next Job, whose folder has another name.
    job = run_py.CalrissianCommandLineJob(tmp_path / "work/c/tmp/3", COMMAND, [])
    job.run()
    assert job.found == sorted(name for name, _ in STAGED)
