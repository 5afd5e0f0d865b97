"""Each class of fault on each source: the run stages the whole catalog, or fails as documented.

A fault that strikes once costs time, not the product. A fault that stays ends the run with the exit
code of its failure and leaves no catalog. Every run in this file also checks that no secret is
logged, written to a file, or sent to a service that it is not meant for.

Here each class of fault is one process for each source. tests/transfer/test_status.py goes through
the HTTP statuses one by one.
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
from urllib.parse import urlsplit

import pytest
import trustme

from sandbox.faults import PAGE
from sandbox.server import Sandbox
from sandbox.sigv4 import Key
from sandbox.tokens import Account
from tests.conftest import Run, SameTree, slow_after
from tests.forked import Forked

ACCOUNT = Account("someone", "pass-word:0815/4711")
KEY = Key("ACCESSKEY", "secret/key+0815", session="c2Vzc2lvbi10b2tlbg==")

# The requests that a fault strikes, by source.
REQUESTS = {
    "item": "on=stac path=*/items/*",
    "listing": "on=download path=*/Nodes",
    "manifest": "on=download path=*manifest.safe)/$value",
    "file": "on=download path=*_B03.jp2)/$value",
    "zip": "on=download path=*Products(????????-????-????-????-????????????)/$value",
    "s3 listing": "on=s3 path=*list-type=2*",
    "s3 manifest": "on=s3 path=*manifest.safe",
    "s3": "on=s3 path=*IMG_DATA/*_B03.jp2",
}

# The exit code if the fault stays. If it strikes once, the exit code is always 0. One file that is
# refused for lack of slots ends with 0 or 75, as the zip may be faster than waiting for it:
# tests/sources/test_nodes.py has both.
#
# A mounted archive has no statuses: what it can have is put on its disk. Files of s3 and mount are
# requested with --transport s3 and mount, which fall back to nothing. A slow file from S3 goes on
# where the last connection was closed, so it arrives in the end, in many minutes.
MATRIX = """\
fault                       item  listing  file  zip   s3  mount
status=400                    65        0     0   65   65      -
status=401                    77        0    77   77   75      -
status=403                    77        0    77   77   75      -
status=404                    66        0     0   66   66     66
status=429 retry_after=1      75       75     -   75   75      -
status=503                    75       75    75   75   75      -
html                          65       65    65   65   65     65
cut=middle                    75       75    75   75   75     65
cut=middle framing=close      65       65    65   65   65      -
long=100000 framing=close     65       65    65   65   65     65
stall=30 at=middle            75       75    75   75   75      -
slow=100                      75       75    75   75    -      -
corrupt=0.4                   65       65    65   65   65     65
redirect={stranger}{path}     65       65    65   65   65      -
"""
# What a file of a mounted archive holds instead of its content; None if it is missing.
DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "status=404": lambda content: None,
    "html": lambda content: PAGE,
    "cut=middle": lambda content: content[: len(content) // 2],
    "long=100000 framing=close": lambda content: content + bytes(100_000),
    "corrupt=0.4": lambda content: content[:1000] + bytes([content[1000] ^ 255]) + content[1001:],
}


def read_matrix() -> dict[str, dict[str, int]]:
    """Return the exit codes of the matrix by fault and source."""
    head, *rows = MATRIX.splitlines()
    sources = head.split()[1:]
    codes = {}
    for row in rows:
        words = row.split()
        fault = " ".join(words[: -len(sources)])
        found = zip(sources, words[-len(sources) :], strict=True)
        codes[fault] = {source: int(code) for source, code in found if code != "-"}
    return codes


def get_marks(fault: str) -> list[pytest.MarkDecorator]:
    """Return the marks of a fault's tests: fast for one temporary fault and for one other."""
    return [] if fault in {"status=503", "corrupt=0.4"} else [pytest.mark.slow]


