"""The machine that is measured on."""

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path


def describe_machine(folder: Path) -> dict[str, str]:
    """Return what figures depend on, by name.

    Args:
        folder: where is measured: its file system is told.
    """
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "Processor": f"{model[1] if model else platform.machine()}, "
        f"{len(os.sched_getaffinity(0))} cores",
        "Memory": f"{int(memory[1]) / 1024**2:.0f} GiB" if memory else "unknown",
        "File system": _get_file_system(folder),
        "System": f"Linux {'.'.join(platform.release().split('.')[:2])}",
        "Python": platform.python_version(),
        "stage-in": version("stage-in"),
        "requests": f"{version('requests')}, urllib3 {version('urllib3')}",
        "curl": _get_version("curl", "--version"),
        "unzip": _get_version("unzip", "-v"),
    }


def _get_file_system(folder: Path) -> str:
    """Find the type of the mount that is nearest above a folder."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    above = [
        (len(place), kind)
        for _, place, kind, *_ in mounts
        if folder.resolve().is_relative_to(place)
    ]
    return max(above)[1] if above else "unknown"


def _get_version(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return "not installed"
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    match = re.search(r"\d+\.\d[\w.]*", text)
    return match[0] if match else "unknown"
