"""The XML files of a product, read with care: what is in them was written by others."""

import io
import math
import re
from datetime import datetime
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from stage_in.errors import ProductError, VerificationError

# Elements take up to forty times the memory of their tags. Those of products have up to 0.6 MB.
MAX_XML_SIZE = 4 * 1024 * 1024  # bytes
_MAX_PROLOG_SIZE = 256 * 1024  # bytes in which the first element has begun

_UNREADABLE = (ParseError, ValueError, LookupError, RecursionError)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)


def parse_xml(document: bytes, name: str) -> Element:
    """Parse an XML document that must do without a document type declaration.

    No metadata of the platform has one, and with it come entities: files of this machine read into
    the document, and memory exhausted by their expansion.

    Args:
        document: the file's bytes.
        name: the file's name, for the error.

    Raises:
        VerificationError: it has one, is not well-formed, or larger than such documents are.
    """
    if len(document) > MAX_XML_SIZE:
        raise VerificationError(
            f"expected at most {MAX_XML_SIZE} bytes of {name}, found {len(document)}"
        )
    try:
        root: Element = defusedxml.ElementTree.fromstring(document, forbid_dtd=True)
    except DefusedXmlException as error:
        raise VerificationError(f"expected {name} without a DOCTYPE, found one: refused") from error
    except _UNREADABLE as error:
        raise VerificationError(f"expected well-formed XML in {name}: {error}") from error
    return root


def check_prolog(path: Path, name: str) -> None:
    """Refuse a document type declaration in a file that others will parse.

    Reads up to the first element: after it, a declaration is not well-formed XML.

    Args:
        path: the file.
        name: what the error calls it.

    Raises:
        ProductError: it has one, or no XML begins there, after no more than a comment.
    """
    try:
        with path.open("rb") as file:
            begin = io.BytesIO(file.read(_MAX_PROLOG_SIZE))
        next(defusedxml.ElementTree.iterparse(begin, events=("start",), forbid_dtd=True))
    except DefusedXmlException as error:
        raise ProductError(f"expected {name} without a DOCTYPE, found one: refused") from error
    except (*_UNREADABLE, StopIteration, OSError) as error:
        raise ProductError(f"expected well-formed XML in {name}: {error}") from error


def read_number(text: str | None, what: str) -> float:
    """Return a finite decimal number.

    Args:
        text: the number, in XML's notation.
        what: which it is, for the error.

    Raises:
        ProductError: it is something else.
    """
    plain = (text or "").strip()
    number = float(plain) if _NUMBER.fullmatch(plain) else math.nan
    if not math.isfinite(number):
        raise ProductError(f"expected a number as {what}, found {plain[:40]!r}")
    return number


class XmlFile:
    """One XML file of a product: what is asked of it is there, and once, or refused by name.

    Paths are those of ElementTree, `{*}` standing for whichever namespace the specification's
    issue has.

    Attributes:
        name: what errors call it.
    """

    def __init__(self, content: bytes, name: str, root: str) -> None:
        """Parse it.

        Args:
            content: the file's bytes.
            name: what errors call it.
            root: the local name that its root must have.

        Raises:
            VerificationError: it is no XML that is taken.
            ProductError: its root is another.
        """
        self.name = name
        self._root = parse_xml(content, name)
        found = self._root.tag.rpartition("}")[2]
        if found != root:
            raise ProductError(f"expected {root} as the root of {name}, found {found[:80]}")

    def elements(self, path: str) -> list[Element]:
        """Return all elements at a path, maybe none."""
        return self._root.findall(path)

    def element(self, path: str) -> Element:
        """Return the one element at a path.

        Raises:
            ProductError: there is none, or more than one: nobody knows which of them holds.
        """
        found = self.elements(path)
        if len(found) != 1:
            raise ProductError(f"expected {self.called(path)} once, found it {len(found)} times")
        return found[0]

    def text(self, path: str, pattern: str = ".+") -> str:
        """Return the text of the one element at a path, without the white space around it.

        Raises:
            ProductError: there is no such element, or its text does not match the pattern.
        """
        text = (self.element(path).text or "").strip()
        if re.fullmatch(pattern, text, re.ASCII) is None:
            raise ProductError(
                f"expected {self.called(path)} to be like {pattern}, found {text[:80]!r}"
            )
        return text

    def expect(self, path: str, expected: str) -> None:
        """Check the text of the one element at a path.

        Raises:
            ProductError: it is another.
        """
        found = self.text(path)
        if found != expected:
            raise ProductError(
                f"expected {expected} as {self.called(path)}, found {found[:100]!r}: it is of "
                "another product, or the file was changed"
            )

    def time(self, path: str) -> str:
        """Return a time as STAC has it (RFC 3339, in UTC).

        Raises:
            ProductError: it is none.
        """
        text = self.text(path)
        try:
            valid = _TIME.fullmatch(text) and datetime.fromisoformat(text)
        except ValueError:
            valid = None
        if not valid:
            raise ProductError(
                f"expected a time in UTC as {self.called(path)}, found {text[:40]!r}"
            )
        return text

    def number(self, path: str, least: float = -math.inf, most: float = math.inf) -> float:
        """Return the one number at a path.

        Raises:
            ProductError: it is none, or beyond the bounds.
        """
        number = read_number(self.text(path), self.called(path))
        if not least <= number <= most:
            raise ProductError(
                f"expected {least:g} to {most:g} as {self.called(path)}, found {number:g}"
            )
        return number

    def called(self, path: str) -> str:
        """Return what an error calls the element at a path."""
        return f"{path.replace('{*}', '').removeprefix('.//')} in {self.name}"