def list_groups(codes: dict[str, int]) -> list[tuple[str, ...]]:
    """Return the sources that one run meets when a fault strikes each of them once.

    A listing that requires a token makes the run fall back to the zip without a second try. Such a
    run requests no single files.
    """
    s3 = ("s3 listing", "s3 manifest", "s3")
    if codes["item"] == 77:
        return [("item", "manifest", "file"), ("listing", "zip"), s3]
    return [("item", "listing", "manifest", "file"), ("zip",), s3]


STAYING = [
    pytest.param(fault, source, code, id=f"{fault}-{source}", marks=get_marks(fault))
    for fault, codes in read_matrix().items()
    for source, code in codes.items()
]
PASSING = [
    pytest.param(fault, sources, id=f"{fault}-{'+'.join(sources)}", marks=get_marks(fault))
    for fault, codes in read_matrix().items()
    for sources in list_groups(codes)
]


@dataclass(frozen=True)
class Job:
    """Runs the command against a sandbox, with every kind of credential at once."""

    platform: Sandbox
    folder: Path
    forked: Forked
    safe: Path
    assert_same_tree: SameTree

    def __call__(self, expected: int, transport: str = "nodes", **options: object) -> Run:
        """Run the command and check how it ends, what it leaves and what it reveals.

        Args:
            expected: The exit code.
            transport: The value of --transport.
            options: Further options; names in capitals are environment variables.
        """
        variables = {
            "CDSE_ACCESS_TOKEN": self.platform.mint(user=ACCOUNT.name),
            "CDSE_REFRESH_TOKEN": self.platform.mint_refresh(user=ACCOUNT.name),
            "CDSE_USERNAME": ACCOUNT.name,
            "CDSE_PASSWORD": ACCOUNT.password,
            **self.platform.environment,
            **self.platform.s3_environment(),
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
        self._check_folder(run)
        self._check_log(run)
        self._check_secrets(run, variables)
        return run

    def mount(self, damage: Callable[[bytes], bytes | None]) -> Path:
        """Make a mounted archive that holds the product, with one damaged band; return its root."""
        root = self.folder.parent / "eodata"
        (product,) = self.platform.products
        safe = shutil.copytree(self.safe, root / product.s3_key)
        (band,) = safe.rglob("IMG_DATA/*_B03.jp2")
        content = damage(band.read_bytes())
        band.unlink()
        if content is not None:
            band.write_bytes(content)
        return root

    def _check_folder(self, run: Run) -> None:
        """Check that there is the whole catalog and nothing else, or no catalog."""
        found = {path.name for path in self.folder.iterdir()}
        if run.code:
            assert found <= {".catalog.staging"}
            return
        assert found == {"catalog"}
        name = self.safe.stem
        catalog = self.folder / "catalog"
        assert {path.name for path in catalog.iterdir()} == {"catalog.json", name}
        self.assert_same_tree(self.safe, catalog / name / self.safe.name)

    def _check_log(self, run: Run) -> None:
        """Check that every line is a line of the log, and that the last one gives the reason."""
        lines = run.log.splitlines()
        assert all(re.match(r"\d{4}-\S+ (DEBUG|INFO|SUCCESS|WARNING|ERROR) ", x) for x in lines)
        level, reason = run.reason.split(maxsplit=2)[1:]
        assert level == ("ERROR" if run.code else "SUCCESS")
        assert 20 < len(reason) < 800

    def _check_secrets(self, run: Run, variables: dict[str, str]) -> None:
        """Check that no secret was printed, written or sent to the wrong service."""
        tokens = [variables["CDSE_ACCESS_TOKEN"], variables["CDSE_REFRESH_TOKEN"]]
        headers = [x.header("Authorization") for x in self.platform.log if x.role != "s3"]
        tokens += [header.removeprefix("Bearer ") for header in headers if header]
        # The signature is the part of a token that nobody can guess.
        secrets = {ACCOUNT.password, *(token.rpartition(".")[2] for token in tokens)} - {""}
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        for secret in {*secrets, KEY.secret, str(KEY.session)}:
            assert secret not in run.log
            assert not [path for path in files if secret.encode() in path.read_bytes()]
            received = [exchange for exchange in self.platform.log if exchange.holds(secret)]
            allowed = {"download", "identity"} if secret in secrets else {"s3"}
            assert {exchange.role for exchange in received} <= allowed
            assert not received or secret != KEY.secret
            assert not [exchange for exchange in received if secret in exchange.path]
        for exchange in self.platform.log.of("download"):
            assert not exchange.holds(ACCOUNT.password)
            if variables["CDSE_REFRESH_TOKEN"]:
                assert not exchange.holds(variables["CDSE_REFRESH_TOKEN"])


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked]:
    """The process that forks the runs of the command."""
    with Forked() as forked:
        yield forked


