"""The command blocks of a page, and what is needed to run them as a reader would.

A block is fenced or indented code. Blocks for a shell run with `sh -eu`; every other block names
its language. A block that needs an account of the platform uses the sandbox instead: it names the
platform, or `<!-- account -->` precedes it.
"""

import os
import re
import shutil
import subprocess
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import psutil
from markdown_it import MarkdownIt

from sandbox.server import Sandbox
from sandbox.tokens import Account

ROOT = Path(__file__).parents[1]
COMMANDS = {"sh", "bash", "shell", ""}
DATA = {"text", "yaml", "json", "python", "mermaid", "xml", "toml"}
MARK = re.compile(r"<!-- *([a-z][a-z-]*) *-->")
ENGINE = re.compile(r"\bmake (image|sbom|test-runners)\b|--podman\b|^ *(podman|docker) ", re.M)
ACCOUNT = re.compile(r"dataspace\.copernicus\.eu|\bcdse-token\b|\bparams\.local\.yml\b")
ITEM = re.compile(r"https://(stac|catalogue)\.dataspace\.copernicus\.eu/\S*/items/[^\s\"']+")
PLACEHOLDER = re.compile(r"<[a-z][a-z -]*>|…|paste an? ")
# Each block starts in the clone, which exists already.
CLONING = re.compile(r"^(git clone .*|cd stage-in)$", re.M)
# These settings may be needed to reach the package index.
SETTINGS = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "XDG_RUNTIME_DIR", "CONTAINERS_CONF")
PRESERVING = " ".join(
    f"--preserve-environment {name}" for name in ("CDSE_TRUSTED_HOSTS", "CDSE_IDENTITY_URL")
)
MAX_SECONDS = 600  # A block may install all that the tests need, from a slow package index.


@dataclass(frozen=True)
class Block:
    """A block of code of a page.

    Attributes:
        place: the page and the line.
        language: the language that the fence names, or an empty string.
        marks: the words of the comments that precede it.
        text: the code.
    """

    place: str
    language: str
    marks: frozenset[str]
    text: str

    @property
    def is_command(self) -> bool:
        """Whether the block is for a shell.

        Raises:
            ValueError: its language is not known.
        """
        if self.language not in COMMANDS | DATA:
            raise ValueError(
                f"{self.place}: expected a block of {sorted(COMMANDS - {''})}, or one of "
                f"{sorted(DATA)}, which are not run, found {self.language!r}"
            )
        return self.language in COMMANDS

    @property
    def needs_engine(self) -> bool:
        """Whether the block needs a container engine."""
        return bool(ENGINE.search(self.text))

    @property
    def needs_account(self) -> bool:
        """Whether the block needs an account of the platform."""
        return "account" in self.marks or bool(ACCOUNT.search(self.text))

    def fill(self, item: str) -> str:
        """Return the commands to run, with the URL of an item in place of the platform's items.

        Raises:
            ValueError: the reader has to replace something in the commands.
        """
        text = CLONING.sub("true", ITEM.sub(lambda _: item, self.text))
        if left := PLACEHOLDER.search(text):
            raise ValueError(
                f"{self.place}: expected commands that run without changes, found {left[0]!r}"
            )
        return text


def read_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in its order."""
    blocks = []
    marks: list[str] = []
    for token in MarkdownIt("commonmark").parse(page.read_text()):
        if token.type == "html_block":
            marks += MARK.findall(token.content)
        elif token.type in {"fence", "code_block"}:
            place = f"{page.name}:{token.map[0] + 1 if token.map else 0}"
            language = token.info.split()[0] if token.info.strip() else ""
            blocks.append(Block(place, language, frozenset(marks), token.content))
            marks = []
        elif token.nesting >= 0 and token.level == 0:
            marks = []
    return blocks


@dataclass(frozen=True)
class Reader:
    """Someone who follows a page with a copy of the repository, an empty home and a bare Python.

    Attributes:
        folder: the parent folder of all of these.
        platform: the sandbox that stands in for the platform.
        item: the URL of an item of the sandbox.
    """

    folder: Path
    platform: Sandbox
    item: str

    @property
    def clone(self) -> Path:
        """The copy of the repository."""
        return self.folder / "stage-in"

    def settle(self) -> None:
        """Make what a reader has before the first command."""
        copy_repository(self.clone)
        (self.folder / "home").mkdir()
        venv.create(self.folder / "python", with_pip=True, symlinks=True)

    def make_environment(self) -> dict[str, str]:
        """Return the variables of an empty shell that can reach the sandbox."""
        base = Path(sysconfig.get_config_var("BINDIR"))
        path = [self.folder / "python/bin", base, *os.defpath.split(os.pathsep)]
        settings = {name: text for name, text in os.environ.items() if name.startswith(SETTINGS)}
        return {
            **settings,
            **self.platform.environment,
            "PATH": os.pathsep.join(dict.fromkeys(map(str, filter(None, path)))),
            "HOME": str(self.folder / "home"),
            # What pip or uv fetched for other tests isn't fetched again.
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "CWLTOOL_OPTIONS": PRESERVING,
            # `make test` runs only these tests: whoever runs this test runs all the others.
            "PYTEST_ADDOPTS": "tests/test_urls.py",
        }

    def run(self, block: Block, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a block to its end; without a terminal, `cdse-token` reads its answers from stdin.

        Raises:
            AssertionError: the block did not end in time. Its processes are killed.
        """
        with subprocess.Popen(
            ["sh", "-euc", block.fill(self.item)],
            cwd=self.clone,
            env={**self.make_environment(), **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        ) as shell:
            answers = f"{Account().name}\n{Account().password}\n\n"
            try:
                out, log = shell.communicate(answers, timeout=MAX_SECONDS)
            except subprocess.TimeoutExpired:
                running = [psutil.Process(shell.pid)]
                running += running[0].children(recursive=True)
                commands = "\n".join(" ".join(process.cmdline()) for process in running)
                for process in running:
                    process.kill()
                out, log = shell.communicate()
                raise AssertionError(
                    f"{block.place} did not end within {MAX_SECONDS} s; these still ran:\n"
                    f"{commands}\nand this had been written:\n{out}{log}"
                ) from None
        return subprocess.CompletedProcess(shell.args, shell.returncode, out, log)


def copy_repository(folder: Path) -> None:
    """Copy what a clone would have if all changes were committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:  # CI runs some tests in a copy that is not a clone.
        left_out = (".venv", ".git", "demo", "*_cache", "__pycache__", "*.tar")
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*left_out), symlinks=True)
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
