"""Helpers for the product's XML files: elements, serialisation and times."""

from datetime import UTC, datetime

from lxml import etree
from lxml.builder import ElementMaker

from sandbox.recipe import Recipe

_XSI = "http://www.w3.org/2001/XMLSchema-instance"

# ElementMaker accepts only text unless it is told how to convert numbers.
_TYPES = {int: lambda _, number: str(number), float: lambda _, number: repr(number)}

E = ElementMaker(typemap=_TYPES)
"""Makes elements without a namespace, which all except the outermost ones are."""


def root_maker(recipe: Recipe, schema: str) -> ElementMaker:
    """Return a maker of a file's outermost elements, in the namespace of its schema."""
    namespace = f"https://{recipe.schema}/PSD/{schema}"
    return ElementMaker(namespace=namespace, nsmap={"n1": namespace, "xsi": _XSI})


def serialise(root: etree._Element) -> bytes:
    """Serialise a document with indentation."""
    content: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)
    return content


def milliseconds(time: datetime) -> str:
    """Write a time with milliseconds: 2024-08-14T10:00:31.024Z."""
    utc = time.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03}Z"


def microseconds(time: datetime) -> str:
    """Write a time with microseconds: 2024-08-14T10:06:46.266543Z."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