@pytest.fixture
def job(forked: Forked, new: Path, tmp_path: Path, assert_same_tree: SameTree) -> Iterator[Job]:
    """The command in an empty folder, and a sandbox with one product."""
    folder = tmp_path / "work"
    folder.mkdir()
    with Sandbox([new], accounts=[ACCOUNT], keys=[KEY]) as platform:
        yield Job(platform, folder, forked, new, assert_same_tree)


def get_transport(*sources: str) -> str:
    """Return the transport of a run that requests these sources."""
    *_, last = sources
    return last if sources == ("zip",) or last in {"s3", "mount"} else "nodes"


def get_patience(code: int) -> int:
    """Return --patience: short where the run waits for its end, long where it counts tries."""
    return 3 if code == 75 else 15


@pytest.mark.parametrize(("fault", "source", "code"), STAYING)
def test_fault_that_stays_ends_with_its_exit_code(
    job: Job, fault: str, source: str, code: int
) -> None:
    rules = []
    options: dict[str, object] = {}
    if source == "mount":
        options["CDSE_EODATA"] = job.mount(DAMAGES[fault])
    else:
        rules.append(job.platform.faults.add(f"{REQUESTS[source]} {fault}"))
    job(code, get_transport(source), patience=get_patience(code), **options)
    assert all(rule.used > 0 for rule in rules)


@pytest.mark.parametrize(("fault", "sources"), PASSING)
def test_fault_that_strikes_once_is_overcome(
    job: Job, fault: str, sources: tuple[str, ...]
) -> None:
    rules = [job.platform.faults.add(f"{REQUESTS[source]} {fault} times=1") for source in sources]
    # The run gives up a stalled connection after a third of its patience.
    job(0, get_transport(*sources), patience=9)
    assert [rule.used for rule in rules] == [1] * len(rules)


@pytest.mark.parametrize("transport", ["nodes", "zip"])
def test_compressed_and_overlong_answers_do_no_harm(job: Job, transport: str) -> None:
    """These stay on every answer of every service, and the run succeeds all the same."""
    rules = [job.platform.faults.add(fault) for fault in ("gzip", "long=1")]
    job(0, transport, CDSE_ACCESS_TOKEN="")
    assert all(rule.used >= 3 for rule in rules)


@pytest.mark.parametrize(
    ("fault", "code"), slow_after(2, [("status=401", 77), ("html", 75), ("stall=30", 75)])
)
def test_token_endpoint_that_fails_for_good(job: Job, fault: str, code: int) -> None:
    rule = job.platform.faults.add(f"on=identity {fault}")
    job(code, patience=3, CDSE_ACCESS_TOKEN="")
    assert rule.used > 0
    assert not job.platform.log.of("download", "*$value")


def test_token_endpoint_that_recovers(job: Job) -> None:
    faults = ["status=503", "html"]
    rules = [job.platform.faults.add(f"on=identity {fault} times=1") for fault in faults]
    job(0, patience=30, CDSE_ACCESS_TOKEN="")
    assert [rule.used for rule in rules] == [1] * len(rules)


