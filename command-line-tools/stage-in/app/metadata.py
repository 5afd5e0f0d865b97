"""The XML files of a product, read with care: what is in them was written by others."""

from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from app.errors import VerificationError


def parse_xml(document: bytes, name: str) -> Element:
    """Parse an XML document that must do without a document type declaration.

    No metadata of the platform has one, and with it come entities: files of this machine read into
    the document, and memory exhausted by their expansion.

    Args:
        document: the file's bytes.
        name: the file's name, for the error.

    Raises:
        VerificationError: it has one, or is not well-formed.
    """
    try:
        root: Element = defusedxml.ElementTree.fromstring(document, forbid_dtd=True)
    except DefusedXmlException as error:
        raise VerificationError(f"expected {name} without a DOCTYPE, found one: refused") from error
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise VerificationError(f"expected well-formed XML in {name}: {error}") from error
    return root
