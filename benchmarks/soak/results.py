"""What long runs have shown, as it is kept in soak.json."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from benchmarks.soak.conditions import Traffic


@dataclass(frozen=True)
class Reading:
    """One product in a series, and what the process held after it.

    Attributes:
        number: of the order.
        wall: seconds.
        files: open file descriptors.
        sockets: those of them that are sockets.
        threads: threads that Python knows.
        tasks: threads that the kernel knows.
        memory: bytes of the resident set.
        heap: bytes that malloc has given and not got back; 0 where it doesn't tell.
        blocks: blocks of memory that the interpreter has allocated.
        failure: why it was not staged; empty if it was.
    """

    number: int
    wall: float
    files: int
    sockets: int
    threads: int
    tasks: int
    memory: int
    heap: int
    blocks: int
    failure: str


@dataclass(frozen=True)
class Job:
    """One product that a process of its own has staged, beside others.

    Attributes:
        number: of the order.
        wall: seconds from exec to exit.
        cpu: seconds of processor time.
        memory: peak bytes of the resident set.
        failure: why it was not staged; empty if it was.
    """

    number: int
    wall: float
    cpu: float
    memory: int
    failure: str


@dataclass(frozen=True)
class Results:
    """All that one call has shown.

    Attributes:
        date: the day, in UTC.
        machine: what figures depend on, by name.
        seed: what chance was drawn from.
        side_by_side: processes at once.
        serial: the products one after another.
        serial_seconds: how long all of them took.
        serial_traffic: what the platform saw of them.
        jobs: the products side by side, in the order in which they ended.
        jobs_seconds: how long all of them took.
        jobs_traffic: what the platform saw of them.
    """

    date: str
    machine: dict[str, str]
    seed: int
    side_by_side: int
    serial: list[Reading]
    serial_seconds: float
    serial_traffic: Traffic
    jobs: list[Job]
    jobs_seconds: float
    jobs_traffic: Traffic

    @property
    def failures(self) -> list[str]:
        """What was not staged, and why."""
        return [
            f"{how}, product {one.number + 1}: {one.failure}"
            for how, those in (("one after another", self.serial), ("side by side", self.jobs))
            for one in those
            if one.failure
        ]

    def write(self, path: Path) -> None:
        """Write them as JSON, one product a line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fields = asdict(self)
        parts = []
        for name, value in fields.items():
            text = json.dumps(value)
            if name in ("serial", "jobs"):
                text = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
            parts.append(f' "{name}": {text}')
        path.write_text("{\n" + ",\n".join(parts) + "\n}\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` has written."""
        fields = json.loads(path.read_text())
        fields["serial"] = [Reading(**reading) for reading in fields["serial"]]
        fields["jobs"] = [Job(**job) for job in fields["jobs"]]
        for name in ("serial_traffic", "jobs_traffic"):
            fields[name] = Traffic(**fields[name])
        return cls(**fields)