@pytest.mark.parametrize("role", slow_after(2, ["stac", "download", "identity"]))
def test_refused_connections_end_with_75(job: Job, role: str) -> None:
    with job.platform.down(role):
        run = job(75, patience=3, CDSE_ACCESS_TOKEN="")
    assert "Connection refused" in run.reason
    assert run.reason.endswith(". Run the command again later.")


@pytest.mark.parametrize(
    ("role", "transport"),
    slow_after(
        2, [("stac", "nodes"), ("download", "nodes"), ("download", "zip"), ("identity", "nodes")]
    ),
)
def test_refused_connections_are_tried_again(job: Job, role: str, transport: str) -> None:
    log = job.folder.with_name("log")

    def come_back_when_missed() -> None:
        with job.platform.down(role):
            down.set()
            for _ in range(300):
                if log.exists() and "Connection refused" in log.read_text():
                    break
                time.sleep(0.05)

    down = threading.Event()
    thread = threading.Thread(target=come_back_when_missed)
    thread.start()
    assert down.wait(5)
    run = job(0, transport, patience=30, CDSE_ACCESS_TOKEN="")
    thread.join()
    assert "Connection refused" in run.log


ZIP = REQUESTS["zip"]

PAIRS = [
    ("on=stac html times=1", "on=stac status=503 times=1"),
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
    ("on=download path=*_B12.jp2* status=404", "on=download path=*_TCI.jp2* status=503 times=2"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_faults_at_a_time_are_overcome(job: Job, one: str, other: str) -> None:
    rules = [job.platform.faults.add(fault) for fault in (one, other)]
    job(0, patience=30, CDSE_ACCESS_TOKEN="" if "identity" in other else job.platform.mint())
    assert all(rule.used for rule in rules)


@pytest.mark.parametrize(
    ("one", "other", "code"),
    slow_after(2, [
        ("on=download path=*/Nodes status=422", f"{ZIP} html", 65),
        ("on=download path=*_B03.jp2* corrupt=0.5", "on=download path=*_B04.jp2* stall=30", 65),
        ("on=download path=*_B03.jp2* status=404", f"{ZIP} status=404", 66),
        ("on=download path=*_B03.jp2* status=403", "on=download path=*_B04.jp2* status=503", 77),
    ]),
)  # fmt: skip
def test_two_faults_that_stay(job: Job, one: str, other: str, code: int) -> None:
    rules = [job.platform.faults.add(fault) for fault in (one, other)]
    job(code, patience=20)
    assert all(rule.used for rule in rules)


# -- Products that are wrong on the platform itself


def copy_product(safe: Path, folder: Path) -> Path:
    """Copy a product, to edit the copy."""
    return Path(shutil.copytree(safe, folder / safe.name))


def damage(path: Path) -> None:
    """Change one byte in the middle of a file, in XML a digit."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    if path.suffix == ".xml":
        middle += next(i for i, byte in enumerate(content[middle:]) if chr(byte).isdigit())
    content[middle] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "transport"),
    slow_after(
        2,
        [
            ("_TCI.jp2", "nodes"),
            ("MTD_MSIL1C.xml", "zip"),
            ("MTD_TL.xml", "nodes"),
            ("_B8A.jp2", "zip"),
        ],
    ),
)
def test_file_that_differs_from_its_digest_on_the_platform(
    job: Job, tmp_path: Path, name: str, transport: str
) -> None:
    """Neither source has the file that the manifest describes."""
    wrong = copy_product(job.safe, tmp_path / "wrong")
    (path,) = (path for path in wrong.rglob(f"*{name}") if "QI_DATA" not in path.parts)
    damage(path)
    with Sandbox([wrong], accounts=[ACCOUNT]) as platform:
        run = replace(job, platform=platform)(65, transport, patience=20)
    assert "sha3_256" in run.reason
    assert name in run.reason


@pytest.mark.parametrize("transport", slow_after(1, ["nodes", "zip"]))
def test_file_that_the_manifest_lists_is_missing(job: Job, tmp_path: Path, transport: str) -> None:
    lacking = copy_product(job.safe, tmp_path / "lacking")
    next(lacking.rglob("*MSK_QUALIT_B09.jp2")).unlink()
    with Sandbox([lacking], accounts=[ACCOUNT]) as platform:
        run = replace(job, platform=platform)(65, transport, patience=20)
    assert "MSK_QUALIT_B09.jp2" in run.reason
    assert transport != "zip" or "is incomplete" not in run.log  # only the file itself is at fault


def test_checksums_of_the_item_are_ignored(job: Job) -> None:
    """The catalogue's checksums are sometimes those of an older file."""
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
    band = next(job.safe.rglob("IMG_DATA/*_B02.jp2"))
    assert hashlib.sha3_256(band.read_bytes()).hexdigest() in text


# -- Tokens that expire during a run


def test_token_that_expires_during_a_download_is_renewed(job: Job) -> None:
    """The download that has begun continues; the next one needs another token."""
    job.platform.token_life = 2.0
    slow = job.platform.faults.add("on=download path=*IMG_DATA*_B04.jp2* slow=5000")
    job(0, connections=1, CDSE_ACCESS_TOKEN=job.platform.mint(2.0, user=ACCOUNT.name))
    assert slow.used == 1
    forms = job.platform.log.of("identity")
    assert forms
    assert all(b"refresh_token" in exchange.body for exchange in forms)


def test_token_that_expires_and_cannot_be_renewed(job: Job) -> None:
    job.platform.faults.add("on=download path=*IMG_DATA*_B04.jp2* slow=5000")
    run = job(
        77,
        connections=1,
        CDSE_ACCESS_TOKEN=job.platform.mint(2.0, user=ACCOUNT.name),
        CDSE_REFRESH_TOKEN="",
        CDSE_USERNAME="",
    )
    assert "access token" in run.reason


# -- What no rule of the sandbox can do: names, broken HTTP, and certificates


@pytest.mark.parametrize("host", ["catalogue.invalid", "stac.dataspace.invalid:8443"])
def test_host_name_that_does_not_resolve(job: Job, host: str) -> None:
    run = job(75, patience=3, **{"input-item": f"https://{host}/item"})
    assert "resolve" in run.reason


Answer = Callable[[socket.socket], None]


@contextmanager
def serve(answer: Answer) -> Iterator[int]:
    """Run a server that handles each connection with a function; yields its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                answer(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def drip(connection: socket.socket) -> None:
    """Send a header that never ends, one byte before each time-out."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(300):
        connection.sendall(b"x")
        time.sleep(0.1)


def junk(connection: socket.socket) -> None:
    """Send something that is not HTTP."""
    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n" * 10)


def flood(connection: socket.socket) -> None:
    """Send more header lines than a client reads."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 100_000)


def endless(connection: socket.socket) -> None:
    """Send a body that never ends."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"{" * 65536)


def interim(connection: socket.socket) -> None:
    """Send interim answers that never end (RFC 9110, section 15.2)."""
    for _ in range(300):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "code"), [(drip, 75), (junk, 75), (flood, 75), (endless, 65), (interim, 75)]
)
def test_broken_http_from_the_catalogue(job: Job, answer: Answer, code: int) -> None:
    with serve(answer) as port:
        job(code, patience=get_patience(code), **{"input-item": f"http://127.0.0.1:{port}/item"})


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["nodes", "zip"])
@pytest.mark.parametrize(("answer", "code"), [(drip, 75), (junk, 75), (endless, 65)])
def test_broken_http_from_the_download_service(
    job: Job, answer: Answer, code: int, transport: str
) -> None:
    with serve(answer) as port:
        trusted = move_product(job, f"http://127.0.0.1:{port}")
        run = job(code, transport, patience=get_patience(code), **trusted)
    assert trusted["CDSE_TRUSTED_HOSTS"] in run.log


