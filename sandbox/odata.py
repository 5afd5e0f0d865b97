"""Products in the OData service of the catalogue: one by UUID, or a search. Deleted ones as well.

The entities have the fields of recorded responses, except the BLAKE3 checksum; those of deleted
products have the fields that the documentation lists. The responses to an unknown UUID and to other
searches are guesses.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sandbox.metadata_reader import MetadataReader
from sandbox.response import Response
from sandbox.store import ServedProduct

PRODUCTS_PATH = "/odata/v1/Products"
ENTITIES = (PRODUCTS_PATH, "/odata/v1/DeletedProducts")
MAX_SKIP = 10_000

_TERMS: Mapping[str, Callable[[ServedProduct, str], bool]] = {
    r"Collection/Name eq '([^']*)'": lambda product, text: text == "SENTINEL-2",
    r"Name eq '([^']*)'": lambda product, text: product.name == text,
    r"startswith\(Name, *'([^']*)'\)": lambda product, text: product.name.startswith(text),
    r"contains\(Name, *'([^']*)'\)": lambda product, text: text in product.name,
    r"ContentDate/Start g[te] (\S+)": lambda product, text: _start(product) >= text,
    r"ContentDate/Start l[te] (\S+)": lambda product, text: _start(product) <= text,
}
_EXPANDABLE = ("Attributes", "Assets")


def search(
    products: Iterable[ServedProduct], query: list[tuple[str, str]], catalogue: str
) -> Response:
    """Answer a search whose ``$filter`` has some terms of `_TERMS`, joined by ``and``.

    Args:
        products: The products to search.
        query: Names and values of the query's parameters.
        catalogue: Origin of the catalogue.
    """
    values = dict(query)
    skip, top = values.get("$skip", "0"), values.get("$top", "20")
    if skip.isdigit() and int(skip) > MAX_SKIP:
        return Response.json({"detail": [_skip_limit(skip)]}, 422)
    found = list(products)
    for term in values.get("$filter", "").split(" and "):
        matches = [(test, re.fullmatch(pattern, term)) for pattern, test in _TERMS.items()]
        known = [(test, match[1]) for test, match in matches if match]
        if not known:
            return Response.json({"detail": f"the sandbox does not support {term!r}"}, 400)
        [(test, text)] = known
        found = [product for product in found if test(product, text)]
    expand = _expanded(query)
    page = found[int(skip) : int(skip) + int(top)]
    entities = [entity(product, catalogue, expand) for product in page]
    return Response.json({"@odata.context": _context(expand), "value": entities})


def single(product: ServedProduct, query: list[tuple[str, str]], catalogue: str) -> Response:
    """Answer a request for one product."""
    expand = _expanded(query)
    context = {"@odata.context": f"{_context(expand)}/$entity"}
    return Response.json(context | entity(product, catalogue, expand))


def entity(product: ServedProduct, catalogue: str, expand: tuple[str, ...] = ()) -> dict[str, Any]:
    """Describe a product. This lays out its zip, whose size and MD5 it contains."""
    reader = MetadataReader(product.folder)
    archive = product.archive()
    published = reader.time("GENERATION_TIME")
    ring = reader.ring
    s3_path = f"/eodata/{product.s3_key}"
    found: dict[str, Any] = {
        "@odata.mediaContentType": "application/octet-stream",
        "Id": product.uuid,
        "Name": product.name,
        "ContentType": "application/octet-stream",
        "ContentLength": archive.size,
        "OriginDate": published,
        "PublicationDate": published,
        "ModificationDate": published,
        "Online": product.online,
        "EvictionDate": "9999-12-31T23:59:59.999999Z",
        "S3Path": s3_path,
        "Checksum": [{"Value": archive.md5, "Algorithm": "MD5", "ChecksumDate": published}],
        "ContentDate": {
            "Start": reader.time("PRODUCT_START_TIME"),
            "End": reader.time("PRODUCT_STOP_TIME"),
        },
    }
    if product.deletion is not None:
        for name in ("PublicationDate", "ModificationDate", "Online", "EvictionDate", "S3Path"):
            del found[name]
        found["DeletionCause"], found["DeletionDate"] = product.deletion
    if ring is not None:
        corners = ", ".join(f"{longitude!r} {latitude!r}" for longitude, latitude in ring)
        found["Footprint"] = f"geography'SRID=4326;POLYGON (({corners}))'"
        found["GeoFootprint"] = {"type": "Polygon", "coordinates": [ring]}
    if "Attributes" in expand:
        found["Attributes"] = _attributes(reader)
    if "Assets" in expand:
        asset = str(uuid.uuid5(uuid.UUID(product.uuid), "QUICKLOOK"))
        found["Assets"] = [
            {
                "Type": "QUICKLOOK",
                "Id": asset,
                "DownloadLink": f"{catalogue}/odata/v1/Assets({asset})/$value",
                "S3Path": s3_path,
            }
        ]
    return found


def _attributes(reader: MetadataReader) -> list[dict[str, Any]]:
    start = reader.time("PRODUCT_START_TIME")
    values: Mapping[str, tuple[str, Any]] = {
        "origin": ("String", "ESA"),
        "tileId": ("String", reader.tile),
        "cloudCover": ("Double", reader.number("Cloud_Coverage_Assessment")),
        "datastripId": ("String", reader.attribute("Granule", "datastripIdentifier")),
        "orbitNumber": ("Integer", reader.absolute_orbit),
        "processingDate": ("DateTimeOffset", reader.time("GENERATION_TIME")),
        "productGroupId": ("String", reader.attribute("Datatake", "datatakeIdentifier")),
        "operationalMode": ("String", reader.text("DATATAKE_TYPE")),
        "processingLevel": ("String", "S2MSI1C"),
        "processorVersion": ("String", reader.text("PROCESSING_BASELINE")),
        "platformShortName": ("String", "SENTINEL-2"),
        "instrumentShortName": ("String", "MSI"),
        "relativeOrbitNumber": ("Integer", reader.integer("SENSING_ORBIT_NUMBER")),
        "platformSerialIdentifier": ("String", (reader.text("SPACECRAFT_NAME") or "")[-1:]),
        "productType": ("String", reader.text("PRODUCT_TYPE")),
        "beginningDateTime": ("DateTimeOffset", start),
        "endingDateTime": ("DateTimeOffset", reader.time("PRODUCT_STOP_TIME")),
    }
    return [
        {
            "@odata.type": f"#OData.CSC.{kind}Attribute",
            "Name": name,
            "Value": value,
            "ValueType": kind,
        }
        for name, (kind, value) in values.items()
    ]


def _start(product: ServedProduct) -> str:
    return MetadataReader(product.folder).time("PRODUCT_START_TIME") or ""


def _expanded(query: list[tuple[str, str]]) -> tuple[str, ...]:
    requested = {name for key, value in query if key == "$expand" for name in value.split(",")}
    return tuple(name for name in _EXPANDABLE if name in requested)


def _context(expand: tuple[str, ...]) -> str:
    members = f"({','.join(f'{name}()' for name in expand)})" if expand else ""
    return f"$metadata#Products{members}"


def _skip_limit(skip: str) -> dict[str, Any]:
    return {
        "type": "less_than_equal",
        "loc": ["query", "$skip"],
        "msg": f"Input should be less than or equal to {MAX_SKIP}",
        "input": skip,
        "ctx": {"le": MAX_SKIP},
    }
