"""The XML files of a product, parsed with bounds because others have written them."""

import io
import math
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from stage_in.errors import ProductError, VerificationError
from stage_in.secrets import excerpt

# Real documents have up to 1 MB, with 10,000 elements and attributes. Each takes up to 0.3 kB of
# memory in each of the two parsers.
MAX_XML_SIZE = 2 * 1024 * 1024  # bytes; MTD_TL.xml has up to 1.02 MB
_MAX_NODES = 120_000
_MAX_DEPTH = 100  # real documents have about ten levels; libraries write them recursively
_MAX_PROLOG_SIZE = 256 * 1024  # bytes before the first element

_UNREADABLE = (ParseError, ValueError, LookupError, RecursionError)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)


def is_xml(path: str) -> bool:
    """Tell whether a file of a product is an XML document that other software will parse.

    The pages in HTML/ do not count: they may have a document type declaration.
    """
    return path.endswith((".xml", ".gml", ".safe"))


def parse_xml(document: bytes, name: str) -> Element:
    """Parse an XML document that has no document type declaration.

    The platform's metadata have none. A declaration could define entities that read local files or
    exhaust the memory.

    Args:
        document: the content of the file.
        name: the name of the file, for the message.

    Raises:
        VerificationError: the document has a declaration, is not well-formed, is too large, or has
            too many elements.
    """
    if len(document) > MAX_XML_SIZE:
        raise VerificationError(
            f"the file {name} must have at most {MAX_XML_SIZE} bytes, but has {len(document)}"
        )
    if document.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        raise VerificationError(f"the server sent a page of HTML instead of {name}")
    try:
        parser = defusedxml.ElementTree.XMLParser(target=_Builder(name), forbid_dtd=True)
        parser.feed(document)
        root: Element = parser.close()
    except DefusedXmlException as error:
        raise VerificationError(f"the file {name} must not have a DOCTYPE, but has one") from error
    except _UNREADABLE as error:
        raise VerificationError(f"the file {name} is not well-formed XML: {error}") from error
    return root


class _Builder(TreeBuilder):
    """Builds the tree of a document, as long as that is no larger than those of products."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._left = _MAX_NODES
        self._depth = 0

    def start(self, tag: Any, attrs: dict[Any, Any], /) -> Element:
        self._count(1 + len(attrs))
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise VerificationError(
                f"the file {self._name} must have at most {_MAX_DEPTH} levels of elements, but has "
                "more"
            )
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)

    def comment(self, text: str | None, /) -> Element:
        self._count(1)  # this parser leaves comments out, but lxml keeps them
        return super().comment(text)

    def pi(self, target: str, text: str | None = None, /) -> Element:
        self._count(1)
        return super().pi(target, text)

    def _count(self, nodes: int) -> None:
        self._left -= nodes
        if self._left < 0:
            raise VerificationError(
                f"the file {self._name} must have at most {_MAX_NODES} elements and attributes, "
                "but has more"
            )


def check_prolog(path: Path, name: str) -> None:
    """Check that a file which other software will parse has no document type declaration.

    The file is read up to its first element: after that, a declaration is not well-formed.

    Args:
        path: the file.
        name: the name of the file, for the message.

    Raises:
        ProductError: it has a declaration, or no XML element starts near the beginning.
    """
    try:
        with path.open("rb") as file:
            prolog = io.BytesIO(file.read(_MAX_PROLOG_SIZE))
        next(defusedxml.ElementTree.iterparse(prolog, events=("start",), forbid_dtd=True))
    except DefusedXmlException as error:
        raise ProductError(f"the file {name} must not have a DOCTYPE, but has one") from error
    except (*_UNREADABLE, StopIteration, OSError) as error:
        raise ProductError(f"the file {name} is not well-formed XML: {error}") from error


def parse_number(text: str | None, what: str) -> float:
    """Return a finite decimal number.

    Args:
        text: the number, in the notation of XML.
        what: what the number is, for the message.

    Raises:
        ProductError: the text is not a finite number.
    """
    stripped = (text or "").strip()
    number = float(stripped) if _NUMBER.fullmatch(stripped) else math.nan
    if not math.isfinite(number):
        raise ProductError(f"{what} must be a number, but is {excerpt(stripped, 40)!r}")
    return number


class XmlFile:
    """One XML file of a product, whose elements are looked up by path.

    An element that is needed must be there exactly once; otherwise an error names it. Paths are
    those of ElementTree, with `{*}` for the namespace, which differs between the versions of the
    specification.

    Attributes:
        name: the name of the file in messages.
    """

    def __init__(self, content: bytes, name: str, root: str) -> None:
        """Parse the file.

        Args:
            content: the bytes of the file.
            name: the name of the file in messages.
            root: the local name that its root element must have.

        Raises:
            VerificationError: it is not acceptable XML.
            ProductError: its root element is another.
        """
        self.name = name
        self._root = parse_xml(content, name)
        found = self._root.tag.rpartition("}")[2]
        if found != root:
            raise ProductError(f"the root of {name} must be {root}, but is {excerpt(found, 80)}")

    def elements(self, path: str) -> list[Element]:
        """Return all elements at a path, possibly none."""
        return self._root.findall(path)

    def element(self, path: str) -> Element:
        """Return the only element at a path.

        Raises:
            ProductError: there is none, or more than one.
        """
        found = self.elements(path)
        if len(found) != 1:
            raise ProductError(
                f"{self.describe(path)} must occur once, but occurs {len(found)} times"
            )
        return found[0]

    def text(self, path: str, pattern: str = ".+") -> str:
        """Return the text of the only element at a path, without surrounding white space.

        Raises:
            ProductError: there is no such element, or its text does not match the pattern.
        """
        text = (self.element(path).text or "").strip()
        if re.fullmatch(pattern, text, re.ASCII) is None:
            raise ProductError(
                f"{self.describe(path)} must match {pattern}, but is {excerpt(text, 80)!r}"
            )
        return text

    def expect(self, path: str, expected: str) -> None:
        """Check the text of the only element at a path.

        Raises:
            ProductError: the text is another.
        """
        found = self.text(path)
        if found != expected:
            raise ProductError(
                f"{self.describe(path)} must be {expected}, but is {excerpt(found, 100)!r}. The "
                "file belongs to another product, or it was changed"
            )

    def time(self, path: str) -> str:
        """Return a time in UTC as STAC writes it (RFC 3339).

        Raises:
            ProductError: the text is not a time.
        """
        text = self.text(path)
        try:
            valid = _TIME.fullmatch(text) and datetime.fromisoformat(text)
        except ValueError:
            valid = None
        if not valid:
            raise ProductError(
                f"{self.describe(path)} must be a time in UTC, but is {excerpt(text, 40)!r}"
            )
        return text

    def number(self, path: str, minimum: float = -math.inf, maximum: float = math.inf) -> float:
        """Return the only number at a path.

        Raises:
            ProductError: the text is not a number, or the number is out of range.
        """
        number = parse_number(self.text(path), self.describe(path))
        if not minimum <= number <= maximum:
            raise ProductError(
                f"{self.describe(path)} must be {minimum:g} to {maximum:g}, but is {number:g}"
            )
        return number

    def describe(self, path: str) -> str:
        """Return the name of the element at a path and of its file, for messages."""
        return f"{path.replace('{*}', '').removeprefix('.//')} in {self.name}"
