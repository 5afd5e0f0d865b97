"""Hostile items, archives, XML files, images, manifests and answers: each is refused.

The command runs as a process with limited memory, time and file size, next to other files, and with
a `.netrc` that has a password for every host. It must end with the right exit code and a one-line
reason, and must change nothing outside of its output. The log of a server that is not trusted shows
that no request was sent to it.
"""

import gc
import hashlib
import io
import json
import re
import shutil
import socketserver
import stat
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault
from sandbox.nodes import node_path
from sandbox.server import Sandbox
from stage_in.errors import StageInError
from stage_in.sources.platform_item import fetch_items
from tests.clients import make_client
from tests.conftest import Run, StageIn
from tests.editing import MANIFEST, PRODUCT, edit, find, reseal

LIMITS = (
    "ulimit -d 524288;"  # KiB of data; an ordinary run takes a third
    "ulimit -t 30;"  # seconds of processor time; an ordinary run takes one
    "ulimit -f 65536;"  # blocks of 512 bytes in a file
)
MAX_LINE_LENGTH = 1000  # characters

Item = dict[str, Any]


@dataclass(frozen=True)
class World:
    """The command in a folder with other files beside it."""

    stage_in: StageIn
    root: Path

    def __call__(self, item: str, *options: str, **variables: str) -> Run:
        """Run the command, and check that it changed nothing except for its output."""
        platform, token = self.stage_in.platform, self.stage_in.platform.mint()
        before = self._snapshot()
        ended = subprocess.run(
            [
                *("sh", "-c", f'{LIMITS} exec "$@"', "sh"),
                *(sys.executable, "-m", "app.app", "--input-item", item, *options),
            ],
            cwd=self.stage_in.folder,
            env=self.stage_in.environment(
                **{
                    "CDSE_ACCESS_TOKEN": token,
                    "HOME": str(self.root / "home"),
                    "TMPDIR": str(self.root / "tmp"),
                    "OPENBLAS_NUM_THREADS": "1",
                    **variables,
                }
            ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
        )
        run = Run(ended.returncode, ended.stderr)
        assert ended.stdout == ""
        assert_lines(run)
        assert token not in run.log
        assert self._snapshot() == before
        assert not platform.log.of("stranger")
        assert {exchange.role for exchange in platform.log if exchange.holds(token)} <= {"download"}
        shown = {exchange.header("Authorization") for exchange in platform.log}
        assert shown <= {None, f"Bearer {token}"}
        if run.code:
            assert not (self.stage_in.folder / "catalog").exists()
        return run

    def _snapshot(self) -> dict[str, bytes | str]:
        """Return all files and folders, except for the catalog and the staging folder."""
        found: dict[str, bytes | str] = {}
        for path in self.root.rglob("*"):
            name = path.relative_to(self.root).as_posix()
            if name.split("/")[:2] in (["work", "catalog"], ["work", ".catalog.staging"]):
                continue
            mode = f"{path.lstat().st_mode:o}"
            found[name] = path.read_bytes() if path.is_file() and not path.is_symlink() else mode
        return found


def assert_lines(run: Run) -> None:
    """Check that each line can be printed, and that the last one gives the reason of a failure."""
    lines = run.log.splitlines()
    levels = []
    for line in lines:
        match = re.fullmatch(r"\d{4}-\d\d-\d\dT\S+ (INFO|WARNING|ERROR|SUCCESS) +\S.*", line)
        assert match, run.log[:5000]
        assert line.isprintable()
        assert len(line) <= MAX_LINE_LENGTH
        levels.append(match[1])
    assert levels.count("ERROR") == (run.code != 0)
    assert levels[-1] == ("ERROR" if run.code else "SUCCESS")


@pytest.fixture
def world(stage_in: StageIn, tmp_path: Path) -> World:
    for name in ("home", "tmp", "precious"):
        (tmp_path / name).mkdir()
    (tmp_path / "precious/thesis.tex").write_text("the only copy")
    (stage_in.folder / "notes.txt").write_text("mine")
    netrc = tmp_path / "home/.netrc"
    netrc.write_text("default login user password netrc-password\n")
    netrc.chmod(0o600)
    return World(stage_in, tmp_path)


@pytest.fixture
def copied(new: Path, platform: Sandbox, tmp_path: Path) -> Path:
    """A SAFE folder that the sandbox serves and that tests may edit."""
    safe = shutil.copytree(new, tmp_path / "served" / new.name)
    platform.add_product(safe)
    return safe


def get_uuid(platform: Sandbox, safe: Path) -> str:
    return next(product.uuid for product in platform.products if product.name == safe.name)


def test_ordinary_run_succeeds_within_the_limits(
    world: World, platform: Sandbox, new: Path
) -> None:
    run = world(platform.item_url(new.name))
    assert run.code == 0, run.log
    assert (world.stage_in.folder / "catalog/catalog.json").is_file()


# -- Archives


def pack(safe: Path, *members: tuple[str | zipfile.ZipInfo, bytes], skip: str = "") -> bytes:
    """Return the zip of a product with additional members."""
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            for path in sorted(safe.rglob("*")):
                if path.is_file() and path.name != skip:
                    archive.write(path, f"{safe.name}/{path.relative_to(safe).as_posix()}")
            for member, content in members:
                archive.writestr(member, content)
        return file.getvalue()


def member(name: str, mode: int = 0, method: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.compress_type = mode << 16, method
    return info


def patch(content: bytes, offset: int, layout: str, *values: int, local: bool = False) -> bytes:
    """Change numbers in the last header of the central directory, or in the last local header."""
    changed = bytearray(content)
    header = changed.rindex(b"PK\3\4" if local else b"PK\1\2")
    struct.pack_into(layout, changed, header + offset, *values)
    return bytes(changed)


def add_extra_field(content: bytes, extra: bytes) -> bytes:
    """Add an extra field to the last member, in the central directory only."""
    end = content.rindex(b"PK\5\6")
    start = content.rindex(b"PK\1\2")
    (size,) = struct.unpack_from("<I", content, end + 12)
    changed = bytearray(content)
    struct.pack_into("<H", changed, start + 30, len(extra))
    struct.pack_into("<I", changed, end + 12, size + len(extra))
    changed[end:end] = extra
    return bytes(changed)


def pack_with_false_numbers(safe: Path, size: int = 1, offset: int | None = None) -> bytes:
    """Return a zip with an unlisted member whose size and offset are in an extra field.

    APPNOTE.TXT, section 4.5.3.
    """
    content = pack(safe, (f"{safe.name}/HTML/x.png", b"x"))
    place = content.rindex(b"PK\3\4") if offset is None else offset
    content = patch(content, 24, "<I", 0xFFFFFFFF)
    content = patch(content, 42, "<I", 0xFFFFFFFF)
    return add_extra_field(content, struct.pack("<HHQQ", 1, 16, size, place))


def pack_damaged(safe: Path, method: int) -> bytes:
    """Return a zip with a damaged member that is not in the manifest, so that it has no digest."""
    info = member(f"{safe.name}/HTML/x.png", method=method)
    content = bytearray(pack(safe, (info, bytes(range(256)) * 8)))
    place = content.rindex(b"PK\3\4") + 30 + len(info.filename)
    content[place] ^= 0xFF
    return bytes(content)


def pack_many(safe: Path, number: int) -> bytes:
    """Return a zip with far more members than a product has files."""
    content = pack(safe)
    end = content.rindex(b"PK\5\6")
    name = f"{safe.name}/x".encode()
    header = struct.pack("<4s12x12xH16x", b"PK\1\2", len(name)) + name
    start = content.index(b"PK\1\2")
    directory = content[start:end] + header * number
    return (
        content[:start]
        + directory
        + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(directory), start, 0)
    )


def pack_split(safe: Path) -> bytes:
    """Return a zip that claims to be the last of several disks (APPNOTE.TXT, section 4.3.15)."""
    content = pack(safe)
    end = content.rindex(b"PK\5\6")
    return content[:end] + struct.pack("<4sIQI", b"PK\6\7", 1, end, 7) + content[end:]


ARCHIVES: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "parent": (
        lambda safe: pack(safe, (f"{safe.name}/../../../../precious/thesis.tex", b"evil")),
        "plain and relative",
    ),
    "absolute": (lambda safe: pack(safe, ("/tmp/evil", b"evil")), "plain and relative"),
    "link": (
        lambda safe: pack(
            safe, (member(f"{safe.name}/HTML/x.png", stat.S_IFLNK | 0o777), b"../../../../precious")
        ),
        "plain file",
    ),
    "twice": (lambda safe: pack(safe, (f"{safe.name}/{PRODUCT}", b"evil")), "once"),
    "look-alike": (
        lambda safe: pack(safe, (f"{safe.name}/{PRODUCT.lower()}", b"evil")),
        "must be distinct",
    ),
    "overlap": (
        lambda safe: patch(pack(safe, (f"{safe.name}/HTML/x.png", b"evil")), 42, "<I", 0),
        "one after another",
    ),
    "nul": (
        lambda safe: pack(safe, (f"{safe.name}/evil_", b"x")).replace(b"evil_", b"evil\0"),
        "plain and relative",
    ),
    "long name": (lambda safe: pack(safe, (f"{safe.name}/{'x' * 300}", b"")), "plain and relative"),
    "deep": (lambda safe: pack(safe, (f"{safe.name}{'/x' * 9000}", b"")), "plain and relative"),
    "encrypted": (
        lambda safe: patch(pack(safe, (f"{safe.name}/HTML/x.png", b"x")), 8, "<H", 1),
        "encrypted",
    ),
    "wrong CRC": (lambda safe: pack_damaged(safe, zipfile.ZIP_STORED), "x.png"),
    "no deflate": (lambda safe: pack_damaged(safe, zipfile.ZIP_DEFLATED), "x.png"),
    "another name before the bytes": (
        lambda safe: patch(
            pack(safe, (f"{safe.name}/HTML/x.png", b"x")), 30, "<4s", b"S3B_", local=True
        ),
        "differ",
    ),
    "bomb": (
        lambda safe: pack(
            safe,
            (member(f"{safe.name}/{PRODUCT}", method=zipfile.ZIP_DEFLATED), bytes(100_000_000)),
            skip=PRODUCT,
        ),
        f"of {PRODUCT}",
    ),
    "size of 2**63": (
        lambda safe: pack_with_false_numbers(safe, size=2**63),
        "at most 10000000000 bytes",
    ),
    "offset of 2**64 - 1": (
        lambda safe: pack_with_false_numbers(safe, offset=2**64 - 1),
        "x.png",
    ),
    "many members": (lambda safe: pack_many(safe, 15_000), "at most 10000 members"),
    "very many members": (lambda safe: pack_many(safe, 200_000), "zip of"),
    "several disks": (pack_split, "zip of"),
}


