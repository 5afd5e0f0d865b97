"""What a product's own files say about it, as far as an item repeats it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import datetime
from typing import Any

from sandbox.store import Holding


class Facts:
    """Looks things up in the product's and the tile's metadata; None where they say nothing.

    Paths are ElementTree's, below any element: ``Mean_Sun_Angle/ZENITH_ANGLE``.
    """

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        folder = holding.folder
        paths = [folder / "MTD_MSIL1C.xml", *sorted(folder.glob("GRANULE/*/MTD_TL.xml"))]
        self._roots = [ET.parse(path).getroot() for path in paths if path.is_file()]

    def text(self, path: str) -> str | None:
        """Text of the first such element."""
        for root in self._roots:
            found = root.findtext(f".//{path}")
            if found is not None and found.strip():
                return found.strip()
        return None

    def number(self, path: str) -> float | None:
        """The same as a number."""
        text = self.text(path)
        return None if text is None else float(text)

    def whole(self, path: str) -> int | None:
        """The same as a whole number."""
        text = self.text(path)
        return None if text is None else int(text)

    def attribute(self, path: str, name: str) -> str | None:
        """An attribute of the first such element."""
        for root in self._roots:
            element = root.find(f".//{path}")
            if element is not None and name in element.attrib:
                return element.attrib[name]
        return None

    @property
    def key(self) -> str:
        """The product's key in the bucket eodata; baseline 05.00 has a folder of its own."""
        name = self._holding.name
        collection = "L1C_N0500" if "_N0500_" in name else "L1C"
        start = re.search(r"_(\d{8})T\d{6}_", name)
        day = datetime.strptime(start[1], "%Y%m%d").strftime("%Y/%m/%d") if start else "0000/00/00"
        return f"Sentinel-2/MSI/{collection}/{day}/{name}"

    def place(self) -> dict[str, Any]:
        """Geometry and bbox of the footprint, which lists latitudes before longitudes."""
        text = self.text("EXT_POS_LIST")
        if text is None:
            return {"geometry": None}
        values = [float(word) for word in text.split()]
        ring = [list(pair) for pair in zip(values[1::2], values[::2], strict=False)]
        longitudes, latitudes = zip(*ring, strict=True)
        return {
            "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }

    def checksums(self) -> dict[str, tuple[str, str]]:
        """Algorithm and lower-case hex digest of each file that the manifest lists, by path."""
        path = self._holding.folder / "manifest.safe"
        if not path.is_file():
            return {}
        found = {}
        for stream in ET.parse(path).getroot().iter("byteStream"):
            location, checksum = stream.find("fileLocation"), stream.find("checksum")
            if location is not None and checksum is not None and checksum.text:
                href = location.get("href", "").removeprefix("./")
                found[href] = (checksum.get("checksumName", ""), checksum.text.strip().lower())
        return found
