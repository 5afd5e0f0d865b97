"""The product's XML, read with care."""

from pathlib import Path

import pytest

from stage_in.errors import ProductError
from stage_in.safe.xml import XmlFile, check_prolog, parse_xml, read_number

DOCUMENT = b"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Root xmlns:n1="https://psd-14.example/">
  <n1:Info><NAME> one </NAME><TIME>2024-08-14T10:00:31.024Z</TIME><N>-1.5e2</N>
    <TWICE>1</TWICE><TWICE>2</TWICE><EMPTY/></n1:Info>
</n1:Root>
"""
BOMB = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'


@pytest.fixture
def document() -> XmlFile:
    return XmlFile(DOCUMENT, "MTD.xml", "Root")


def test_what_is_there(document: XmlFile) -> None:
    assert document.text("{*}Info/NAME") == "one"
    assert document.time("{*}Info/TIME") == "2024-08-14T10:00:31.024Z"
    assert document.number("{*}Info/N", -200, 0) == -150
    assert len(document.elements("{*}Info/TWICE")) == 2


def test_what_is_not(document: XmlFile) -> None:
    for ask, complaint in {
        lambda: document.text("{*}Info/NONE"): "expected Info/NONE in MTD.xml once, found it 0",
        lambda: document.text("{*}Info/TWICE"): "once, found it 2 times",
        lambda: document.text("{*}Info/EMPTY"): "Info/EMPTY in MTD.xml",
        lambda: document.text("{*}Info/NAME", "two|three"): "two|three, found 'one'",
        lambda: document.expect("{*}Info/NAME", "two"): "expected two as Info/NAME in MTD.xml",
        lambda: document.time("{*}Info/NAME"): "expected a time in UTC",
        lambda: document.number("{*}Info/NAME"): "expected a number",
        lambda: document.number("{*}Info/N", 0, 100): "expected 0 to 100",
        lambda: XmlFile(DOCUMENT, "MTD.xml", "Other"): "expected Other as the root of MTD.xml",
    }.items():
        with pytest.raises(ProductError) as error:
            ask()
        assert complaint in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["2024-13-01T00:00:00Z", "2024-08-14", "2024-08-14T10:00:31", "20240814T100031Z", ""]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ProductError):
        XmlFile(f"<a><t>{text}</t></a>".encode(), "MTD.xml", "a").time("t")


@pytest.mark.parametrize("text", ["", None, "nan", "inf", "1_000", "1e999", "٣", "1,5", "0x10"])
def test_what_is_no_number(text: str | None) -> None:
    with pytest.raises(ProductError):
        read_number(text, "it")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_doctype_is_refused_before_it_is_parsed(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "MTD.xml"
    path.write_bytes(BOMB.decode().encode(encoding))
    with pytest.raises(ProductError, match=r"MTD\.xml without a DOCTYPE"):
        check_prolog(path, "MTD.xml")
    with pytest.raises(ProductError, match=r"MTD\.xml without a DOCTYPE"):
        parse_xml(path.read_bytes(), "MTD.xml")


def test_a_prolog_is_all_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "MTD.xml"
    path.write_bytes(b"<?xml version='1.0'?><!-- c --><a>" + b"<b/>" * 100_000 + b"<not closed")
    check_prolog(path, "MTD.xml")


@pytest.mark.parametrize("content", [b"", b"   ", b"\x00\xff", b"no XML", b"<?xml version='9'?>"])
def test_what_is_no_xml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "MTD.xml"
    path.write_bytes(content)
    with pytest.raises(ProductError, match=r"XML in MTD\.xml"):
        check_prolog(path, "MTD.xml")


def test_a_prolog_ends(tmp_path: Path) -> None:
    """A comment is held in memory whole, and looked through again with each piece of it."""
    path = tmp_path / "MTD.xml"
    path.write_bytes(b"<!--" + b"x" * 200_000 + b"--><a/>")
    check_prolog(path, "MTD.xml")
    path.write_bytes(b"<!--" + b"x" * 300_000 + b"--><a/>")
    with pytest.raises(ProductError, match=r"XML in MTD\.xml"):
        check_prolog(path, "MTD.xml")


def test_size() -> None:
    assert parse_xml(b"<a>" + b" " * 4_194_297 + b"</a>", "MTD.xml").tag == "a"
    with pytest.raises(ProductError, match=r"at most 4194304 bytes of MTD\.xml, found 4194305"):
        parse_xml(b"<a>" + b" " * 4_194_298 + b"</a>", "MTD.xml")


def test_depth() -> None:
    content = b"<a>" * 100_000 + b"</a>" * 100_000
    assert XmlFile(content, "MTD.xml", "a").elements("a/a/b") == []


@pytest.mark.parametrize(
    "declared", ["utf-16", "utf-32", "utf-7", "ebcdic-cp-us", "shift_jis", "x-none", "zlib", "hex"]
)
def test_an_encoding_that_it_has_not(declared: str) -> None:
    with pytest.raises(ProductError, match=r"XML in MTD\.xml"):
        parse_xml(f'<?xml version="1.0" encoding="{declared}"?><a/>'.encode(), "MTD.xml")
