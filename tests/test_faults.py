"""Each fault on each source, once and for ever: the whole catalog, or the right exit code.

No run prints or writes a secret, and none reaches whom it is not meant for: that is asserted of
every run in here.
"""

import hashlib
import json
import re
import shutil
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from sandbox.server import Sandbox
from sandbox.tokens import Account
from tests.conftest import Run, SameTree
from tests.forked import Forked

ACCOUNT = Account("someone", "pass-word:0815/4711")

# Which requests a fault strikes, and by which transport they are made.
SOURCES = {
    "item": ("on=stac path=*/items/*", "nodes"),
    "listing": ("on=download path=*/Nodes", "nodes"),
    "manifest": ("on=download path=*manifest.safe)/$value", "nodes"),
    "file": ("on=download path=*_B03.jp2)/$value", "nodes"),
    "zip": ("on=download path=*Products(*)/$value", "zip"),
    "token": ("on=identity", "nodes"),
}

# What a run ends with if the fault stays; if it strikes once, all end with 0.
MATRIX = """\
fault                                  item  listing  manifest  file  zip  token
status=400                               65        0         0     0   65     77
status=401                               77        0        77    77   77     77
status=403                               77        0        77    77   77     77
status=404                               66        0         0     0   66     75
status=408                               75       75        75    75   75     75
status=413                               65        0         0     0   65     75
status=422                               65        0         0     0   65     75
status=429                               75       75         0     0   75     75
status=429 retry_after=1                 75       75         0     0   75     75
status=429 retry_after=date+1            75       75         0     0   75     75
status=500                               75       75        75    75   75     75
status=502                               75       75        75    75   75     75
status=503                               75       75        75    75   75     75
status=503 retry_after=1                 75       75        75    75   75     75
status=504                               75       75        75    75   75     75
html                                     65       65        65    65   65     75
empty                                    65       65        65    65   65     75
reset=start                              75       75        75    75   75     75
reset=middle                             75       75        75    75   75     75
reset=last                               75       75        75    75   75     75
cut=middle                               75       75        75    75   75     75
cut=last                                 75       75        75    75   75     75
cut=middle framing=chunked               75       75        75    75   75     75
cut=middle framing=close                 65       65        65    65   65     75
long=1                                    0        0         0     0    0      0
long=100000 framing=close                65       65        65    65   65     75
stall=30                                 75       75        75    75   75     75
stall=30 at=middle                       75       75        75    75   75     75
slow=100                                 75       75        75    75   75     75
gzip                                      0        0         0     0    0      0
corrupt=0.4                              65       65        65    65   65     75
redirect={path}                          65       65        65    65   65     75
redirect={stranger}{path}                65       65        65    65   65     75
redirect=https://zipper.invalid/{path}   75       65        65    65   65     75
redirect=ftp://127.0.0.1/{path}          65       65        65    65   65     75
redirect=file:///etc/passwd              65       65        65    65   65     75
"""


def read_matrix(*fast: str) -> list[Any]:
    """The fault, the source, and what a run ends with if the fault stays.

    Args:
        fast: the sources whose faults are tried in `make test` already.
    """
    head, *rows = MATRIX.splitlines()
    sources = head.split()[1:]
    assert sources == list(SOURCES)
    cells = [
        (" ".join(words[: -len(sources)]), source, int(code))
        for words in map(str.split, rows)
        for source, code in zip(sources, words[-len(sources) :], strict=True)
    ]
    return [
        pytest.param(*cell, marks=[] if cell[1] in fast else pytest.mark.slow) for cell in cells
    ]


