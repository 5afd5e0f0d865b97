"""The four parsers of documents from the platform, with generated input.

For any input, each of them returns a valid result or raises an error whose message is one line.
The tests try the same inputs in each run; `make fuzz` tries new ones for some minutes.
"""

import io
import itertools
import json
import re
import shutil
import socket
import unicodedata
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from sandbox.server import Sandbox
from sandbox.services import ROLES
from stage_in.errors import ProductError, StageInError, VerificationError
from stage_in.safe import manifest
from stage_in.safe.manifest import Entry
from stage_in.safe.name import ProductName
from stage_in.safe.verification import write_verified
from stage_in.sources.odata import OData
from stage_in.sources.platform_item import MAX_ITEM_SIZE, parse_items
from stage_in.sources.product import Product
from stage_in.sources.zip import ZipSource
from stage_in.transfer.arrivals import Arrivals
from tests.clients import make_client

NAME = "S2A_MSIL1C_20240814T100031_N0511_R122_T32TQM_20240814T115231"
FOLDER = f"{NAME}.SAFE"
PRODUCT = Product(
    ProductName.parse(NAME), "5fd5fd6f-1c9f-4b5a-9a0e-0f3a4a1b2c3d", "https://download.example"
)
MAX_UNPACKED_SIZE = 20_000  # bytes of a member that these tests read
MAX_MESSAGE_LENGTH = 2000  # characters


@pytest.fixture(scope="module", autouse=True)
def no_network() -> Iterator[None]:
    """Turn every connection into an error that no parser catches: none may use the network."""

    class ConnectedError(BaseException):
        pass

    def refuse(*_: object, **__: object) -> None:
        raise ConnectedError

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        yield


def assert_one_line(error: StageInError) -> None:
    """Check that a message is one line of reasonable length."""
    text = str(error)
    assert text
    assert len(text) <= MAX_MESSAGE_LENGTH
    # The log replaces other characters that are not printable.
    assert not set(text) & {"\n", "\r"}


def assert_inside(paths: Collection[str]) -> None:
    """Check that paths name distinct files below a folder on any operating system."""
    seen = set()
    for path in paths:
        assert path.isprintable()
        assert not set(path) & set('\\:*?"<>|#%')
        assert not PurePosixPath(path).is_absolute()
        assert not {"", ".", ".."} & set(path.split("/"))
        assert len(path.encode()) < 4096 - 1024
        seen.add(unicodedata.normalize("NFC", path).casefold())
    assert len(seen) == len(paths)


# -- Building blocks

INTERESTING = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
INTERESTING += [2**63 - 1, 2**63, 2**64 - 1]
numbers = st.sampled_from(INTERESTING) | st.integers(0, 2**64 - 1)
little = st.builds(
    lambda number, length: (number & (2 ** (8 * length) - 1)).to_bytes(length, "little"),
    numbers,
    st.sampled_from([1, 2, 4, 8]),
)


def mutations(original: bytes, marks: list[int]) -> st.SearchStrategy[bytes]:
    """Return changes to some bytes, mostly shortly after marks, where headers begin."""
    place = st.integers(0, len(original))
    if marks:
        place |= st.builds(int.__add__, st.sampled_from(marks), st.integers(0, 50))
    change = st.tuples(
        st.sampled_from(["write", "write", "write", "insert", "remove", "cut"]),
        place,
        little | st.binary(min_size=1, max_size=12),
    )
    return st.lists(change, max_size=4).map(lambda changes: mutate(original, changes))


def mutate(content: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    changed = bytearray(content)
    for kind, place, data in changes:
        if kind == "write":
            changed[place : place + len(data)] = data
        elif kind == "insert":
            changed[place:place] = data
        elif kind == "remove":
            del changed[place : place + len(data)]
        else:
            del changed[place:]
    return bytes(changed)


parts = st.sampled_from(
    [
        *(
            "a",
            "A",
            "b",
            "manifest.safe",
            "GRANULE",
            "..",
            ".",
            "",
            " ",
            "C:",
            "CON",
            "a\\b",
            "a\0b",
        ),
        *(
            "é",
            "e\u0301",
            "ß",
            "SS",
            "\u202e",
            "\ud800",
            "a\nb",
            "%2e%2e",
            "x" * 300,
            "~",
            "-",
            "$(x)",
        ),
    ]
) | st.text(max_size=5)
paths = st.lists(parts, min_size=1, max_size=5).map("/".join)


# -- Archives

member = st.tuples(
    st.sampled_from([f"{FOLDER}/", f"{FOLDER}/", f"{FOLDER.lower()}/", "", "/"]),
    paths.map(lambda path: path.encode("utf-8", "replace").decode()),
    st.binary(max_size=50) | st.integers(0, 3 * MAX_UNPACKED_SIZE).map(bytes),
    st.sampled_from([0, 0o100644, 0o40755, 0o120777, 0o10644]),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]),
    st.sampled_from(
        [b"", b"", b"\x75\x70\x06\x00\x01\0\0\0\0x", b"\x01\x00\x08\x00" + b"\xff" * 8]
    ),
)


