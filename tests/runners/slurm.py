"""A Slurm cluster of one node, with all its files in one folder.

Daemons and jobs run as the user who runs the tests, so that neither root nor /etc/slurm is needed.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

NODE = "one"
CPUS = 3  # may be more than the machine has, so that jobs run in parallel
PATIENCE = 60  # seconds to wait until the node is up, or idle

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={munge}/socket
SlurmUser={user}
SlurmdUser={user}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=8192
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def find_program(name: str) -> str:
    """Return the path of a program of Slurm or munge; the daemons may not be on PATH."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        raise FileNotFoundError(
            f"expected {name} to be installed: install Debian's packages slurm-wlm and munge"
        )
    return path


def find_ports(number: int) -> list[int]:
    """Return ports that were free a moment ago."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Slurm:
    """A Slurm cluster that runs as long as the context lasts.

    Attributes:
        folder: Its logs, and the scripts and environments of jobs.
        environment: The variables by which Slurm's clients find it.
    """

    def __init__(self, folder: Path) -> None:
        """Configure it in an empty folder."""
        self.folder = folder / "slurm"
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._munge = folder / "munge"
        self._user = pwd.getpwuid(os.getuid()).pw_name
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        controller_port, node_port = find_ports(2)
        for path in (self.folder, self.folder / "state", self.folder / "spool", self._munge):
            path.mkdir()
        key = self._munge / "key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        (folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                host=socket.gethostname().partition(".")[0],
                controller_port=controller_port,
                node_port=node_port,
                folder=self.folder,
                munge=self._munge,
                user=self._user,
                node=NODE,
                cpus=CPUS,
            )
        )

    def __enter__(self) -> Self:
        """Start the daemons, and wait for the node to be idle."""
        try:
            self._start(
                "munged",
                # by default it requires a socket that all users can reach
                *("--foreground", "--force", f"--log-file={self._munge}/log"),
                *(f"--{name}-file={self._munge}/{name}" for name in ("key", "pid", "seed")),
                f"--socket={self._munge}/socket",
            )
            self._wait(lambda: (self._munge / "socket").exists())
            self._start("slurmctld", "-D")
            self._start("slurmd", "-D", "-N", NODE)
            self._wait(lambda: self("sinfo", "--noheader", "--format=%T").stdout.strip() == "idle")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cancel the jobs that are left, and stop."""
        try:
            self("scancel", f"--user={self._user}")
            self._wait(lambda: not self("squeue", "--noheader").stdout)
        finally:
            self._stop()

    def __call__(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one of Slurm's client commands."""
        return subprocess.run(
            [find_program(command[0]), *command[1:]],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    @property
    def jobs(self) -> list[dict[str, str]]:
        """The jobs that Slurm remembers, which it does for 300 s after their end."""
        records = self("scontrol", "show", "job", "--oneliner").stdout.splitlines()
        return [
            dict(word.split("=", 1) for word in record.split() if "=" in word)
            for record in records
            if record.startswith("JobId=")
        ]

    def _start(self, name: str, *options: str) -> None:
        with (self.folder / f"{name}.out").open("wb") as out:
            self._daemons[name] = subprocess.Popen(
                [find_program(name), *options],
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def _wait(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition while all daemons run."""
        end = time.monotonic() + PATIENCE
        while not condition():
            for name, daemon in self._daemons.items():
                if daemon.poll() is not None:
                    raise RuntimeError(
                        f"{name} ended with {daemon.returncode}: {self._get_output(name)}"
                    )
            if time.monotonic() > end:
                outputs = "\n".join(map(self._get_output, self._daemons))
                raise TimeoutError(f"Slurm was not ready after {PATIENCE} s:\n{outputs}")
            time.sleep(0.2)

    def _get_output(self, name: str) -> str:
        """Return the end of a daemon's output."""
        return (self.folder / f"{name}.out").read_text(errors="replace")[-2000:]

    def _stop(self) -> None:
        """Stop the daemons in reverse order."""
        while self._daemons:
            _, daemon = self._daemons.popitem()
            daemon.terminate()
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