@pytest.mark.slow
def test_broken_http_from_the_token_endpoint(job: Job) -> None:
    with serve(drip) as port:
        url = f"http://127.0.0.1:{port}/token"
        job(75, patience=3, CDSE_ACCESS_TOKEN="", CDSE_IDENTITY_URL=url)


def move_product(job: Job, origin: str) -> dict[str, str]:
    """Let the item name another origin for its product; returns the variables that trust it."""
    item = json.dumps(job.platform.item(job.safe.name)).replace(job.platform.download, origin)
    job.platform.override_item(job.safe.name, "new", json.loads(item))
    return {"CDSE_TRUSTED_HOSTS": origin}


@contextmanager
def serve_over_tls(platform: Sandbox, context: ssl.SSLContext) -> Iterator[str]:
    """Put TLS in front of the sandbox's download service; yields the origin."""

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

    with serve(pass_on) as port:
        yield f"https://localhost:{port}"


def make_context(
    authority: trustme.CA, name: str = "localhost", end: datetime | None = None
) -> ssl.SSLContext:
    """Return a server's TLS settings, with a certificate of an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=end).configure_cert(context)
    return context


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """A certificate authority, its certificate at `authority.pem`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    return authority


@pytest.mark.parametrize("transport", ["nodes", "zip"])
def test_tls_with_a_certificate_of_a_private_authority(
    job: Job, authority: trustme.CA, tmp_path: Path, transport: str
) -> None:
    bundle = str(tmp_path / "authority.pem")
    with serve_over_tls(job.platform, make_context(authority)) as origin:
        trusted = move_product(job, origin)
        job(0, transport, **trusted, REQUESTS_CA_BUNDLE=bundle)


