"""Write environment.yml: the tool with the versions of its lock, and cwltool."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOL = "command-line-tools/stage-in"
_PIN = re.compile(r"^(?P<pin>[a-z0-9.-]+==[^\s;\\]+)(?P<marker> ; [^\\]+?)? ?\\?$", re.MULTILINE)


def read_pins(lock: Path) -> list[str]:
    """Return the pinned requirements of a lock file, with their markers, in its order."""
    return [f"{match['pin']}{match['marker'] or ''}" for match in _PIN.finditer(lock.read_text())]


def make_environment() -> str:
    """Return the text of environment.yml."""
    pins = read_pins(ROOT / TOOL / "requirements.lock")
    development = read_pins(ROOT / "tests/requirements.lock")
    cwltool = next(pin for pin in development if pin.startswith("cwltool=="))
    lines = [
        "# Written by `make lock` from the lock files.",
        "name: stage-in",
        "channels: [conda-forge]",
        "dependencies:",
        "  - python>=3.11",
        "  - pip",
        "  - pip:",
        *(f"      - {pin}" for pin in [*pins, cwltool]),
        f"      - ./{TOOL}",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(make_environment())
