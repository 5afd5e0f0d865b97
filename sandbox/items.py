"""STAC items as CDSE's two STAC APIs write them, made from a SAFE folder.

The shapes follow the platform's, its oddities included: checksums whose multihash prefix does not
fit, a ``storage:refs`` that is no list, an offset of -0.1 whatever the baseline.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.facts import Facts
from sandbox.nodes import node_path
from sandbox.store import Holding
from sandbox.tokens import DISCOVERY_PATH

NEW_PATH = "/v1/collections/sentinel-2-l1c/items"
LEGACY_PATH = "/stac/collections/SENTINEL-2/items"

# name, centre wavelength and full width at half maximum in micrometres, common name, metres:
# the Sentinel-2A column of ESA's spectral responses, as CDSE's items give it
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

# multicodec codes as hexadecimal varints with the digest's length (multiformats/multicodec)
_MD5 = "d50110"
_SHA3_256 = "1620"
# not a multihash: MD5's code before a digest of 32 bytes, as CDSE writes it for the XML files
_MISLABELLED = "d50120"

# what CDSE wrote in place of a list in items of 2025 and 2026
_MARKER = "\U0001235f\u203b"

_DESIGNATORS = {
    "Sentinel-2A": "2015-028A",
    "Sentinel-2B": "2017-013A",
    "Sentinel-2C": "2024-157A",
}

_EXTENSIONS = (
    "alternate-assets/v1.2.0",
    "authentication/v1.1.0",
    "eo/v2.0.0",
    "file/v2.1.0",
    "grid/v1.1.0",
    "processing/v1.2.0",
    "product/v1.0.0",
    "projection/v2.0.0",
    "raster/v2.0.0",
    "sat/v1.1.0",
    "storage/v2.0.0",
    "timestamps/v1.1.0",
    "view/v1.0.0",
)


def new_item(holding: Holding, origins: Mapping[str, str]) -> dict[str, Any]:
    """The item of the new STAC API: STAC 1.1.0, with an asset for each band.

    Reads the files whose checksums the product's manifest does not give, and packs the zip.

    Args:
        holding: The product.
        origins: Origins of the services by role.
    """
    writer = _NewItem(holding, origins)
    href = f"{origins['stac']}/v1/collections/sentinel-2-l1c"
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [
            f"https://stac-extensions.github.io/{name}/schema.json" for name in _EXTENSIONS
        ],
        "id": holding.id,
        "collection": "sentinel-2-l1c",
        **writer.facts.place(),
        "properties": writer.properties(),
        "links": [
            {"rel": "collection", "type": "application/json", "href": href},
            {"rel": "parent", "type": "application/json", "href": href},
            {"rel": "root", "type": "application/json", "href": f"{origins['stac']}/v1/"},
            {
                "rel": "self",
                "type": "application/geo+json",
                "href": f"{href}/items/{holding.id}",
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


def legacy_item(holding: Holding, origins: Mapping[str, str]) -> dict[str, Any]:
    """The item of the deprecated STAC API: STAC 1.0.0, with the zip and a quicklook.

    Args:
        holding: The product.
        origins: Origins of the services by role.
    """
    facts = Facts(holding)
    catalogue = origins["catalogue"]
    collection = f"{catalogue}/stac/collections/SENTINEL-2"
    start = facts.text("PRODUCT_START_TIME")
    properties = {
        "datetime": start,
        "start_datetime": start,
        "end_datetime": facts.text("PRODUCT_STOP_TIME"),
        "platformShortName": "SENTINEL-2",
        "instrumentShortName": "MSI",
        "productType": "S2MSI1C",
        "processingLevel": "S2MSI1C",
        "processorVersion": facts.text("PROCESSING_BASELINE"),
        "relativeOrbitNumber": facts.whole("SENSING_ORBIT_NUMBER"),
        "cloudCover": facts.number("Cloud_Coverage_Assessment"),
        "origin": "ESA",
    }
    path = f"/eodata/{facts.key}"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/alternate-assets/v1.1.0/schema.json"
        ],
        "id": holding.name,
        "collection": "SENTINEL-2",
        **facts.place(),
        "properties": _without_none(properties) | {"datetime": start},
        "links": [
            {"rel": "self", "href": f"{collection}/items/{holding.name}"},
            {"rel": "parent", "href": collection},
            {"rel": "collection", "href": collection},
            {"rel": "root", "href": f"{catalogue}/stac"},
        ],
        "assets": {
            "QUICKLOOK": {
                "title": "Quicklook",
                "type": "image/jpeg",
                "roles": ["thumbnail"],
                "href": f"{catalogue}/odata/v1/Assets({holding.uuid})/$value",
            },
            "PRODUCT": {
                "title": "Product",
                "type": "application/octet-stream",
                "roles": ["data", "metadata"],
                "href": f"{catalogue}{node_path(holding.uuid)}/$value",
                "alternate": {"s3": {"href": path}},
            },
        },
    }


_S3 = {"auth:refs": ["s3"], "storage:refs": ["cdse-s3", "creodias-s3"]}


class _NewItem:
    """Writes the parts of an item of the new API."""

    def __init__(self, holding: Holding, origins: Mapping[str, str]) -> None:
        self.holding = holding
        self.origins = origins
        self.facts = Facts(holding)
        self.checksums = self.facts.checksums()
        self.s3 = f"s3://eodata/{self.facts.key}"

    def properties(self) -> dict[str, Any]:
        facts = self.facts
        start = facts.text("PRODUCT_START_TIME")
        craft = facts.text("SPACECRAFT_NAME") or ""
        tile = re.search(r"_T(\w{5})_", self.holding.name)
        orbit = re.search(r"_(\d{6})_", facts.attribute("Datatake", "datatakeIdentifier") or "")
        zenith = facts.number("Mean_Sun_Angle/ZENITH_ANGLE")
        made = facts.text("GENERATION_TIME")
        found = {
            "created": made,
            "updated": made,
            "published": made,
            "start_datetime": start,
            "end_datetime": facts.text("PRODUCT_STOP_TIME"),
            "platform": craft.lower() or None,
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "gsd": 10,
            "processing:level": "L1",
            "processing:version": facts.text("PROCESSING_BASELINE"),
            "processing:datetime": made,
            "processing:facility": "ESA",
            "product:type": facts.text("PRODUCT_TYPE"),
            "product:timeliness": "PT24H",
            "product:timeliness_category": "NRT",
            "eo:cloud_cover": facts.number("Cloud_Coverage_Assessment"),
            "sat:orbit_state": (facts.text("SENSING_ORBIT_DIRECTION") or "").lower() or None,
            "sat:relative_orbit": facts.whole("SENSING_ORBIT_NUMBER"),
            "sat:absolute_orbit": int(orbit[1]) if orbit else None,
            "sat:platform_international_designator": _DESIGNATORS.get(craft),
            "grid:code": f"MGRS-{tile[1]}" if tile else None,
            "view:sun_azimuth": facts.number("Mean_Sun_Angle/AZIMUTH_ANGLE"),
            "view:sun_elevation": None if zenith is None else 90 - zenith,
            "eopf:datatake_id": facts.attribute("Datatake", "datatakeIdentifier"),
            "eopf:datastrip_id": facts.attribute("Granule", "datastripIdentifier"),
            "eopf:instrument_mode": facts.text("DATATAKE_TYPE"),
            "auth:schemes": {
                "s3": {"type": "s3"},
                "oidc": {
                    "type": "openIdConnect",
                    "openIdConnectUrl": f"{self.origins['identity']}{DISCOVERY_PATH}",
                },
            },
            "storage:schemes": {
                "cdse-s3": {
                    "type": "custom-s3",
                    "title": "Copernicus Data Space Ecosystem S3",
                    "platform": "https://eodata.dataspace.copernicus.eu",
                    "requester_pays": False,
                },
                "creodias-s3": {
                    "type": "custom-s3",
                    "title": "CREODIAS S3",
                    "platform": "https://eodata.cloudferro.com",
                    "requester_pays": True,
                },
            },
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
                    **self._remote(path, xml=True),
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
                    **self._remote(path),
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
                **self._remote(path),
            }
        archive = self.holding.archive()
        found["Product"] = {
            "type": "application/zip",
            "title": "Zipped product",
            "roles": ["data", "metadata", "archive"],
            "file:checksum": f"{_MD5}{archive.md5}",
            "file:size": archive.size,
            "file:local_path": f"{self.holding.name}.zip",
            "href": f"{self.origins['download']}{node_path(self.holding.uuid)}/$value",
            "auth:refs": ["oidc"],
            "storage:refs": _MARKER,
        }
        return found

    def _files(self, pattern: str) -> list[Path]:
        """The file that an asset is about, if the product has it."""
        return sorted(self.holding.folder.glob(pattern))[:1]

    def _remote(self, path: Path, *, xml: bool = False) -> dict[str, Any]:
        """Where a file is, how long, and its checksum."""
        inside = path.relative_to(self.holding.folder)
        node = node_path(self.holding.uuid, self.holding.name, *inside.parts)
        return {
            "file:checksum": self._checksum(path, xml=xml),
            "file:size": path.stat().st_size,
            "file:local_path": f"{self.holding.name}/{inside.as_posix()}",
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
        """The checksum of the product's manifest; MD5 of a file that this does not list."""
        inside = path.relative_to(self.holding.folder).as_posix()
        algorithm, digest = self.checksums.get(inside, ("", ""))
        if algorithm == "SHA3-256":
            return f"{_MISLABELLED if xml else _SHA3_256}{digest}"
        if algorithm != "MD5":
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "md5").hexdigest()
        return f"{_MD5}{digest}"

    def _thumbnail(self) -> dict[str, Any]:
        """The quicklook, which CDSE's items take from another operator's host.

        It may be missing from the product itself; then its size and checksum are not given.
        """
        path = self.holding.folder / f"{self.holding.id}-ql.jpg"
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
            "file:local_path": f"{self.holding.name}/{path.name}",
            "href": f"{self.origins['stranger']}/odata/v1/Assets({self.holding.uuid})/$value",
            "alternate:name": "HTTPS",
            "alternate": {
                "s3": {"href": f"{self.s3}/{path.name}", "alternate:name": "S3", **_S3},
            },
        }

    def _grid(self, gsd: int) -> dict[str, Any]:
        """The image's grid, as far as the tile's metadata give it."""
        facts = self.facts
        found: dict[str, Any] = {"gsd": gsd}
        code = facts.text("HORIZONTAL_CS_CODE")
        left = facts.number(f"Geoposition[@resolution='{gsd}']/ULX")
        top = facts.number(f"Geoposition[@resolution='{gsd}']/ULY")
        rows = facts.whole(f"Size[@resolution='{gsd}']/NROWS")
        columns = facts.whole(f"Size[@resolution='{gsd}']/NCOLS")
        if code is None or left is None or top is None or rows is None or columns is None:
            return found
        return found | {
            "proj:code": code,
            "proj:shape": [rows, columns],
            "proj:bbox": [left, top - rows * gsd, left + columns * gsd, top],
            "proj:transform": [gsd, 0, left, 0, -gsd, top],
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
