"""A node of a cluster: it runs a pod of Argo in a container engine, by the spec of the pod."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.runners.conftest import Engine

RUNTIME_DEFAULT = {"type": "RuntimeDefault"}
_REFERENCE = re.compile(r"\$(?:\$|\((?P<name>[A-Za-z_.-][\w.-]*)\))")


@contextmanager
def fields(part: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """Yield a copy from which the caller must take every field, so that none is ignored.

    Raises:
        ValueError: A field is left.
    """
    rest = dict(part)
    yield rest
    if rest:
        raise ValueError(f"{where}: expected only known fields, found {json.dumps(rest)}")


def check(where: str, found: Any, *expected: Any) -> None:
    """Raise ValueError unless a value is one of the expected ones."""
    if found not in expected:
        raise ValueError(f"{where}: expected one of {expected}, found {found!r}")


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Replace $(NAME) as a kubelet does: unknown names stay as they are, and $$ becomes $."""

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        return "$" if name is None else environment.get(name, match[0])

    return _REFERENCE.sub(value, text)


@dataclass(frozen=True)
class Node:
    """Runs pods of one container in an engine.

    Attributes:
        engine: The engine.
        scratch: A folder for volumes that exist as long as a pod.
        claims: The folder of each PersistentVolumeClaim.
        secrets: The data of each Secret.
    """

    engine: Engine
    scratch: Path
    claims: Mapping[str, Path] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        """Return the variables of a container."""
        found: dict[str, str] = {}
        for variable in container.get("env", []):
            with fields(variable, "env") as rest:
                name = rest.pop("name")
                if "valueFrom" not in rest:
                    found[name] = expand(rest.pop("value", ""), found)
                    continue
                with fields(rest.pop("valueFrom"), name) as source:
                    value = self._value(source)
                if value is not None:
                    found[name] = value
        return found

    def _value(self, source: dict[str, Any]) -> str | None:
        with fields(source.pop("secretKeyRef"), "secretKeyRef") as reference:
            secret, key = reference.pop("name"), reference.pop("key")
            value = self.secrets.get(secret, {}).get(key)
            if not reference.pop("optional", False) and value is None:
                raise ValueError(f"expected a Secret {secret} with {key}, found none")
            return value

    def arguments(self, pod: Mapping[str, Any]) -> list[str]:
        """Return the arguments of the engine's command that runs a pod."""
        name = pod["metadata"]["name"]
        with fields(pod["spec"], "spec") as spec:
            volumes = {one["name"]: self._volume(name, one) for one in spec.pop("volumes", [])}
            (container,) = spec.pop("containers")
            context = spec.pop("securityContext", {})
            for unused in ("initContainers", "nodeSelector"):
                check(unused, spec.pop(unused, None), None, [], {})
            for cluster in ("restartPolicy", "serviceAccountName", "automountServiceAccountToken"):
                spec.pop(cluster, None)
        environment = self.environment(container)
        with fields(container, "container") as rest:
            for other in ("name", "env"):
                rest.pop(other, None)
            check("imagePullPolicy", rest.pop("imagePullPolicy", None), None, "IfNotPresent")
            image = rest.pop("image")
            command, args = (
                [expand(text, environment) for text in rest.pop(part, [])]
                for part in ("command", "args")
            )
            options = [
                *("--rm", "--pull", "never", "--name", name),
                *("--network", "host"),  # the sandbox is at 127.0.0.1
                *self._limits(rest.pop("resources", {})),
                *self._identity({**context, **rest.pop("securityContext", {})}),
                *self._environment_file(name, environment),
                *(x for mount in rest.pop("volumeMounts", []) for x in self._mount(mount, volumes)),
            ]
            if "workingDir" in rest:
                options += ["--workdir", rest.pop("workingDir")]
        if command:
            options += ["--entrypoint", command[0]]
        return ["run", *options, image, *command[1:], *args]

    def _volume(self, pod: str, volume: Mapping[str, Any]) -> Path:
        with fields(volume, "volume") as rest:
            name = rest.pop("name")
            if "persistentVolumeClaim" in rest:
                with fields(rest.pop("persistentVolumeClaim"), name) as claim:
                    check("readOnly", claim.pop("readOnly", False), False)
                    return self.claims[claim.pop("claimName")]
            check("emptyDir", rest.pop("emptyDir"), {})
        folder = self.scratch / pod / name
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        return folder

    def _mount(self, mount: Mapping[str, Any], volumes: Mapping[str, Path]) -> list[str]:
        with fields(mount, "volumeMount") as rest:
            source = volumes[rest.pop("name")] / rest.pop("subPath", "")
            source.mkdir(
                parents=True, exist_ok=True
            )  # a kubelet makes the folder of a subPath, too
            mode = "ro" if rest.pop("readOnly", False) else "rw"
            return ["--volume", f"{source}:{rest.pop('mountPath')}:{mode}"]

    def _limits(self, resources: Mapping[str, Any]) -> list[str]:
        with fields(resources, "resources") as rest:
            rest.pop("requests", None)  # for the scheduler
            with fields(rest.pop("limits", {}), "limits") as limits:
                memory = limits.pop("memory", None)
        return ["--memory", memory.removesuffix("i").lower()] if memory else []

    def _identity(self, context: Mapping[str, Any]) -> list[str]:
        with fields(context, "securityContext") as rest:
            user, group = rest.pop("runAsUser"), rest.pop("runAsGroup")
            if rest.pop("runAsNonRoot", False) and user == 0:
                raise ValueError("runAsNonRoot: expected another user than 0")
            rest.pop("fsGroup", None)  # the folders of the volumes belong to this user
            check("seccompProfile", rest.pop("seccompProfile", None), None, RUNTIME_DEFAULT)
            options = ["--user", f"{user}:{group}"]
            if self.engine.name == "podman" and os.getuid() != 0:
                options += ["--userns", f"keep-id:uid={user},gid={group}"]
            if not rest.pop("allowPrivilegeEscalation", True):
                options += ["--security-opt", "no-new-privileges"]
            for capability in rest.pop("capabilities", {"drop": []})["drop"]:
                options += ["--cap-drop", capability]
            if rest.pop("readOnlyRootFilesystem", False):
                options += ["--read-only"]
                if self.engine.name == "podman":  # it would mount a writable /tmp by default
                    options += ["--read-only-tmpfs=false"]
        return options

    def _environment_file(self, pod: str, environment: Mapping[str, str]) -> list[str]:
        """Write the variables to a file, so that they are in no argument list."""
        if any("\n" in value for value in environment.values()):
            raise ValueError("expected values of one line")
        file = self.scratch / f"{pod}.env"
        file.touch(mode=0o600)
        file.write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
        return ["--env-file", str(file)]