@dataclass(frozen=True)
class Job:
    """Runs the command against a platform, with all secrets that there can be."""

    platform: Sandbox
    folder: Path
    forked: Forked
    safe: Path
    assert_same_tree: SameTree

    def __call__(self, expected: int, transport: str = "nodes", **options: object) -> Run:
        """Run it, and see whether it ends as it should.

        Args:
            expected: the exit code.
            transport: of the command.
            options: of the command, or variables if in capitals.
        """
        variables = {
            "CDSE_ACCESS_TOKEN": self.platform.mint(user=ACCOUNT.name),
            "CDSE_REFRESH_TOKEN": self.platform.mint_refresh(user=ACCOUNT.name),
            "CDSE_USERNAME": ACCOUNT.name,
            "CDSE_PASSWORD": ACCOUNT.password,
            **self.platform.environment,
            **{name: str(value) for name, value in options.items() if name.isupper()},
        }
        arguments = {
            "input-item": self.platform.item_url(self.safe.name),
            "transport": transport,
            **{name: str(value) for name, value in options.items() if not name.isupper()},
        }
        words = [word for name, value in arguments.items() for word in (f"--{name}", value)]
        run = self.forked([*words, "--verbose"], self.folder, variables)
        assert run.code == expected, run.log
        self._look_at_the_folder(run)
        self._look_at_the_log(run)
        self._look_for_secrets(run, variables)
        return run

    def _look_at_the_folder(self, run: Run) -> None:
        """The whole catalog, or nothing, or what the next run goes on from."""
        found = {path.name for path in self.folder.iterdir()}
        if run.code == 75:
            assert found <= {".catalog.staging"}
        elif run.code:
            assert not found
        else:
            assert found == {"catalog"}
            name = self.safe.stem
            catalog = self.folder / "catalog"
            assert {path.name for path in catalog.iterdir()} == {"catalog.json", name}
            self.assert_same_tree(self.safe, catalog / name / self.safe.name)

    def _look_at_the_log(self, run: Run) -> None:
        """The last line says why, and each line is one of the log's."""
        lines = run.log.splitlines()
        assert all(re.match(r"\d{4}-\S+ (DEBUG|INFO|SUCCESS|WARNING|ERROR) ", x) for x in lines)
        level, reason = run.reason.split(maxsplit=2)[1:]
        assert level == ("SUCCESS" if run.code == 0 else "ERROR")
        assert 20 < len(reason) < 700
        assert ("run it again" in reason) == (run.code == 75)

    def _look_for_secrets(self, run: Run, variables: dict[str, str]) -> None:
        """Nothing that is written or printed holds a secret; each went where it belongs."""
        tokens = [variables["CDSE_ACCESS_TOKEN"], variables["CDSE_REFRESH_TOKEN"]]
        shown = [exchange.header("Authorization") for exchange in self.platform.log]
        tokens += [token.removeprefix("Bearer ") for token in shown if token]
        # The last part of a token is what nobody can guess.
        secrets = {ACCOUNT.password, *(token.rpartition(".")[2] for token in tokens)} - {""}
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        for secret in secrets:
            assert secret not in run.log
            assert not [path for path in files if secret.encode() in path.read_bytes()]
            told = [exchange for exchange in self.platform.log if exchange.holds(secret)]
            assert {exchange.role for exchange in told} <= {"download", "identity"}
            assert not [exchange for exchange in told if secret in exchange.path]
        for exchange in self.platform.log.of("download"):
            assert not exchange.holds(ACCOUNT.password)
            if variables["CDSE_REFRESH_TOKEN"]:
                assert not exchange.holds(variables["CDSE_REFRESH_TOKEN"])


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked]:
    """What forks the processes of the command."""
    with Forked() as forked:
        yield forked


@pytest.fixture
def job(forked: Forked, new: Path, tmp_path: Path, assert_same_tree: SameTree) -> Iterator[Job]:
    """The command, in an empty folder, and a platform with one product."""
    folder = tmp_path / "work"
    folder.mkdir()
    with Sandbox([new], accounts=[ACCOUNT]) as platform:
        yield Job(platform, folder, forked, new, assert_same_tree)


def copy_product(safe: Path, folder: Path) -> Path:
    """A copy of a product, to edit."""
    return Path(shutil.copytree(safe, folder / safe.name))