@pytest.mark.parametrize(
    ("target", "transport"),
    slow_after(
        1,
        [("{download}{path}", "nodes"), ("{download}{path}", "zip"), ("{stranger}{path}", "nodes")],
    ),
)
def test_redirect_from_https_to_http_is_refused(
    job: Job, authority: trustme.CA, tmp_path: Path, target: str, transport: str
) -> None:
    """It is refused even if the origin is trusted."""
    job.platform.faults.add(f"on=download redirect={target}")
    bundle = str(tmp_path / "authority.pem")
    with serve_over_tls(job.platform, make_context(authority)) as origin:
        trusted = move_product(job, origin)["CDSE_TRUSTED_HOSTS"]
        hosts = f"{trusted},{job.platform.download}"
        run = job(65, transport, CDSE_TRUSTED_HOSTS=hosts, REQUESTS_CA_BUNDLE=bundle)
    assert "https" in run.reason
    assert not job.platform.log.of("stranger")


@pytest.mark.parametrize("wrong", slow_after(2, ["authority", "name", "end"]))
def test_certificate_that_is_not_valid(
    job: Job, authority: trustme.CA, tmp_path: Path, wrong: str
) -> None:
    context = make_context(
        trustme.CA() if wrong == "authority" else authority,
        "elsewhere.example" if wrong == "name" else "localhost",
        datetime.now(UTC) - timedelta(days=1) if wrong == "end" else None,
    )
    bundle = str(tmp_path / "authority.pem")
    with serve_over_tls(job.platform, context) as origin:
        trusted = move_product(job, origin)
        run = job(75, patience=3, **trusted, REQUESTS_CA_BUNDLE=bundle)
    assert "certificate" in run.reason
    assert ("set the clock" if wrong == "end" else "REQUESTS_CA_BUNDLE") in run.reason
    assert not job.platform.log.of("download")


def test_https_url_of_a_server_without_tls(job: Job) -> None:
    trusted = move_product(job, job.platform.download.replace("http:", "https:"))
    run = job(75, patience=3, **trusted)
    assert "wrong version number" in run.reason
    assert "REQUESTS_CA_BUNDLE" not in run.reason
    assert not job.platform.log.of("download")
