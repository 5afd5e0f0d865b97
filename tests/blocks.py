"""The command blocks of a page, and what it takes to run them as its reader would.

A block is code that is indented or fenced. It is run by `sh -eu`; what isn't for a shell names its
language. A block that needs an account is run on the sandbox: by the platform's name in it, or by
`<!-- account -->` in front of it.

As a program it runs a command on a terminal, and answers what `cdse-token` asks there.
"""

import os
import pty
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

from sandbox.server import Sandbox
from sandbox.tokens import Account

ROOT = Path(__file__).parents[1]
COMMANDS = {"sh", "bash", "shell", ""}
DATA = {"text", "yaml", "json", "python", "mermaid", "xml", "toml"}
MARK = re.compile(r"<!-- *([a-z]+) *-->")
ENGINE = re.compile(r"\bmake (image|sbom|test-runners)\b|--podman\b|^ *(podman|docker) ", re.M)
ACCOUNT = re.compile(r"dataspace\.copernicus\.eu|\bcdse-token\b|\bparams\.local\.yml\b")
ITEM = re.compile(r"https://(stac|catalogue)\.dataspace\.copernicus\.eu/\S*/items/[^\s\"']+")
PLACEHOLDER = re.compile(r"<[a-z][a-z -]*>|…|paste an? ")
# The clone is there already, and is where a block begins.
CLONING = re.compile(r"^(git clone .*|cd stage-in)$", re.M)
# What reaches the package index through whatever is between.
SETTINGS = ("PIP_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "XDG_RUNTIME_DIR", "CONTAINERS_CONF")
ANSWERS = {b"User: ": Account().name, b"Password: ": Account().password, b"One-time code": ""}
PRESERVING = " ".join(
    f"--preserve-environment {name}" for name in ("CDSE_TRUSTED_HOSTS", "CDSE_IDENTITY_URL")
)
LONGEST = 1500  # seconds that a block may take, which may install all that the tests need


@dataclass(frozen=True)
class Block:
    """A block of code of a page.

    Attributes:
        place: Page and line.
        language: What it says it is; empty if it doesn't.
        marks: Words of comments in front of it.
        text: Itself.
    """

    place: str
    language: str
    marks: frozenset[str]
    text: str

    @property
    def is_command(self) -> bool:
        """Whether it is for a shell.

        Raises:
            ValueError: That can't be told.
        """
        if self.language not in COMMANDS | DATA:
            raise ValueError(
                f"{self.place}: expected a block of {sorted(COMMANDS - {''})}, or of what is never "
                f"run, {sorted(DATA)}, found {self.language!r}"
            )
        return self.language in COMMANDS

    @property
    def needs_engine(self) -> bool:
        """Whether it needs a container engine."""
        return bool(ENGINE.search(self.text))

    @property
    def needs_account(self) -> bool:
        """Whether it needs an account of the platform."""
        return "account" in self.marks or bool(ACCOUNT.search(self.text))

    def fill(self, item: str) -> str:
        """Return what to run.

        Args:
            item: URL of an item, in place of any of the platform's.

        Raises:
            ValueError: It has what is meant to be replaced by the reader.
        """
        text = CLONING.sub("true", ITEM.sub(lambda _: item, self.text))
        if left := PLACEHOLDER.search(text):
            raise ValueError(
                f"{self.place}: expected commands that can be run as they are, found {left[0]!r}"
            )
        return text


def read_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in its order."""
    from markdown_it import MarkdownIt

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
    """Who follows a page: with a copy of the repository, an empty home, and a bare Python.

    Attributes:
        folder: Where all of that is.
        platform: What stands in for the Copernicus Data Space.
        item: URL of an item there.
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
        """Return the variables: those of an empty shell, and by which the sandbox is reached."""
        base = Path(sysconfig.get_config_var("BINDIR"))
        path = [self.folder / "python/bin", base, *os.defpath.split(os.pathsep)]
        settings = {name: text for name, text in os.environ.items() if name.startswith(SETTINGS)}
        return {
            **settings,
            **self.platform.environment,
            "PATH": os.pathsep.join(dict.fromkeys(map(str, filter(None, path)))),
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            # A runner's tool has a clean environment.
            "CWLTOOL_OPTIONS": PRESERVING,
            # `make test` as a reader would find it; all the tests are run by whoever runs this one.
            "PYTEST_ADDOPTS": "tests/test_readme.py",
        }

    def run(self, block: Block, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a block to its end, on a terminal."""
        return subprocess.run(
            [sys.executable, "-m", "tests.blocks", self.clone, "sh", "-euc", block.fill(self.item)],
            cwd=ROOT,
            env={**self.make_environment(), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )


def copy_repository(folder: Path) -> None:
    """Copy what a clone would have after a commit of all that is here."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:  # no clone: CI's copy for an ordinary user
        left_out = shutil.ignore_patterns(
            ".venv", ".git", "demo", "*_cache", "__pycache__", "*.tar"
        )
        shutil.copytree(ROOT, folder, ignore=left_out, symlinks=True)
        return
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)


def answer(terminal: int) -> bytes:
    """Read what a terminal shows, and type what it asks for."""
    shown = os.read(terminal, 4096)
    for question, text in ANSWERS.items():
        if question in shown:
            os.write(terminal, f"{text}\n".encode())
    return shown


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[2:], answer)))
