"""The name of a Level-1C product, and the fields that it encodes."""

import re
from dataclasses import dataclass
from typing import Self

from stage_in.errors import ProductError
from stage_in.safe.tile import Tile
from stage_in.secrets import excerpt

# Compact naming convention, in force since 6 December 2016 (Sentinel-2 Products Specification
# Document, S2-PDGS-TAS-DI-PSD, "Product naming").
_NAME = re.compile(
    r"(?P<mission>S2[A-D])_MSIL1C_\d{8}T\d{6}_N(?P<baseline>\d{4})_R(?P<orbit>\d{3})"
    r"_T(?P<tile>\d{2}[C-HJ-NP-X][A-Z]{2})_\d{8}T\d{6}",
    re.ASCII,
)
EXAMPLE = "S2A_MSIL1C_20230216T044851_N0509_R076_T46UEU_20230216T063628"


@dataclass(frozen=True)
class ProductName:
    """The parsed name of a product.

    Attributes:
        id: the name without `.SAFE`, which is the id of the staged item.
        spacecraft: such as `Sentinel-2A`.
        baseline: the processing baseline, such as `05.11`.
        relative_orbit: 1 to 143.
        tile: the MGRS tile, such as `46UEU`.
    """

    id: str
    spacecraft: str
    baseline: str
    relative_orbit: int
    tile: str

    @classmethod
    def parse(cls, name: str) -> Self:
        """Parse the name of a product, with or without `.SAFE`.

        Raises:
            ProductError: it is not the name of a Level-1C product.
        """
        match = _NAME.fullmatch(name.removesuffix(".SAFE"))
        if match is None:
            raise ProductError(
                f"the name of a Sentinel-2 Level-1C product must look like {EXAMPLE}, but this one "
                f"is {excerpt(name, 100)!r}"
            )
        return cls(
            id=match[0],
            spacecraft=f"Sentinel-{match['mission'][1:]}",
            baseline=f"{match['baseline'][:2]}.{match['baseline'][2:]}",
            relative_orbit=int(match["orbit"]),
            tile=match["tile"],
        )

    @property
    def folder(self) -> str:
        """The name of the SAFE folder."""
        return f"{self.id}.SAFE"

    @property
    def catalog_path(self) -> str:
        """The path of the SAFE folder in a catalog."""
        return f"{self.id}/{self.folder}"

    @property
    def epsg(self) -> int:
        """The EPSG code of UTM on WGS 84 in the tile's zone: 326zz north, 327zz south."""
        return (32600 if self.tile[2] >= "N" else 32700) + int(self.tile[:2])

    @property
    def place(self) -> Tile:
        """The place of the tile.

        Raises:
            ProductError: there is no such tile.
        """
        try:
            return Tile.parse(self.tile)
        except ValueError as error:
            raise ProductError(f"the tile of {self.id} is not in the grid of Sentinel-2") from error

    def __str__(self) -> str:
        return self.id