def list_attacks(attacks: dict[str, Any], *fast: str) -> list[Any]:
    """Return the attacks as parameters, all of them slow except for a few."""
    return [
        pytest.param(what, marks=[] if what in fast else [pytest.mark.slow]) for what in attacks
    ]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "what",
    list_attacks(ARCHIVES, "link", "overlap", "many members"),
)
def test_hostile_archive_is_refused(world: World, platform: Sandbox, new: Path, what: str) -> None:
    make, complaint = ARCHIVES[what]
    platform.pages[f"/odata/v1/Products({get_uuid(platform, new)})/$value"] = make(new)
    run = world(platform.item_url(new.name), "--transport", "zip")
    assert run.code == 65, run.log
    assert complaint in run.reason


@pytest.mark.parametrize("announced", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_endless_archive_is_refused(
    world: World, platform: Sandbox, new: Path, announced: bool
) -> None:
    """Without Content-Length, the test's limit of the file size ends the download."""
    headers = {"Content-Length": str(10**11)} if announced else {}
    platform.faults.add(
        Fault(on="download", body=b"PK\3\4" + bytes(40_000_000), headers=headers, framing="close")
    )
    run = world(platform.item_url(new.name), "--transport", "zip", "--patience", "5")
    if announced:
        assert run.code == 65, run.log
        assert "at most 10000000000 bytes" in run.reason
    else:
        assert run.code == 73, run.log
        assert "ulimit -f" in run.reason


# -- Items


def change(item: Item, **fields: Any) -> bytes:
    return json.dumps({**item, **fields}).encode()


def move(item: Item, href: str) -> bytes:
    """Return an item whose product has another URL."""
    return change(item, assets={"Product": {"href": href}})


def stuff(item: Item, text: str) -> bytes:
    """Return an item with a piece of JSON among its properties."""
    properties = {**item["properties"], "stuff": "@@"}
    return json.dumps({**item, "properties": properties}).replace('"@@"', text).encode()


ITEMS: dict[str, tuple[Callable[[Item, Sandbox], bytes], str]] = {
    "id with a path": (
        lambda item, _: change(item, id=f"../../precious/{item['id']}"),
        "must be of a Sentinel-2",
    ),
    "id with a surrogate": (
        lambda item, _: change(item, id="\ud800"),
        "must be of a Sentinel-2",
    ),
    "key with a surrogate": (
        lambda item, _: change(item, assets={"\ud800\x1b[2J": {"href": "x"}}),
        "asset 'Product'",
    ),
    "host behind a back-slash": (
        lambda item, sandbox: move(
            item,
            item["assets"]["Product"]["href"].replace("http://", f"{sandbox.stranger}\\@"),
        ),
        "at a trusted host",
    ),
    "host behind a user": (
        lambda item, sandbox: move(
            item,
            item["assets"]["Product"]["href"].replace(
                sandbox.download, f"{sandbox.download}@{sandbox.stranger.removeprefix('http://')}"
            ),
        ),
        "user information",
    ),
    "IPv6": (
        lambda item, sandbox: move(
            item, item["assets"]["Product"]["href"].replace("127.0.0.1", "[::ffff:127.0.0.1]")
        ),
        "at a trusted host",
    ),
    "endless host": (
        lambda item, _: move(item, f"https://{'zipper.' * 100_000}example/"),
        "at a trusted host",
    ),
    "endless number": (lambda item, _: stuff(item, "9" * 100_000), "STAC item in JSON"),
    "depth": (lambda item, _: stuff(item, "[" * 100_000 + "]" * 100_000), "STAC item in JSON"),
    "size": (lambda item, _: stuff(item, f"[{'[],' * 10_000_000}0]"), "at most 16777216 bytes"),
    "very many assets": (
        lambda item, _: change(item, assets={str(i): {"href": ""} for i in range(50_000)}),
        "asset 'Product'",
    ),
    "id with a line break": (
        lambda item, _: change(
            item,
            id="x\n2000-01-01T00:00:00 SUCCESS \x1b[2J",
            properties={**item["properties"], "deprecated": True},
            stac_extensions=["https://stac-extensions.github.io/version/v1.2.0/schema.json"],
        ),
        "must be of a Sentinel-2",
    ),
}


@pytest.mark.parametrize(
    "what",
    list_attacks(
        ITEMS, "id with a path", "host behind a back-slash", "depth", "id with a line break"
    ),
)
def test_hostile_item_is_refused_before_any_download(
    world: World, platform: Sandbox, new: Path, what: str
) -> None:
    make, complaint = ITEMS[what]
    platform.pages["/item.json"] = make(platform.item(new.name), platform)
    run = world(f"{platform.stac}/item.json", PYTHONWARNINGS="default")
    assert run.code == 65, run.log
    assert complaint in run.reason
    assert not platform.log.of("download")


def test_links_and_texts_of_the_item_are_not_used(
    world: World, platform: Sandbox, new: Path
) -> None:
    item = platform.item(new.name)
    evil = f"{platform.stranger}/evil?token=evil"
    rels = ["root", "parent", "collection", "derived_from", "via", "license", "preview", "x"]
    hrefs = [evil, "javascript:evil()", "file:///etc/evil", "../../evil"]
    item["links"] = [{"rel": rel, "href": href} for rel in rels for href in hrefs]
    item["links"].append({"rel": "self", "href": f"{platform.stranger}/x\x1b[2J\ud800evil"})
    item["assets"] |= {"evil": {"href": evil}, "thumbnail": {"href": evil, "title": "evil"}}
    item["properties"] |= {"evil": evil, "license": "evil", "providers": [{"name": "evil"}]}
    item["stac_extensions"] = [evil]
    item["collection"] = "evil"
    run = world(platform.override_item(new.name, "new", item))
    assert run.code == 0, run.log
    documents = list((world.stage_in.folder / "catalog").rglob("*.json"))
    assert len(documents) == 2
    for document in documents:
        assert "evil" not in document.read_text()
        assert platform.stranger not in document.read_text()


# -- XML


def insert(safe: Path, name: str, before: str, text: str) -> None:
    """Insert a text before another one in a file, and update the manifest."""
    edit(safe, name, before, f"{text}{before}")


def nest(depth: int) -> str:
    return "<x>" * depth + "</x>" * depth


XML: dict[str, tuple[Callable[[Path, Sandbox], None], str]] = {
    "external DOCTYPE": (
        lambda safe, sandbox: insert(
            *(safe, PRODUCT, "<n1:Level-1C_User_Product"),
            f'<!DOCTYPE x SYSTEM "{sandbox.stranger}/x.dtd">',
        ),
        f"{PRODUCT} must not have a DOCTYPE",
    ),
    "entities": (
        lambda safe, _: insert(
            *(safe, "MTD_TL.xml", "<n1:Level-1C_Tile_ID"),
            '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        ),
        "MTD_TL.xml must not have a DOCTYPE",
    ),
    "size": (
        lambda safe, _: insert(safe, "MTD_TL.xml", "</n1:Level-1C_Tile_ID>", "<x/>" * 1_200_000),
        "bytes, but has 5",
    ),
    "depth": (
        lambda safe, _: insert(safe, "MTD_TL.xml", "</n1:Level-1C_Tile_ID>", nest(100_000)),
        "MTD_TL.xml",
    ),
    "encoding": (
        lambda safe, _: edit(safe, PRODUCT, "='UTF-8'", "='UTF-16'"),
        f"{PRODUCT} is not well-formed XML",
    ),
    "endless comment": (
        lambda safe, _: insert(
            safe, "INSPIRE.xml", "<gmd:MD_Metadata", f"<!--{'x' * 10_000_000}-->"
        ),
        "INSPIRE.xml is not well-formed XML",
    ),
    "image of another format": (
        lambda safe, sandbox: disguise(safe, sandbox),
        "can't be read",
    ),
    "very many blocks": (
        lambda safe, _: resize(safe, "T*_B03.jp2", 10_000, 40, 1),
        "can't be read",
    ),
    "very many boxes": (
        lambda safe, _: flood(safe, "T*_B03.jp2", b"jp2c", b"\0\0\0\x08xml " * 200_000),
        "seconds of processor time",
    ),
    "very many components": (
        lambda safe, _: resize(safe, "T*_TCI.jp2", 255, 1, 100),
        "can't be read",
    ),
}


def disguise(safe: Path, platform: Sandbox) -> None:
    """Replace a band by a GDAL virtual dataset, which refers to an image on another server."""
    source = f"/vsicurl/{platform.stranger}/x.jp2"
    (safe / find(safe, "T*_B03.jp2")).write_text(
        '<VRTDataset rasterXSize="192" rasterYSize="192"><VRTRasterBand dataType="UInt16" band="1">'
        f'<SimpleSource><SourceFilename relativeToVRT="0">{source}</SourceFilename></SimpleSource>'
        "</VRTRasterBand></VRTDataset>"
    )
    reseal(safe)


def flood(safe: Path, name: str, before: bytes, flood: bytes) -> None:
    """Insert boxes or markers into an image, whose codestream then ends with the file."""
    path = safe / find(safe, name)
    content = path.read_bytes()
    box = content.index(b"jp2c") - 4
    place = box if before == b"jp2c" else content.index(before)
    content = content[:place] + flood + content[place:]
    box = content.index(b"jp2c") - 4
    path.write_bytes(content[:box] + bytes(4) + content[box + 4 :])
    reseal(safe)


def resize(safe: Path, name: str, side: int, block: int, components: int) -> None:
    """Change the size that the headers of an image claim (ISO/IEC 15444-1, section A.5)."""
    path = safe / find(safe, name)
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\x4f\xff\x51") + 4
    length, capabilities = struct.unpack_from(">HH", content, start)
    each = bytes(content[start + 38 : start + 41])
    segment = struct.pack(
        *(">HH8IH", 38 + 3 * components, capabilities),
        *(side, side, 0, 0, block, block, 0, 0, components),
    )
    content[start : start + length] = segment + each * components
    box = content.index(b"jp2c") - 4
    if (size := struct.unpack_from(">I", content, box)[0]) > 1:
        struct.pack_into(">I", content, box, size + len(segment) + 3 * components - length)
    struct.pack_into(">IIH", content, content.index(b"ihdr") + 4, side, side, components)
    path.write_bytes(content)
    reseal(safe)


@pytest.mark.parametrize("what", list_attacks(XML, "external DOCTYPE", "very many blocks"))
def test_hostile_file_is_refused_although_its_digest_is_right(
    world: World, platform: Sandbox, copied: Path, what: str
) -> None:
    make, complaint = XML[what]
    url = platform.override_item(copied.name, "new", platform.item(copied.name))
    make(copied, platform)
    run = world(url)
    assert run.code == 65, run.log
    assert complaint in run.reason


def test_coordinate_system_with_a_url_is_not_fetched(
    world: World, platform: Sandbox, copied: Path
) -> None:
    path = copied / find(copied, "T*_B03.jp2")
    content = path.read_bytes()
    system = b"urn:ogc:def:crs:EPSG::32632"
    assert system in content
    url = f"{platform.stranger}/".encode().ljust(len(system), b"x")
    # GDAL prefers the other box with the location (GeoJP2), which must therefore not be found.
    content = content.replace(system, url).replace(bytes.fromhex("b14bf8bd083d4b43"), bytes(8))
    path.write_bytes(content)
    reseal(copied)
    run = world(platform.item_url(copied.name))
    assert run.code == 0, run.log


# -- Manifests and listings


def list_entries(*entries: tuple[str, int]) -> str:
    digest = hashlib.md5(b"").hexdigest()
    return "".join(
        f'<dataObject><byteStream size="{size}"><fileLocation href="{href}"/>'
        f'<checksum checksumName="MD5">{digest}</checksum></byteStream></dataObject>'
        for href, size in entries
    )


END = "</dataObjectSection>"
MANIFESTS: dict[str, tuple[Callable[[str], str], str]] = {
    "parent": (
        lambda text: text.replace(END, list_entries(("./../../../precious/thesis.tex", 0)) + END),
        "plain and relative",
    ),
    "absolute": (
        lambda text: text.replace(END, list_entries(("/tmp/evil", 0)) + END),
        "plain and relative",
    ),
    "deep": (
        lambda text: text.replace(END, list_entries((f".{'/x' * 200_000}", 0)) + END),
        "plain and relative",
    ),
    "sizes too small": (
        lambda text: re.sub(r'size="(\d+)\d"', r'size="\1"', text),
        "arrived, but its size is",
    ),
    "sizes too large": (
        lambda text: re.sub(r'size="(\d+)"', r'size="\g<1>0"', text),
        "must have at most",
    ),
    "huge sizes": (
        lambda text: re.sub(r'size="(\d+)"', 'size="999999999"', text),
        "at most 10000000000 bytes",
    ),
    "a million entries": (
        lambda text: text.replace(END, "<dataObject/>" * 1_000_000 + END),
        "file manifest.safe must have at most",
    ),
    "very many entries": (
        lambda text: text.replace(END, "<dataObject/>" * 100_000 + END),
        "10000 files",
    ),
    "none": (lambda text: re.sub("<dataObject .*</dataObject>", "", text, flags=re.S), "lists 0"),
    "DOCTYPE": (lambda text: text.replace("?>", '?><!DOCTYPE x SYSTEM "x">', 1), "a DOCTYPE"),
}


@pytest.mark.parametrize("what", list_attacks(MANIFESTS, "parent", "huge sizes"))
def test_hostile_manifest_is_refused(world: World, platform: Sandbox, new: Path, what: str) -> None:
    make, complaint = MANIFESTS[what]
    path = f"{node_path(get_uuid(platform, new), new.name, MANIFEST)}/$value"
    text = (new / MANIFEST).read_text()
    platform.pages[path] = make(text).encode()
    assert platform.pages[path] != text.encode()
    run = world(platform.item_url(new.name))
    assert run.code == 65, run.log
    assert complaint in run.reason


def make_listing(*found: tuple[str, int, int]) -> bytes:
    return json.dumps(
        {
            "result": [
                {"Name": name, "ContentLength": size, "ChildrenNumber": children}
                for name, size, children in found
            ]
        }
    ).encode()


# What the manifest lists of the folder.
IN_HTML = [("UserProduct_index.html", 1, 0), ("UserProduct_index.xsl", 1, 0)]
LISTINGS: dict[str, tuple[bytes, str]] = {
    "sizes of 4300 digits": (
        make_listing(*IN_HTML, *((f"{number}.png", 10**4299 * 9, 0) for number in range(2))),
        "at most 10000000000 bytes",
    ),
    "very many": (
        make_listing(*((f"{number}.txt", 0, 0) for number in range(11_000))),
        "at most 10000",
    ),
    "size": (b'{"result": [' + b"[]," * 10_000_000 + b"0]}", "at most"),
    "look-alikes": (
        make_listing(*IN_HTML, ("a.txt", 1, 0), ("A.txt", 1, 0)),
        "must be distinct",
    ),
}


@pytest.mark.parametrize("what", list_attacks(LISTINGS, "very many", "look-alikes"))
def test_hostile_listing_is_refused(world: World, platform: Sandbox, new: Path, what: str) -> None:
    content, complaint = LISTINGS[what]
    platform.pages[f"{node_path(get_uuid(platform, new), new.name, 'HTML')}/Nodes"] = content
    run = world(platform.item_url(new.name))
    assert run.code == 65, run.log
    assert complaint in run.reason


# -- Tokens


@pytest.mark.parametrize("end", ["\r\nX-Evil: 1", "\u2028evil", "\udcff"])
def test_token_with_other_characters_is_refused(
    world: World, platform: Sandbox, new: Path, end: str
) -> None:
    run = world(platform.item_url(new.name), CDSE_ACCESS_TOKEN=f"{platform.mint()}{end}")
    assert run.code == 77, run.log
    assert "CDSE_ACCESS_TOKEN" in run.reason
    assert "evil" not in run.log.lower()
    assert len(platform.log) == 0


# -- Answers of any server that an item's URL may name


@contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[str]:
    """Run a server with a handler; yields the URL of an item there."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/item.json"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def answering(content: bytes) -> Iterator[str]:
    """Run a server that answers every request with the same bytes; yields a URL."""

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline() not in {b"\r\n", b""}:
                pass
            with suppress(ConnectionError):  # the client closes the connection
                self.wfile.write(content)

    with serving(Answer) as url:
        yield url


def make_head(status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


ANSWERS = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "status of five digits": make_head("99999 Very OK"),
    "status in another script": "HTTP/1.1 ٢٠٠ OK\r\n\r\n".encode(),
    "endless header": make_head(X=f"{'x' * 100_000}"),
    "very many headers": make_head(**{f"X{number}": "x" for number in range(200)}),
    "length of 30 digits": make_head(Content_Length="9" * 30) + b"{}",
    "length of 5000 digits": make_head(Content_Length="9" * 5000) + b"{}",
    "length below 0": make_head(Content_Length="-1") + b"{}",
    "two lengths": make_head(Content_Length="1, 2") + b"{}",
    "chunk without a size": make_head(Transfer_Encoding="chunked") + b"zz\r\n{}\r\n",
    "chunk below 0": make_head(Transfer_Encoding="chunked") + b"-5\r\n{}\r\n",
    "endless chunk size": make_head(Transfer_Encoding="chunked") + b"f" * 5000 + b"\r\n{}\r\n",
    "not gzip": make_head(Content_Encoding="gzip") + b"{}",
    "gzip in gzip in gzip": make_head(Content_Encoding=", ".join(["gzip"] * 50)) + b"{}",
    "endless wait": make_head("503 Busy", Retry_After="9" * 400),
    "wait with an impossible time zone": make_head(
        "429 Busy", Retry_After="Mon, 01 Jan 2024 00:00:00 +99999999"
    ),
    "wait until an impossible year": make_head(
        "503 Busy", Retry_After="Mon, 01 Jan 99999999999999999999 00:00:00 GMT"
    ),
    "error with a long number": make_head("400 Bad")
    + b'{"code": '
    + b"9" * 4090
    + b', "message": 1}',
    "deeply nested error": make_head("400 Bad") + b"[" * 5000,
    **{
        f"redirect to {location[:24]!r}": make_head("302 Found", Location=location)
        for location in (
            *("", " ", "//", "///x", "http:", "http://", "http://[", "http://[::1", "http://[x]/"),
            *("file:///etc/passwd", "ftp://127.0.0.1/", "javascript:x", "data:,{}", "gopher://x"),
            *(
                "http://user:secret@127.0.0.1/",
                "http://evil\\@127.0.0.1/",
                "http://a b/",
                "\\\\a\\b",
            ),
            *("http://127.0.0.1:99999/", "http://127.0.0.1:0x50/", "http://127.0.0.1:-1/"),
            *(
                "http://é.example/",
                "http://xn--/",
                "http://a..invalid/",
                f"http://{'x.' * 20_000}/",
            ),
            *(f"http://{'x' * 64}.invalid/", f"http://invalid./{'x' * 50_000}", "http://\x0b/"),
        )
    },
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("what", ANSWERS)
def test_hostile_answer_ends_in_an_error_of_one_line(what: str) -> None:
    client = make_client()
    with answering(ANSWERS[what]) as url, pytest.raises(StageInError) as caught:
        fetch_items(url, client)
    text = str(caught.value)
    assert 0 < len(text) <= MAX_LINE_LENGTH
    assert "\n" not in text
    assert "secret" not in text
    del client, caught
    gc.collect()  # closes the connections, which a process otherwise keeps


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_endless_body_of_a_redirect_is_not_read() -> None:
    """The server can send no more than the buffers of the operating system hold."""
    sent = 0

    class Endless(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            nonlocal sent
            while self.rfile.readline() not in {b"\r\n", b""}:
                pass
            self.wfile.write(
                make_head("302 Found", Location="/item.json", Content_Length=str(10**12))
            )
            with suppress(ConnectionError):
                while sent < 200_000_000:
                    self.wfile.write(bytes(1_000_000))
                    sent += 1_000_000

    client = make_client(stall_timeout=20)
    with serving(Endless) as url, pytest.raises(StageInError, match="redirects"):
        fetch_items(url, client)
    assert sent < 200_000_000