def damage(path: Path) -> None:
    """Change one byte in the midst of a file, in XML a digit."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    if path.suffix == ".xml":
        middle += next(i for i, byte in enumerate(content[middle:]) if chr(byte).isdigit())
    content[middle] ^= 1
    path.write_bytes(content)


def get_patience(code: int) -> int:
    """How many seconds: few where their end is awaited, many where tries are counted."""
    return 2 if code == 75 else 15


def get_variables(source: str) -> dict[str, str]:
    """What it takes for a source to be asked at all."""
    return {"CDSE_ACCESS_TOKEN": ""} if source == "token" else {}


@pytest.mark.parametrize(("fault", "source", "code"), read_matrix())
def test_for_ever(job: Job, fault: str, source: str, code: int) -> None:
    where, transport = SOURCES[source]
    rule = job.platform.faults.add(f"{where} {fault}")
    job(code, transport, patience=get_patience(code), **get_variables(source))
    assert rule.used > 0


@pytest.mark.parametrize(("fault", "source", "code"), read_matrix("file"))
def test_once(job: Job, fault: str, source: str, code: int) -> None:
    """It passes, whatever it would come to if it stayed."""
    where, transport = SOURCES[source]
    rule = job.platform.faults.add(f"{where} {fault} times=1")
    # A stall is given up after a third of it, at the token endpoint after ten seconds.
    patience = 30 if source == "token" else 9
    job(0, transport, patience=patience, **get_variables(source))
    assert rule.used == 1


REFUSED = {"stac": "nodes", "download": "nodes", "identity": "nodes"}


@pytest.mark.parametrize("role", REFUSED)
def test_refused_for_ever(job: Job, role: str) -> None:
    with job.platform.down(role):
        run = job(75, patience=2, CDSE_ACCESS_TOKEN="")
    assert "Connection refused" in run.reason


@pytest.mark.parametrize("transport", ["nodes", "zip"])
@pytest.mark.parametrize("role", REFUSED)
def test_refused_for_a_while(job: Job, role: str, transport: str) -> None:
    log = job.folder.with_name("log")

    def come_back() -> None:
        """Not before it has been missed."""
        with job.platform.down(role):
            down.set()
            for _ in range(300):
                if log.exists() and "Connection refused" in log.read_text():
                    break
                time.sleep(0.05)

    down = threading.Event()
    thread = threading.Thread(target=come_back)
    thread.start()
    assert down.wait(5)
    run = job(0, transport, patience=30, CDSE_ACCESS_TOKEN="")
    thread.join()
    assert "Connection refused" in run.log


# The zip, and no single file.
ZIP = "on=download path=*Products(????????-????-????-????-????????????)/$value"

PAIRS = [
    ("on=stac html times=2", "on=stac status=503 times=2"),
    ("on=stac status=429 retry_after=1 times=1", "on=download status=429 times=4"),
    ("on=download path=*/Nodes status=404", f"{ZIP} cut=0.7 times=1"),
    ("on=download path=*manifest.safe* corrupt=0.4 times=2", "on=identity status=502 times=2"),
    (
        "on=download path=*_B03.jp2* corrupt=0.5 times=2",
        "on=download path=*_B03.jp2* cut=0.5 times=3",
    ),
    ("on=download path=*_B03.jp2* html times=1", "on=download path=*_B04.jp2* empty times=1"),
    ("on=download status=401 times=1", "on=identity reset=start times=1"),
    ("on=download path=*.jp2* stall=30 times=1", "on=download path=*.xml* reset=middle times=2"),
    ("on=download path=*_B02.jp2* gzip", "on=download path=*_B02.jp2* cut=0.5 times=2"),
    ("on=download path=*_B02.jp2* slow=100 times=1", "on=download path=*/Nodes html times=2"),
    ("on=download redirect={stranger}{path} times=2", "on=download status=500 times=3"),
    ("on=download path=*_B12.jp2* status=404", "on=download path=*_TCI.jp2* status=503 times=2"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_at_a_time(job: Job, one: str, other: str) -> None:
    rules = [job.platform.faults.add(fault) for fault in (one, other)]
    job(0, patience=30, CDSE_ACCESS_TOKEN="" if "identity" in other else job.platform.mint())
    assert all(rule.used for rule in rules)


@pytest.mark.parametrize(
    ("one", "other", "code"),
    [
        ("on=download path=*/Nodes status=422", f"{ZIP} html", 65),
        ("on=download path=*_B03.jp2* status=404", f"{ZIP} status=404", 66),
        ("on=download path=*_B03.jp2* corrupt=0.5", "on=download path=*_B04.jp2* stall=30", 65),
        ("on=download path=*_B03.jp2* status=403", "on=download path=*_B04.jp2* status=503", 77),
    ],
)  # fmt: skip
def test_two_at_a_time_for_ever(job: Job, one: str, other: str, code: int) -> None:
    rules = [job.platform.faults.add(fault) for fault in (one, other)]
    job(code, patience=20)
    assert all(rule.used for rule in rules)


@pytest.mark.parametrize("transport", ["nodes", "zip"])
@pytest.mark.parametrize("name", ["MTD_TL.xml", "MTD_MSIL1C.xml", "_B8A.jp2", "_TCI.jp2"])
def test_what_is_wrong_on_the_platform_too(
    job: Job, tmp_path: Path, name: str, transport: str
) -> None:
    """A byte of a file is another than its manifest says: neither source has the right one."""
    wrong = copy_product(job.safe, tmp_path / "wrong")
    (path,) = (path for path in wrong.rglob(f"*{name}") if "QI_DATA" not in path.parts)
    damage(path)
    with Sandbox([wrong], accounts=[ACCOUNT]) as platform:
        run = replace(job, platform=platform)(65, transport, patience=20)
    assert "sha3_256" in run.reason
    assert name in run.reason


@pytest.mark.parametrize("transport", ["nodes", "zip"])
def test_a_manifest_that_lists_what_is_not_there(job: Job, tmp_path: Path, transport: str) -> None:
    lacking = copy_product(job.safe, tmp_path / "lacking")
    next(lacking.rglob("*MSK_QUALIT_B09.jp2")).unlink()
    with Sandbox([lacking], accounts=[ACCOUNT]) as platform:
        run = replace(job, platform=platform)(65, transport, patience=20)
    assert "MSK_QUALIT_B09.jp2" in run.reason


def test_digests_of_the_item_have_no_say(job: Job) -> None:
    """What the platform's catalogue says of a file is older than the file at times."""
    item = job.platform.item(job.safe.name)
    assert any("file:checksum" in asset for asset in item["assets"].values())
    for asset in item["assets"].values():
        asset["file:checksum"] = "d50110" + "0" * 32
        asset["file:size"] = 1
    job.platform.override_item(job.safe.name, "new", item)
    job(0)
    staged = job.folder / "catalog" / job.safe.stem / f"{job.safe.stem}.json"
    text = staged.read_text()
    assert "d50110" not in text
    assert (
        hashlib.sha3_256(next(job.safe.rglob("IMG_DATA/*_B02.jp2")).read_bytes()).hexdigest()
        in text
    )


