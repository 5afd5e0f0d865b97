"""`make mutants`: each sabotage in sabotages.toml breaks one promise, and a test has to fail.

The sabotages are applied one at a time, in copies of the checkout. For each, the fast tests of the
sabotaged module run, and no others. `python -m tests.mutants trust` tries those of transfer/trust.
"""

import shutil
import subprocess
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import click

ROOT = Path(__file__).parents[2]
SOURCE = Path("command-line-tools/stage-in/src/stage_in")
COPIES = 2  # each runs the tests of one sabotage at a time
TIME_LIMIT = 300.0  # seconds for the tests of one sabotage
LEFT_OUT = shutil.ignore_patterns(".git", ".*_cache", ".hypothesis", ".venv", "build", "demo")
VERDICTS = {0: "SURVIVED", 1: "caught"}  # by the exit code of pytest


@dataclass(frozen=True)
class Sabotage:
    promise: str
    file: str  # below SOURCE
    text: str  # is in the file exactly once,
    becomes: str  # and is replaced by this
    tests: tuple[str, ...] = ()  # names for pytest; by default the file that mirrors the module

    @property
    def test_files(self) -> list[str]:
        path = Path("tests", self.file)
        return [*self.tests] or [str(path.with_name(f"test_{path.name}"))]

    def apply(self, checkout: Path) -> tuple[str, str]:
        """Return the content of the file, and what it becomes."""
        content = (checkout / SOURCE / self.file).read_text()
        if (count := content.count(self.text)) != 1:
            raise click.ClickException(
                f"expected this text once in {self.file}, found it {count} times:\n{self.text}"
            )
        return content, content.replace(self.text, self.becomes)


def make_copy(folder: Path) -> Path:
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
    subprocess.run(["make", ".venv/ready"], cwd=folder, check=True, capture_output=True)
    return folder


def run_tests(checkout: Path, files: list[str]) -> tuple[int, str]:
    """Return the exit code of pytest, and the test that failed or the end of what it printed."""
    python = checkout / ".venv/bin/python"
    command = [python, "-m", "pytest", "-x", "-q", "-m", "not slow", "--timeout=60", *files]
    try:
        run = subprocess.run(
            command, cwd=checkout, capture_output=True, text=True, timeout=TIME_LIMIT
        )
    except subprocess.TimeoutExpired:
        return 1, f"no end in {TIME_LIMIT:.0f} s"
    failed = [line[7:].split(" - ")[0] for line in run.stdout.splitlines() if line[:7] == "FAILED "]
    return run.returncode, failed[0] if failed else run.stdout[-1000:]


@click.command()
@click.argument("modules", nargs=-1)
def main(modules: tuple[str, ...]) -> None:
    """Try all sabotages, or those of the modules whose path contains one of the words."""
    document = tomllib.loads(Path(__file__).with_name("sabotages.toml").read_text())
    sabotages = [Sabotage(**fields) for fields in document["sabotage"]]
    sabotages = [x for x in sabotages if not modules or any(word in x.file for word in modules)]
    for sabotage in sabotages:
        sabotage.apply(ROOT)  # before anything takes time
    started = time.monotonic()
    copies: SimpleQueue[Path] = SimpleQueue()

    def check_unchanged(file: str) -> None:
        copy = copies.get()
        code, found = run_tests(copy, [file])
        if code:  # perhaps the machine was busy
            code, found = run_tests(copy, [file])
        copies.put(copy)
        if code:
            raise click.ClickException(f"{file} fails without a sabotage: {found}")

    def is_caught(sabotage: Sabotage) -> bool:
        copy = copies.get()
        original, sabotaged = sabotage.apply(copy)
        (copy / SOURCE / sabotage.file).write_text(sabotaged)
        code, found = run_tests(copy, sabotage.test_files)
        (copy / SOURCE / sabotage.file).write_text(original)
        copies.put(copy)
        verdict = VERDICTS.get(code, f"BROKEN, as pytest ends with {code}")
        click.echo(f"{verdict}: {sabotage.file}: {sabotage.promise}\n    {found}")
        return code == 1

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(COPIES) as pool:
        for copy in pool.map(make_copy, [Path(folder, str(n)) for n in range(COPIES)]):
            copies.put(copy)
        list(pool.map(check_unchanged, sorted({f for x in sabotages for f in x.test_files})))
        caught = sum(pool.map(is_caught, sabotages))
    minutes = (time.monotonic() - started) / 60
    click.echo(f"{caught} of {len(sabotages)} sabotages were caught, in {minutes:.0f} minutes")
    if caught < len(sabotages):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