class Stream(io.BytesIO):
    """A file in which zipfile cannot seek, so that it writes data descriptors."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """An archive of a few members with some bytes changed."""
    sink = draw(st.sampled_from([io.BytesIO, Stream]))()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(f"{FOLDER}/manifest.safe", b"manifest" * 40, zipfile.ZIP_DEFLATED)
        for folder, path, content, mode, method, extra in draw(st.lists(member, max_size=3)):
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = f"{folder}{path}"
            info.compress_type, info.external_attr, info.extra = method, mode << 16, extra
            archive.writestr(info, content)
    content = sink.getvalue()
    marks = [match.start() for match in re.finditer(rb"PK[\x01-\x08]", content)]
    return draw(mutations(content, marks))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An iterator of new folders, each of which is removed when the next one is requested."""
    base = tmp_path_factory.mktemp("fuzz")

    def make_folders() -> Iterator[Path]:
        for number in itertools.count():
            folder = base / str(number)
            folder.mkdir()
            yield folder
            shutil.rmtree(folder)

    return make_folders()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(content=archives() | st.binary(max_size=200))
def test_archive_unpacks_to_what_it_lists_or_is_refused(
    folders: Iterator[Path], content: bytes
) -> None:
    folder = next(folders)
    path = folder / "product.zip"
    path.write_bytes(content)
    source = ZipSource(PRODUCT, make_client(), path, Arrivals())
    safe = folder / "catalog" / FOLDER
    try:
        listed = source.list_files()
        assert_inside(listed)
        for name, size in listed.items():
            manifest.check_size([Entry(name, size)])
            with source.open(name) as chunks:
                write_verified(
                    itertools.islice(chunks, MAX_UNPACKED_SIZE), safe / name, Entry(name, size)
                )
            assert (safe / name).stat().st_size == size
    except VerificationError as error:
        assert_one_line(error)
    found = {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()}
    inside = safe.relative_to(folder)
    assert all(path.is_relative_to(inside) for path in found - {Path("product.zip")})
    assert not [path for path in folder.rglob("*") if path.is_symlink()]


# -- Manifests

sizes = st.integers(0, 10**12).map(str) | st.sampled_from(
    ["", "-1", "1e3", " 1", "0x1", "\u0661", "9" * 15, "9" * 16, "9" * 5000, "1_0", "NaN"]
)
digests = st.sampled_from(
    [("MD5", "0" * 32), ("SHA3-256", "f" * 64), ("SHA3-256", "0" * 32), ("MD5", ""), ("CRC32", "0")]
) | st.tuples(st.text(max_size=10), st.text(max_size=70))
entries = st.tuples(st.sampled_from(["./", "", "/", "../"]), paths, sizes, digests)


def escape(text: str) -> str:
    """Return a text as the value of an attribute, without characters that XML does not allow."""
    plain = "".join(c if re.match(r"[\t\n\r\x20-\ud7ff\ue000-\ufffd]", c) else "?" for c in text)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def data_object(entry: tuple[str, str, str, tuple[str, str]]) -> str:
    begin, path, size, (name, digest) = entry
    return (
        f'<dataObject><byteStream size="{escape(size)}"><fileLocation href="{escape(begin + path)}"'
        f'/><checksum checksumName="{escape(name)}">{escape(digest)}</checksum></byteStream>'
        "</dataObject>"
    )


@st.composite
def manifests(draw: st.DrawFn) -> bytes:
    objects = "".join(map(data_object, draw(st.lists(entries, max_size=4))))
    document = (
        '<?xml version="1.0" encoding="UTF-8"?><xfdu:XFDU xmlns:xfdu="urn:x"><dataObjectSection>'
        f"{objects}</dataObjectSection></xfdu:XFDU>"
    ).encode()
    return draw(mutations(document, [match.start() for match in re.finditer(b"[<&=]", document)]))


@given(document=manifests() | st.binary(max_size=200))
def test_manifest_lists_distinct_files_with_digests_or_is_refused(document: bytes) -> None:
    try:
        found = manifest.parse(document)
    except VerificationError as error:
        assert_one_line(error)
        return
    assert found
    assert_inside(found)
    assert sum(entry.size for entry in found.values()) <= manifest.MAX_PRODUCT_SIZE
    for path, entry in found.items():
        assert entry.path == path
        assert entry.size >= 0
        length = {"md5": 32, "sha3_256": 64}[entry.algorithm or ""]
        assert re.fullmatch("[0-9a-f]+", entry.digest or "")
        assert len(entry.digest or "") == length
    try:
        manifest.check_complete(found)
    except VerificationError as error:
        assert_one_line(error)