def test_a_token_that_ages_in_the_midst_of_a_file(job: Job) -> None:
    """What has begun goes on; what comes after needs another token."""
    job.platform.token_life = 2.0
    slow = job.platform.faults.add("on=download path=*IMG_DATA*_B04.jp2* slow=5000")
    job(0, connections=1, CDSE_ACCESS_TOKEN=job.platform.mint(2.0, user=ACCOUNT.name))
    assert slow.used == 1
    forms = job.platform.log.of("identity")
    assert forms
    assert all(b"refresh_token" in exchange.body for exchange in forms)


def test_a_token_that_ages_with_nothing_to_renew_it_by(job: Job) -> None:
    job.platform.faults.add("on=download path=*IMG_DATA*_B04.jp2* slow=5000")
    run = job(
        77,
        connections=1,
        CDSE_ACCESS_TOKEN=job.platform.mint(2.0, user=ACCOUNT.name),
        CDSE_REFRESH_TOKEN="",
        CDSE_USERNAME="",
    )
    assert "the access token ended" in run.reason


# -- what no rule of the sandbox does: names, certificates, and heads of answers


@pytest.mark.parametrize("host", ["catalogue.invalid", "stac.dataspace.invalid:8443"])
def test_a_name_that_nobody_knows(job: Job, host: str) -> None:
    run = job(75, patience=2, **{"input-item": f"https://{host}/item"})
    assert "resolve" in run.reason


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does with each connection whatever it is told to; its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                answer(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def drip(connection: socket.socket, text: bytes = b"HTTP/1.1 200 OK\r\nX-Slow: ") -> None:
    """An answer whose head never ends; a byte of it comes before any time-out is over."""
    connection.sendall(text)
    for _ in range(300):
        connection.sendall(b"x")
        time.sleep(0.1)


def junk(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n" * 10)


def flood(connection: socket.socket) -> None:
    """More lines of a head than anybody reads."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 100_000)


def long_line(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000_000)


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"{" * 65536)


def early(connection: socket.socket) -> None:
    """Interim answers without end (RFC 9110, section 15.2)."""
    for _ in range(300):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.1)


HEADS = [(drip, 75), (junk, 75), (flood, 75), (long_line, 75), (endless, 65), (early, 75)]


@pytest.mark.parametrize(("answer", "code"), HEADS)
def test_heads_of_answers_to_the_item(
    job: Job, answer: Callable[[socket.socket], None], code: int
) -> None:
    with listening(answer) as port:
        job(code, patience=get_patience(code), **{"input-item": f"http://127.0.0.1:{port}/item"})


@pytest.mark.parametrize("transport", ["nodes", "zip"])
@pytest.mark.parametrize(("answer", "code"), HEADS)
def test_heads_of_answers_to_a_download(
    job: Job, answer: Callable[[socket.socket], None], code: int, transport: str
) -> None:
    with listening(answer) as port:
        origin = f"http://127.0.0.1:{port}"
        item = json.dumps(job.platform.item(job.safe.name)).replace(job.platform.download, origin)
        job.platform.override_item(job.safe.name, "new", json.loads(item))
        run = job(code, transport, patience=get_patience(code), CDSE_TRUSTED_HOSTS=origin)
    assert origin in run.log


@pytest.mark.parametrize(("answer", "code"), [(drip, 75), (junk, 75), (endless, 75)])
def test_heads_of_answers_to_a_log_in(
    job: Job, answer: Callable[[socket.socket], None], code: int
) -> None:
    with listening(answer) as port:
        url = f"http://127.0.0.1:{port}/token"
        job(code, patience=2, CDSE_ACCESS_TOKEN="", CDSE_IDENTITY_URL=url)


@contextmanager
def in_front(platform: Sandbox, context: ssl.SSLContext) -> Iterator[str]:
    """The platform's download service behind TLS; its origin."""

    def pass_on(connection: socket.socket) -> None:
        address = urlsplit(platform.download)
        with (
            context.wrap_socket(connection, server_side=True) as outside,
            socket.create_connection((str(address.hostname), address.port or 80)) as inside,
        ):
            back = threading.Thread(target=copy, args=(inside, outside), daemon=True)
            back.start()
            copy(outside, inside)
            back.join(10)

    def copy(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    with listening(pass_on) as port:
        yield f"https://localhost:{port}"


def make_context(
    authority: trustme.CA, name: str = "localhost", end: datetime | None = None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=end).configure_cert(context)
    return context


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """An authority, its certificate at `authority.pem`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    return authority


def point_item_at(job: Job, origin: str) -> dict[str, str]:
    """Let the item's product lie at another origin; the variables that trust it."""
    item = json.dumps(job.platform.item(job.safe.name)).replace(job.platform.download, origin)
    job.platform.override_item(job.safe.name, "new", json.loads(item))
    return {"CDSE_TRUSTED_HOSTS": origin}


@pytest.mark.parametrize("transport", ["nodes", "zip"])
def test_by_tls(job: Job, authority: trustme.CA, tmp_path: Path, transport: str) -> None:
    bundle = str(tmp_path / "authority.pem")
    with in_front(job.platform, make_context(authority)) as origin:
        trusted = point_item_at(job, origin)
        job(0, transport, **trusted, REQUESTS_CA_BUNDLE=bundle)


@pytest.mark.parametrize("transport", ["nodes", "zip"])
@pytest.mark.parametrize("target", ["{download}{path}", "{stranger}{path}"])
def test_a_redirect_from_tls_to_none(
    job: Job, authority: trustme.CA, tmp_path: Path, target: str, transport: str
) -> None:
    """Not even to an origin that is trusted."""
    job.platform.faults.add(f"on=download redirect={target}")
    bundle = str(tmp_path / "authority.pem")
    with in_front(job.platform, make_context(authority)) as origin:
        trusted = point_item_at(job, origin)["CDSE_TRUSTED_HOSTS"]
        hosts = f"{trusted},{job.platform.download}"
        run = job(65, transport, CDSE_TRUSTED_HOSTS=hosts, REQUESTS_CA_BUNDLE=bundle)
    assert "to stay on https" in run.reason
    assert not job.platform.log.of("stranger")


@pytest.mark.parametrize("wrong", ["authority", "name", "end"])
def test_certificates_that_prove_nothing(
    job: Job, authority: trustme.CA, tmp_path: Path, wrong: str
) -> None:
    context = make_context(
        trustme.CA() if wrong == "authority" else authority,
        "elsewhere.example" if wrong == "name" else "localhost",
        datetime.now(UTC) - timedelta(days=1) if wrong == "end" else None,
    )
    bundle = str(tmp_path / "authority.pem")
    with in_front(job.platform, context) as origin:
        trusted = point_item_at(job, origin)
        run = job(75, patience=2, **trusted, REQUESTS_CA_BUNDLE=bundle)
    assert "certificate" in run.reason
    assert "REQUESTS_CA_BUNDLE" in run.reason
    assert not job.platform.log.of("download")


def test_no_tls_where_it_should_be(job: Job) -> None:
    trusted = point_item_at(job, job.platform.download.replace("http:", "https:"))
    run = job(75, patience=2, **trusted)
    assert "wrong version number" in run.reason
    assert not job.platform.log.of("download")
