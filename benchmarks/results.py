"""What has been measured, as it is kept in results.json."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Product:
    """A product that was staged.

    Attributes:
        size: megabytes that it was to have.
        files: bytes of each of its files.
        part: bytes of each of those that three bands need.
    """

    size: int
    files: list[int]
    part: list[int]


@dataclass(frozen=True)
class Run:
    """One run of one contestant.

    Attributes:
        scenario: key of the scenario.
        size: the product's `size`.
        contestant: key of the contestant.
        round: counted from 1.
        wall: seconds from exec to exit.
        cpu: seconds of processor time.
        memory: peak bytes of the process tree.
        disk: peak bytes allocated.
        sent: bytes on the wire.
        most_open: downloads open at once.
        fastest: bytes per second of the fastest download, or None.
        refused: answers 429.
        failure: why it did not do its job; empty if it did.
    """

    scenario: str
    size: int
    contestant: str
    round: int
    wall: float
    cpu: float
    memory: int
    disk: int
    sent: int
    most_open: int
    fastest: float | None
    refused: int
    failure: str


@dataclass(frozen=True)
class Results:
    """All that one call of the benchmark has measured.

    Attributes:
        date: the day, in UTC.
        machine: what figures depend on, by name.
        matrix: size of the product that all contestants had in all scenarios.
        products: what was staged.
        runs: in the order in which they were made.
    """

    date: str
    machine: dict[str, str]
    matrix: int
    products: list[Product]
    runs: list[Run]

    def write(self, path: Path) -> None:
        """Write them as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` has written."""
        fields = json.loads(path.read_text())
        return cls(
            fields["date"],
            fields["machine"],
            fields["matrix"],
            [Product(**product) for product in fields["products"]],
            [Run(**run) for run in fields["runs"]],
        )
