"""Reads values from a product's own metadata, for its STAC items and its OData entity."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class MetadataReader:
    """Looks up values in the metadata of a product and its tile; None if a value is missing.

    Paths are ElementTree paths below the root: ``Mean_Sun_Angle/ZENITH_ANGLE``.
    """

    def __init__(self, safe: Path) -> None:
        self._safe = safe
        paths = [safe / "MTD_MSIL1C.xml", *sorted(safe.glob("GRANULE/*/MTD_TL.xml"))]
        self._roots = [ET.parse(path).getroot() for path in paths if path.is_file()]

    def text(self, path: str) -> str | None:
        """Return the text of the first matching element."""
        for root in self._roots:
            found = root.findtext(f".//{path}")
            if found is not None and found.strip():
                return found.strip()
        return None

    def number(self, path: str) -> float | None:
        """Return the first matching element as a float."""
        return _convert(self.text(path), float)

    def integer(self, path: str) -> int | None:
        """Return the first matching element as an int."""
        return _convert(self.text(path), int)

    def time(self, path: str) -> str | None:
        """Return the first matching element as a time in UTC with microseconds."""
        return _convert(
            self.text(path), lambda text: f"{datetime.fromisoformat(text):%Y-%m-%dT%H:%M:%S.%fZ}"
        )

    def attribute(self, path: str, name: str) -> str | None:
        """Return an attribute of the first matching element."""
        for root in self._roots:
            element = root.find(f".//{path}")
            if element is not None and name in element.attrib:
                return element.attrib[name]
        return None

    @property
    def absolute_orbit(self) -> int | None:
        """The absolute orbit number, which is part of the datatake's identifier."""
        match = re.search(r"_(\d{6})_", self.attribute("Datatake", "datatakeIdentifier") or "")
        return int(match[1]) if match else None

    @property
    def tile(self) -> str | None:
        """Name of the tile, without the T, from the product's name."""
        match = re.search(r"_T(\w{5})_", self._safe.name)
        return match[1] if match else None

    @property
    def ring(self) -> list[list[float]] | None:
        """The footprint as a ring of longitude and latitude; the metadata has latitude first."""
        text = self.text("EXT_POS_LIST")
        if text is None:
            return None
        values = [float(word) for word in text.split()]
        return [list(pair) for pair in zip(values[1::2], values[::2], strict=True)]

    def checksums(self) -> dict[str, tuple[str, str]]:
        """Return algorithm and lower-case hex digest of each file in the manifest, by path."""
        path = self._safe / "manifest.safe"
        if not path.is_file():
            return {}
        found = {}
        for stream in ET.parse(path).getroot().iter("byteStream"):
            location, checksum = stream.find("fileLocation"), stream.find("checksum")
            if location is not None and checksum is not None and checksum.text:
                href = location.get("href", "").removeprefix("./")
                found[href] = (checksum.get("checksumName", ""), checksum.text.strip().lower())
        return found


def _convert(text: str | None, function: Callable[[str], T]) -> T | None:
    return None if text is None else function(text)