# -- Items

hosts = st.sampled_from(
    [
        *("download.example", "download.example:443", "DOWNLOAD.example", "download.example."),
        *(
            "evil.example",
            "download.example.evil",
            "user@download.example",
            "evil\\@download.example",
        ),
        *(
            "download.example@evil",
            "[::1]",
            "127.0.0.1",
            "download。example",
            "",
            "download.example:0",
        ),
        *("download.example:99999", "download.example\t", "xn--e1aybc"),
    ]
)
uuids = st.sampled_from(
    [
        PRODUCT.uuid,
        PRODUCT.uuid.upper(),
        "../..",
        PRODUCT.uuid[:-1] + "\u0661",
        "",
        "%2e%2e",
        "0" * 36,
    ]
)
hrefs = st.builds(
    "{}://{}/odata/v1/Products({})/{}".format,
    st.sampled_from(["https", "HTTPS", "http", "s3", "file", "javascript", ""]),
    hosts,
    uuids,
    st.sampled_from(["$value", "$value?token=x", "$value#", "$value/../x", "Nodes", ""]),
)
names = st.sampled_from(
    [NAME, f"{NAME}.SAFE", NAME.lower(), f"../{NAME}", f"{NAME}\n", f"{NAME}\0"]
)
texts = st.text(max_size=20) | hrefs | names | paths
nested = st.integers(1, 2000).map(lambda depth: "[" * depth + "]" * depth)
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | texts | st.integers() | numbers,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)

RECORD = ["Name", "Id", "Online", "DeletionCause"]


@pytest.fixture(scope="module")
def items(new: Path, old: Path) -> list[dict[str, Any]]:
    """Items of both of the platform's STAC APIs."""
    platform = Sandbox([new, old])
    platform.origins.update(dict.fromkeys(ROLES, PRODUCT.origin))
    return [platform.item(new.name), platform.item(old.name, "legacy")]


def places(fields: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container of a document with each of its keys."""
    keys = fields.keys() if isinstance(fields, dict) else range(len(fields))
    for key in keys:
        yield fields, key
        if isinstance(fields[key], dict | list):
            yield from places(fields[key])


def change(item: dict[str, Any], draw: Callable[[Any], Any]) -> bytes:
    """Change some values of an item, mostly those that the tool uses."""
    fields = json.loads(json.dumps(item))
    key = "Product" if "Product" in fields["assets"] else "PRODUCT"
    used = [(fields, "id"), (fields, "assets"), (fields["assets"], key)]
    used += [(fields["assets"][key], "href"), (fields, "links"), (fields, "stac_version")]
    used += [(fields, "type"), (fields, "properties"), (fields, "stac_extensions")]
    everywhere = list(places(fields))
    for container, name in draw(
        st.lists(st.sampled_from(used) | st.sampled_from(everywhere), max_size=3)
    ):
        container[name] = draw(json_values | hrefs | names | st.just("@nested@"))
    text = json.dumps(fields).replace('"@nested@"', draw(nested))
    return draw(mutations(text.encode(), []) if draw(st.booleans()) else st.just(text.encode()))


@given(data=st.data())
def test_item_leads_to_a_trusted_host_or_is_refused(
    items: list[dict[str, Any]], data: st.DataObject
) -> None:
    content = data.draw(
        st.sampled_from(items).map(lambda item: change(item, data.draw)) | st.binary(max_size=100)
    )
    assert len(content) <= MAX_ITEM_SIZE
    try:
        product = Product.from_item(parse_items(content, "a test")[0], {PRODUCT.origin})
    except ProductError as error:
        assert_one_line(error)
        return
    assert re.fullmatch(r"S2[A-D]_MSIL1C_[0-9A-Z_]+\.SAFE", product.name.folder)
    assert re.fullmatch("[0-9a-f-]{36}", product.uuid)
    assert product.origin == PRODUCT.origin
    assert parse_url(product.zip_url).host == "download.example"


@given(
    st.fixed_dictionaries(
        {"value": st.lists(st.dictionaries(st.sampled_from(RECORD), json_values) | json_values)}
    )
    | st.fixed_dictionaries(
        {"value": st.lists(st.fixed_dictionaries(dict.fromkeys(RECORD, json_values | names)))}
    )
    | json_values
)
def test_records_are_of_products_or_refused(answer: Any) -> None:
    """They are shown in messages."""
    client = Mock()
    client.get_listing = lambda url: nullcontext(io.BytesIO(json.dumps(answer).encode()))
    try:
        found = OData(client, [PRODUCT.origin]).list_deleted(PRODUCT.name)
    except VerificationError as error:
        assert_one_line(error)
        return
    for record in found:
        assert record.name == PRODUCT.name
        assert len(record.deletion_cause) <= 60
