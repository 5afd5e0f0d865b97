"""STAC items as CDSE's two STAC APIs write them, made from a SAFE folder.

They repeat the platform's oddities: checksums with a wrong multihash prefix, a ``storage:refs``
that is not a list, and an offset of -0.1 for every baseline.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from sandbox.metadata_reader import MetadataReader
from sandbox.nodes import node_path
from sandbox.store import ServedProduct
from sandbox.tokens import DISCOVERY_PATH

_TRACES = "https://trace.dataspace.copernicus.eu/api/v1/traces/name"

NEW_PATH = "/v1/collections/sentinel-2-l1c/items"
LEGACY_PATH = "/stac/collections/SENTINEL-2/items"

# In the order of band_id: title, centre wavelength and full width at half maximum in micrometres,
# common name, pixel size in metres. CDSE's items have Sentinel-2A's values for all satellites.
_BANDS = {
    "B01": ("Coastal aerosol (band 1)", 0.443, 0.228, "coastal", 60),
    "B02": ("Blue (band 2)", 0.493, 0.267, "blue", 10),
    "B03": ("Green (band 3)", 0.56, 0.291, "green", 10),
    "B04": ("Red (band 4)", 0.665, 0.342, "red", 10),
    "B05": ("Red edge 1 (band 5)", 0.704, 0.357, "rededge071", 20),
    "B06": ("Red edge 2 (band 6)", 0.741, 0.374, "rededge075", 20),
    "B07": ("Red edge 3 (band 7)", 0.783, 0.399, "rededge078", 20),
    "B08": ("NIR 1 (band 8)", 0.833, 0.454, "nir", 10),
    "B8A": ("NIR 2 (band 8A)", 0.865, 0.441, "nir08", 20),
    "B09": ("NIR 3 (band 9)", 0.945, 0.479, "nir09", 60),
    "B10": ("Cirrus (band 10)", 1.377, 0.706, "cirrus", 60),
    "B11": ("SWIR 1 (band 11)", 1.614, 0.841, "swir16", 20),
    "B12": ("SWIR 2 (band 12)", 2.202, 1.16, "swir22", 20),
}

_METADATA = {
    "safe_manifest": "manifest.safe",
    "product_metadata": "MTD_MSIL1C.xml",
    "granule_metadata": "GRANULE/*/MTD_TL.xml",
    "inspire_metadata": "INSPIRE.xml",
    "datastrip_metadata": "DATASTRIP/*/MTD_DS.xml",
}

# Multihash prefixes: the algorithm's code as a varint, then the digest's length
# (multiformats/multicodec).
_MD5 = "d50110"
_SHA3_256 = "1620"
# CDSE writes MD5's code before the SHA3-256 digests of the XML files.
_MISLABELLED_SHA3_256 = "d50120"

# Some CDSE items of 2025 and 2026 have this text in place of a list.
_PRODUCT_STORAGE_REFS = "\U0001235f\u203b"

_DESIGNATORS = {
    "Sentinel-2A": "2015-028A",
    "Sentinel-2B": "2017-013A",
    "Sentinel-2C": "2024-157A",
}

_EOPF_EXTENSION = "https://cs-si.github.io/eopf-stac-extension/v1.2.0/schema.json"
_EXTENSIONS = (
    "alternate-assets/v1.2.0", "authentication/v1.1.0", "eo/v2.0.0", "file/v2.1.0", "grid/v1.1.0",
    "processing/v1.2.0", "product/v1.0.0", "projection/v2.0.0", "raster/v2.0.0", "sat/v1.1.0",
    "storage/v2.0.0", "timestamps/v1.1.0", "view/v1.1.0",
)  # fmt: skip

# The storage schemes' descriptions and the endpoints, as CDSE's items have them.
_STORAGE_SCHEMES = {
    "cdse-s3": {
        "type": "custom-s3",
        "title": "Copernicus Data Space Ecosystem S3",
        "description": (
            "This endpoint provides access to EO data which is stored on the object storage of "
            "both CloudFerro Cloud and OpenTelekom Cloud (OTC). See the [documentation]"
            "(https://documentation.dataspace.copernicus.eu/APIs/S3.html) for more information, "
            "including how to get credentials."
        ),
        "platform": "https://eodata.dataspace.copernicus.eu",
        "requester_pays": False,
    },
    "creodias-s3": {
        "type": "custom-s3",
        "title": "CREODIAS S3",
        "description": (
            "Comprehensive Earth Observation Data (EODATA) archive offered by CREODIAS as a "
            "commercial part of CDSE, designed to provide users with access to a vast repository "
            "of satellite data without predefined quota limits."
        ),
        "platform": "https://eodata.cloudferro.com",
        "requester_pays": True,
    },
}


def new_item(product: ServedProduct, origins: Mapping[str, str]) -> dict[str, Any]:
    """Write the item of the new STAC API: STAC 1.1.0, with an asset for each band.

    This computes the checksums that the product's manifest does not contain, and lays out the zip.

    Args:
        product: The product.
        origins: Origins of the services by role.
    """
    writer = _NewItem(product, origins)
    href = f"{origins['stac']}/v1/collections/sentinel-2-l1c"
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [
            _EOPF_EXTENSION,
            *(f"https://stac-extensions.github.io/{name}/schema.json" for name in _EXTENSIONS),
        ],
        "id": product.id,
        "collection": "sentinel-2-l1c",
        **_footprint(writer.metadata),
        "properties": writer.properties(),
        "links": [
            {"rel": "collection", "type": "application/json", "href": href},
            {"rel": "parent", "type": "application/json", "href": href},
            {"rel": "root", "type": "application/json", "href": f"{origins['stac']}/v1/"},
            {
                "rel": "self",
                "type": "application/geo+json",
                "href": f"{href}/items/{product.id}",
            },
            {
                "rel": "version-history",
                "href": f"{_TRACES}/{product.name}.zip",
                "type": "application/json",
                "title": "Product history record from the CDSE traceability service",
            },
            {
                "rel": "enclosure",
                "href": f"{writer.s3}/",
                "type": "application/x-directory",
                "title": "S3 path to source directory",
                **_S3,
            },
        ],
        "assets": writer.assets(),
    }


def legacy_item(product: ServedProduct, origins: Mapping[str, str]) -> dict[str, Any]:
    """Write the item of the legacy STAC API: STAC 1.0.0, with the zip and a quicklook.

    Args:
        product: The product.
        origins: Origins of the services by role.
    """
    metadata = MetadataReader(product.folder)
    catalogue = origins["catalogue"]
    collection = f"{catalogue}/stac/collections/SENTINEL-2"
    start = metadata.text("PRODUCT_START_TIME")
    properties = {
        "datetime": start,
        "start_datetime": start,
        "end_datetime": metadata.text("PRODUCT_STOP_TIME"),
        "platformShortName": "SENTINEL-2",
        "instrumentShortName": "MSI",
        "productType": "S2MSI1C",
        "processingLevel": "S2MSI1C",
        "processorVersion": metadata.text("PROCESSING_BASELINE"),
        "relativeOrbitNumber": metadata.integer("SENSING_ORBIT_NUMBER"),
        "cloudCover": metadata.number("Cloud_Coverage_Assessment"),
        "origin": "ESA",
    }
    path = f"/eodata/{product.s3_key}"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/alternate-assets/v1.1.0/schema.json"
        ],
        "id": product.name,
        "collection": "SENTINEL-2",
        **_footprint(metadata),
        "properties": _without_none(properties) | {"datetime": start},
        "links": [
            {"rel": "self", "href": f"{collection}/items/{product.name}"},
            {"rel": "parent", "href": collection},
            {"rel": "collection", "href": collection},
            {"rel": "root", "href": f"{catalogue}/stac"},
        ],
        "assets": {
            "QUICKLOOK": {
                "title": "Quicklook",
                "type": "image/jpeg",
                "roles": ["thumbnail"],
                "href": f"{catalogue}/odata/v1/Assets({product.uuid})/$value",
            },
            "PRODUCT": {
                "title": "Product",
                "type": "application/octet-stream",
                "roles": ["data", "metadata"],
                "href": f"{catalogue}{node_path(product.uuid)}/$value",
                "alternate": {"s3": {"href": path}},
            },
        },
    }


_S3 = {"auth:refs": ["s3"], "storage:refs": ["cdse-s3", "creodias-s3"]}


class _NewItem:
    """Writes the parts of an item of the new STAC API."""

    def __init__(self, product: ServedProduct, origins: Mapping[str, str]) -> None:
        self.product = product
        self.origins = origins
        self.metadata = MetadataReader(product.folder)
        self.checksums = self.metadata.checksums()
        self.s3 = f"s3://eodata/{product.s3_key}"

    def properties(self) -> dict[str, Any]:
        metadata = self.metadata
        start = metadata.time("PRODUCT_START_TIME")
        generated = metadata.time("GENERATION_TIME")
        craft = metadata.text("SPACECRAFT_NAME") or ""
        zenith = metadata.number("Mean_Sun_Angle/ZENITH_ANGLE")
        found = {
            "created": generated,
            "updated": generated,
            "published": generated,
            "expires": "9999-01-01T00:00:00.000000Z",
            "start_datetime": start,
            "end_datetime": metadata.time("PRODUCT_STOP_TIME"),
            "platform": craft.lower() or None,
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "gsd": 10,
            "processing:level": "L1",
            "processing:version": metadata.text("PROCESSING_BASELINE"),
            "processing:datetime": generated,
            "processing:facility": "ESA",
            "processing:software": {"eometadatatool": "sandbox"},
            "product:type": metadata.text("PRODUCT_TYPE"),
            "product:timeliness": "PT24H",
            "product:timeliness_category": "NRT",
            "eo:cloud_cover": metadata.number("Cloud_Coverage_Assessment"),
            "sat:orbit_state": (metadata.text("SENSING_ORBIT_DIRECTION") or "").lower() or None,
            "sat:relative_orbit": metadata.integer("SENSING_ORBIT_NUMBER"),
            "sat:absolute_orbit": metadata.absolute_orbit,
            "sat:platform_international_designator": _DESIGNATORS.get(craft),
            "grid:code": f"MGRS-{metadata.tile}" if metadata.tile else None,
            **self._mean_view(),
            "view:sun_azimuth": metadata.number("Mean_Sun_Angle/AZIMUTH_ANGLE"),
            "view:sun_elevation": None if zenith is None else 90 - zenith,
            "eopf:datatake_id": metadata.attribute("Datatake", "datatakeIdentifier"),
            "eopf:datastrip_id": metadata.attribute("Granule", "datastripIdentifier"),
            "eopf:instrument_mode": metadata.text("DATATAKE_TYPE"),
            "eopf:origin_datetime": generated,
            "auth:schemes": {
                "s3": {"type": "s3"},
                "oidc": {
                    "type": "openIdConnect",
                    "openIdConnectUrl": f"{self.origins['identity']}{DISCOVERY_PATH}",
                },
            },
            "storage:schemes": _STORAGE_SCHEMES,
        }
        return {"datetime": start} | _without_none(found)

    def assets(self) -> dict[str, Any]:
        found = {}
        for key, pattern in _METADATA.items():
            for path in self._files(pattern):
                found[key] = {
                    "type": "application/xml",
                    "title": path.name,
                    "roles": ["metadata"],
                    **self._location(path, xml=True),
                }
        found["thumbnail"] = self._thumbnail()
        for band, (title, centre, width, name, gsd) in _BANDS.items():
            for path in self._files(f"GRANULE/*/IMG_DATA/*_{band}.jp2"):
                found[band] = {
                    "type": "image/jp2",
                    "title": f"{title} - {gsd}m",
                    "roles": ["data", "reflectance"],
                    "bands": [_band(band, title, centre, width, name)],
                    "data_type": "uint16",
                    "nodata": 0,
                    "raster:scale": 0.0001,
                    "raster:offset": -0.1,
                    **self._grid(gsd),
                    **self._view(band),
                    **self._location(path),
                }
        for path in self._files("GRANULE/*/IMG_DATA/*_TCI.jp2"):
            found["TCI"] = {
                "type": "image/jp2",
                "title": "True color image",
                "roles": ["visual"],
                "bands": [_band(band, *_BANDS[band][:4]) for band in ("B04", "B03", "B02")],
                "data_type": "uint8",
                "nodata": 0,
                **self._grid(10),
                **self._location(path),
            }
        archive = self.product.archive()
        found["Product"] = {
            "type": "application/zip",
            "title": "Zipped product",
            "roles": ["data", "metadata", "archive"],
            "file:checksum": f"{_MD5}{archive.md5}",
            "file:size": archive.size,
            "file:local_path": f"{self.product.name}.zip",
            "href": f"{self.origins['download']}{node_path(self.product.uuid)}/$value",
            "auth:refs": ["oidc"],
            "storage:refs": _PRODUCT_STORAGE_REFS,
        }
        return found

    def _files(self, pattern: str) -> list[Path]:
        """Return the file of an asset, or nothing if the product does not contain it."""
        return sorted(self.product.folder.glob(pattern))[:1]

    def _location(self, path: Path, *, xml: bool = False) -> dict[str, Any]:
        """Describe where a file is, its size and its checksum."""
        inside = path.relative_to(self.product.folder)
        node = node_path(self.product.uuid, self.product.name, *inside.parts)
        return {
            "file:checksum": self._checksum(path, xml=xml),
            "file:size": path.stat().st_size,
            "file:local_path": f"{self.product.name}/{inside.as_posix()}",
            "href": f"{self.s3}/{inside.as_posix()}",
            "alternate:name": "S3",
            **_S3,
            "alternate": {
                "https": {
                    "href": f"{self.origins['download']}{node}/$value",
                    "alternate:name": "HTTPS",
                    "auth:refs": ["oidc"],
                    "storage:refs": [],
                }
            },
        }

    def _checksum(self, path: Path, *, xml: bool) -> str:
        """Return the checksum in the manifest, or an MD5 if the manifest does not list the file."""
        inside = path.relative_to(self.product.folder).as_posix()
        algorithm, digest = self.checksums.get(inside, ("", ""))
        if algorithm == "SHA3-256":
            return f"{_MISLABELLED_SHA3_256 if xml else _SHA3_256}{digest}"
        if algorithm != "MD5":
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "md5").hexdigest()
        return f"{_MD5}{digest}"

    def _thumbnail(self) -> dict[str, Any]:
        """Describe the quicklook, which is on another operator's host in CDSE's items.

        Size and checksum are left out if the product does not contain the file.
        """
        path = self.product.folder / f"{self.product.id}-ql.jpg"
        inside = (
            {
                "file:checksum": self._checksum(path, xml=False),
                "file:size": path.stat().st_size,
            }
            if path.is_file()
            else {}
        )
        return {
            "type": "image/jpeg",
            "title": "Quicklook",
            "roles": ["thumbnail", "overview"],
            "data_type": "uint8",
            "proj:code": None,
            "proj:shape": [343, 343],
            **inside,
            "file:local_path": f"{self.product.name}/{path.name}",
            "href": f"{self.origins['stranger']}/odata/v1/Assets({self.product.uuid})/$value",
            "alternate:name": "HTTPS",
            "alternate": {
                "s3": {"href": f"{self.s3}/{path.name}", "alternate:name": "S3", **_S3},
            },
        }

    def _view(self, band: str) -> dict[str, Any]:
        """Return the mean viewing angles of a band, if the tile's metadata contain them."""
        path = f"Mean_Viewing_Incidence_Angle[@bandId='{list(_BANDS).index(band)}']"
        angles = {
            "view:azimuth": self.metadata.number(f"{path}/AZIMUTH_ANGLE"),
            "view:incidence_angle": self.metadata.number(f"{path}/ZENITH_ANGLE"),
        }
        return _without_none(angles)

    def _mean_view(self) -> dict[str, Any]:
        """Return the means of the bands' viewing angles."""
        bands = [self._view(band) for band in _BANDS]
        names = {name for band in bands for name in band}
        return {name: fmean(band[name] for band in bands if name in band) for name in names}

    def _grid(self, gsd: int) -> dict[str, Any]:
        """Describe the grid of an image, if the tile's metadata contain it."""
        metadata = self.metadata
        found: dict[str, Any] = {"gsd": gsd}
        code = metadata.text("HORIZONTAL_CS_CODE")
        left = metadata.number(f"Geoposition[@resolution='{gsd}']/ULX")
        top = metadata.number(f"Geoposition[@resolution='{gsd}']/ULY")
        rows = metadata.integer(f"Size[@resolution='{gsd}']/NROWS")
        columns = metadata.integer(f"Size[@resolution='{gsd}']/NCOLS")
        if code is None or left is None or top is None or rows is None or columns is None:
            return found
        return found | {
            "proj:code": code,
            "proj:shape": [rows, columns],
            "proj:bbox": [left, top - rows * gsd, left + columns * gsd, top],
            "proj:transform": [gsd, 0, left, 0, -gsd, top],
        }


def _footprint(metadata: MetadataReader) -> dict[str, Any]:
    ring = metadata.ring
    if ring is None:
        return {"geometry": None}
    longitudes, latitudes = zip(*ring, strict=True)
    return {
        "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }


def _band(band: str, title: str, centre: float, width: float, name: str) -> dict[str, Any]:
    return {
        "name": band,
        "description": title,
        "eo:center_wavelength": centre,
        "eo:full_width_half_max": width,
        "eo:common_name": name,
    }


def _without_none(pairs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in pairs.items() if value is not None}
