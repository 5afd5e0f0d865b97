"""XML files of a product: bounds of the parser, and elements looked up by path."""

from pathlib import Path

import pytest

from stage_in.errors import ProductError, VerificationError
from stage_in.safe.xml import XmlFile, check_prolog, parse_number, parse_xml

DOCUMENT = b"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Root xmlns:n1="https://psd-14.example/">
  <n1:Info><NAME> one </NAME><TIME>2024-08-14T10:00:31.024Z</TIME><N>-1.5e2</N>
    <TWICE>1</TWICE><TWICE>2</TWICE><EMPTY/></n1:Info>
</n1:Root>
"""
BOMB = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'


@pytest.fixture
def file() -> XmlFile:
    return XmlFile(DOCUMENT, "MTD.xml", "Root")


def test_valid_elements(file: XmlFile) -> None:
    assert file.text("{*}Info/NAME") == "one"
    assert file.time("{*}Info/TIME") == "2024-08-14T10:00:31.024Z"
    assert file.number("{*}Info/N", -200, 0) == -150
    assert len(file.elements("{*}Info/TWICE")) == 2


def test_missing_or_invalid_elements(file: XmlFile) -> None:
    for look_up, complaint in {
        lambda: file.text("{*}Info/NONE"): "Info/NONE in MTD.xml must occur once, but occurs 0",
        lambda: file.text("{*}Info/TWICE"): "once, but occurs 2 times",
        lambda: file.text("{*}Info/EMPTY"): "Info/EMPTY in MTD.xml",
        lambda: file.text("{*}Info/NAME", "two|three"): "two|three, but is 'one'",
        lambda: file.text("{*}Info/NAME", "on"): "must match on, but is 'one'",
        lambda: file.expect("{*}Info/NAME", "two"): "Info/NAME in MTD.xml must be two",
        lambda: file.time("{*}Info/NAME"): "must be a time in UTC",
        lambda: file.number("{*}Info/NAME"): "must be a number",
        lambda: file.number("{*}Info/N", 0, 100): "must be 0 to 100",
        lambda: XmlFile(DOCUMENT, "MTD.xml", "Other"): "the root of MTD.xml must be Other",
    }.items():
        with pytest.raises(ProductError) as error:
            look_up()
        assert complaint in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["2024-13-01T00:00:00Z", "2024-08-14", "2024-08-14T10:00:31", "20240814T100031Z", ""]
)
def test_invalid_times(text: str) -> None:
    with pytest.raises(ProductError):
        XmlFile(f"<a><t>{text}</t></a>".encode(), "MTD.xml", "a").time("t")


@pytest.mark.parametrize("text", ["", None, "nan", "inf", "1_000", "1e999", "٣", "1,5", "0x10"])
def test_invalid_numbers(text: str | None) -> None:
    with pytest.raises(ProductError):
        parse_number(text, "it")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("document", [BOMB, b"<!DOCTYPE a><a/>"], ids=["entity", "no entity"])
def test_a_doctype_is_refused(tmp_path: Path, document: bytes, encoding: str) -> None:
    path = tmp_path / "MTD.xml"
    path.write_bytes(document.decode().encode(encoding))
    with pytest.raises(ProductError, match=r"MTD\.xml must not have a DOCTYPE"):
        check_prolog(path, "MTD.xml")
    with pytest.raises(ProductError, match=r"MTD\.xml must not have a DOCTYPE"):
        parse_xml(path.read_bytes(), "MTD.xml")


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html/>", b"\r\n<HTML><body>", b"<html/>"])
def test_html_is_called_html(content: bytes) -> None:
    with pytest.raises(ProductError, match=r"a page of HTML instead of MTD\.xml"):
        parse_xml(content, "MTD.xml")


def test_only_the_prolog_is_read(tmp_path: Path) -> None:
    path = tmp_path / "MTD.xml"
    path.write_bytes(b"<?xml version='1.0'?><!-- c --><a>" + b"<b/>" * 100_000 + b"<not closed")
    check_prolog(path, "MTD.xml")


@pytest.mark.parametrize("content", [b"", b"   ", b"\x00\xff", b"no XML", b"<?xml version='9'?>"])
def test_other_content_is_not_xml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "MTD.xml"
    path.write_bytes(content)
    with pytest.raises(ProductError, match=r"MTD\.xml is not well-formed"):
        check_prolog(path, "MTD.xml")


def test_a_prolog_has_a_maximum_size(tmp_path: Path) -> None:
    """The parser keeps a whole comment in memory, and searches it again with each new part."""
    path = tmp_path / "MTD.xml"
    path.write_bytes(b"<!--" + b"x" * 200_000 + b"--><a/>")
    check_prolog(path, "MTD.xml")
    path.write_bytes(b"<!--" + b"x" * 300_000 + b"--><a/>")
    with pytest.raises(ProductError, match=r"MTD\.xml is not well-formed"):
        check_prolog(path, "MTD.xml")


def test_a_document_has_a_maximum_size() -> None:
    assert parse_xml(b"<a>" + b" " * 2_097_145 + b"</a>", "MTD.xml").tag == "a"
    with pytest.raises(
        ProductError, match=r"MTD\.xml must have at most 2097152 bytes, but has 2097153"
    ):
        parse_xml(b"<a>" + b" " * 2_097_146 + b"</a>", "MTD.xml")


def test_deeply_nested_elements_are_refused() -> None:
    """Libraries would overflow the stack when they write them."""
    assert parse_xml(b"<a>" * 100 + b"</a>" * 100, "MTD.xml").tag == "a"
    with pytest.raises(ProductError, match=r"MTD\.xml must have at most 100 levels of elements"):
        parse_xml(b"<a>" * 101 + b"</a>" * 101, "MTD.xml")


@pytest.mark.parametrize(
    "declared", ["utf-16", "utf-32", "utf-7", "ebcdic-cp-us", "shift_jis", "x-none", "zlib", "hex"]
)
def test_a_wrong_encoding_is_refused(declared: str) -> None:
    with pytest.raises(ProductError, match=r"MTD\.xml is not well-formed"):
        parse_xml(f'<?xml version="1.0" encoding="{declared}"?><a/>'.encode(), "MTD.xml")


@pytest.mark.parametrize("unit", ["<x/>", '<x a="" b=""/>', "<!---->", "<?x?>"])
def test_a_document_has_a_maximum_number_of_elements(unit: str) -> None:
    """Each of them takes far more memory than its text."""
    content = f"<x>{unit * 130_000}</x>".encode()
    with pytest.raises(VerificationError, match=r"MTD\.xml must have at most 120000 elements"):
        parse_xml(content, "MTD.xml")
