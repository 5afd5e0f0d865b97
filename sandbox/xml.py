"""What the product's XML files have in common: how they are built, written and dated."""

from datetime import UTC, datetime

from lxml import etree
from lxml.builder import ElementMaker

from sandbox.recipe import Recipe

_XSI = "http://www.w3.org/2001/XMLSchema-instance"

# Numbers become text as they are.
TYPES = {int: lambda _, number: str(number), float: lambda _, number: repr(number)}

E = ElementMaker(typemap=TYPES)
"""Makes elements without a namespace, as all are in the specification but the outermost."""


def root_maker(recipe: Recipe, schema: str) -> ElementMaker:
    """Make the maker of a file's outermost elements, in the namespace of its schema."""
    namespace = f"https://{recipe.schema}/PSD/{schema}"
    return ElementMaker(namespace=namespace, nsmap={"n1": namespace, "xsi": _XSI})


def serialise(root: etree._Element) -> bytes:
    """Write a file, indented."""
    content: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)
    return content


def milliseconds(time: datetime) -> str:
    """Write a time as datatakes have it, 2024-08-14T10:00:31.024Z."""
    utc = time.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03}Z"


def microseconds(time: datetime) -> str:
    """Write a time as granules have it, 2024-08-14T10:06:46.266543Z."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
