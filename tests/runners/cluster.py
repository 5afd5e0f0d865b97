"""The part of a Kubernetes cluster that Calrissian uses: its API, and a node that runs pods.

Calrissian's own client talks to a real HTTP server on 127.0.0.1, and the pods run in a container
engine. Scheduling, quotas and access control are not simulated.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from aiohttp import web

from tests.runners.pods import Node

PODS = "/api/v1/namespaces/default/pods"


class Pod:
    """A pod that was submitted.

    Attributes:
        submitted: The document that the client sent.
        seen: The document that the API shows, after each change of its state.
        log: The output of its container.
        exit_code: The exit code of its container; None while it runs.
    """

    def __init__(self, submitted: dict[str, Any], number: int, log: Path) -> None:
        self.submitted = submitted
        self.name = str(submitted["metadata"]["name"])
        self.seen: list[dict[str, Any]] = []
        self.log = log
        self.exit_code: int | None = None
        self.changed = asyncio.Condition()
        self._number = number

    async def note(self, phase: str, state: dict[str, Any]) -> None:
        """Record a change of state, and notify watchers."""
        facts = {
            "namespace": "default",
            "uid": f"00000000-0000-4000-8000-{self._number:012}",
            "resourceVersion": str(len(self.seen) + 1),
        }
        status = [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": "running" in state,
                "restartCount": 0,
                "state": state,
            }
            for container in self.submitted["spec"]["containers"]
        ]
        async with self.changed:
            self.seen.append(
                {
                    **self.submitted,
                    "metadata": {**self.submitted["metadata"], **facts},
                    "status": {"phase": phase, "containerStatuses": status},
                }
            )
            self.changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        async with self.changed:
            await self.changed.wait_for(condition)


class Cluster:
    """A cluster, which a thread runs as long as the context lasts.

    Attributes:
        pods: The pods that were submitted, in order.
        used: The verbs and resources that were used, as a Role would grant them.
        refused: The reasons for which pods were refused.
    """

    def __init__(
        self, node: Node, inhabitant: dict[str, Any], check: Callable[[dict[str, Any]], str]
    ) -> None:
        """Prepare a cluster.

        Args:
            node: The node that runs the pods.
            inhabitant: The pod that runs the client.
            check: Returns what is wrong with a document, or an empty text.
        """
        self.pods: list[Pod] = []
        self.used: set[tuple[str, str]] = set()
        self.refused: list[str] = []
        self.url = ""
        self._node = node
        self._inhabitant = inhabitant
        self._check = check
        self._containers: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(timeout=10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=60)

    def configuration(self) -> str:
        """Return the content of a file for KUBECONFIG."""
        cluster = {"name": "test", "cluster": {"server": self.url}}
        context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
        parts = {
            "clusters": [cluster],
            "contexts": [context],
            "users": [{"name": "test", "user": {}}],
        }
        return yaml.safe_dump({"apiVersion": "v1", **parts, "current-context": "test"})

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application()
        app.add_routes(
            [
                web.get(PODS, self._list),
                web.post(PODS, self._create),
                web.get(f"{PODS}/{{name}}/log", self._log),
                web.delete(f"{PODS}/{{name}}", self._delete),
            ]
        )
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._started.set()
        await self._stop.wait()
        # Containers whose client has ended may still run, and one may be about to start.
        while self._containers:
            for container in self._containers.copy():
                await asyncio.to_thread(self._node.engine, "kill", container)
            await asyncio.sleep(0.2)
        await asyncio.gather(*self._tasks)
        await runner.cleanup()

    def _named(self, name: str) -> Pod:
        found = [pod for pod in self.pods if pod.name == name]
        if not found:
            raise web.HTTPNotFound(text=json.dumps({"kind": "Status", "code": 404}))
        return found[0]

    async def _list(self, request: web.Request) -> web.StreamResponse:
        name = request.query["fieldSelector"].removeprefix("metadata.name=")
        if request.query.get("watch") == "True":
            self.used.add(("watch", "pods"))
            return await self._watch(request, self._named(name))
        self.used.add(("list", "pods"))
        own = name == self._inhabitant["metadata"]["name"]
        items = [self._inhabitant] if own else [self._named(name).seen[-1]]
        return web.json_response({"apiVersion": "v1", "kind": "PodList", "items": items})

    async def _watch(self, request: web.Request, pod: Pod) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        count = 0
        while True:
            await pod.until(lambda: len(pod.seen) > count)  # noqa: B023 (it is awaited here)
            for shown in pod.seen[count:]:
                event = {"type": "MODIFIED" if count else "ADDED", "object": shown}
                await response.write(json.dumps(event).encode() + b"\n")
                count += 1

    async def _create(self, request: web.Request) -> web.StreamResponse:
        self.used.add(("create", "pods"))
        document = await request.json()
        wrong = await asyncio.to_thread(self._check, document)
        try:
            arguments = self._node.arguments(document)
        except (ValueError, LookupError) as error:
            wrong = wrong or repr(error)
        if wrong:
            self.refused.append(wrong)
            return web.json_response({"kind": "Status", "code": 422, "message": wrong}, status=422)
        name = document["metadata"]["name"]
        pod = Pod(document, len(self.pods) + 1, self._node.scratch / f"{name}.log")
        await pod.note("Pending", {"waiting": {"reason": "ContainerCreating"}})
        self.pods.append(pod)
        task = asyncio.create_task(self._run(pod, arguments))
        self._tasks.add(task)
        return web.json_response(pod.seen[0], status=201)

    async def _run(self, pod: Pod, arguments: list[str]) -> None:
        started = datetime.now(UTC).isoformat()
        self._containers.add(pod.name)
        try:
            with pod.log.open("wb") as log:
                container = await asyncio.create_subprocess_exec(
                    *(self._node.engine.name, *arguments),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
                await pod.note("Running", {"running": {"startedAt": started}})
                code = await container.wait()
        finally:
            self._containers.discard(pod.name)
        pod.exit_code = code
        state = {
            "exitCode": code,
            "startedAt": started,
            "finishedAt": datetime.now(UTC).isoformat(),
        }
        await pod.note("Failed" if code else "Succeeded", {"terminated": state})

    async def _log(self, request: web.Request) -> web.StreamResponse:
        """Answer with the log of a pod when its container has ended."""
        self.used.add(("get", "pods/log"))
        pod = self._named(request.match_info["name"])
        assert request.query["follow"] == "True"
        await pod.until(lambda: pod.exit_code is not None)
        return web.Response(body=pod.log.read_bytes(), content_type="text/plain")

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        self.used.add(("delete", "pods"))
        pod = self._named(request.match_info["name"])
        if pod.exit_code is None:
            await asyncio.to_thread(self._node.engine, "stop", pod.name)
        return web.json_response(pod.seen[-1])
