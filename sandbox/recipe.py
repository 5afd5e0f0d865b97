"""The description of a product to make, and the names and paths that follow from it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from math import inf
from typing import Literal

from sandbox.field import BANDS, SWATH_SLOPE, Field
from sandbox.grid import Tile, locate

MASKS_OF_A_BAND = {
    "gml": ("DEFECT", "DETFOO", "NODATA", "SATURA", "TECQUA"),
    "jp2": ("DETFOO", "QUALIT"),
}
"""The masks of each band, in the order of the manifest."""

MASK_OF_ALL_BANDS = {"gml": "CLOUDS", "jp2": "CLASSI"}

# Sentinel-2A's first orbit. 143 orbits take 10 days. The same count is used for all satellites.
_FIRST_ORBIT = datetime(2015, 6, 23, tzinfo=UTC)
_CYCLE = timedelta(days=10)
_ORBITS = 143


@dataclass(frozen=True)
class Recipe:
    """A product to make.

    Attributes:
        satellite: The letter of the satellite, A to D.
        baseline: Processing baseline, as "05.11".
        tile: Name of the tile, without the T.
        sensing: Start of the datatake. All other times are derived from it.
        relative_orbit: 1 to 143.
        masks: "gml" (up to baseline 03.01) or "jp2" (from 04.00).
        checksum: The manifest's algorithm, "MD5" or "SHA3-256".
        upper_case_digests: Write the manifest's digests in upper case.
        offsets: RADIO_ADD_OFFSET by band_id; None for products before 04.00, which have none.
        quantification: QUANTIFICATION_VALUE.
        tile_id_baseline: The baseline in TILE_ID of MTD_TL.xml, if it differs from `baseline`.
        pixels: Width and height of the 10 m rasters, a multiple of 6. Real tiles have 10980.
        nodata: Whether a part of the tile lies outside the swath and has no data.
        seed: Varies the pixels, see `Field`.
    """

    satellite: Literal["A", "B", "C", "D"] = "A"
    baseline: str = "05.11"
    tile: str = "32TQM"
    sensing: datetime = datetime(2024, 8, 14, 10, 0, 31, 24_000, tzinfo=UTC)
    relative_orbit: int = 122
    masks: Literal["gml", "jp2"] = "jp2"
    checksum: Literal["MD5", "SHA3-256"] = "SHA3-256"
    upper_case_digests: bool = True
    offsets: tuple[int, ...] | None = (-1000,) * len(BANDS)
    quantification: int = 10_000
    tile_id_baseline: str | None = None
    pixels: int = 1098
    nodata: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pixels < 60 or self.pixels % 6:
            raise ValueError(
                f"expected pixels to be a multiple of 6 and at least 60, found {self.pixels}"
            )
        if self.offsets is not None and len(self.offsets) != len(BANDS):
            raise ValueError(f"expected {len(BANDS)} offsets, found {len(self.offsets)}")
        if self.sensing.tzinfo is None:
            raise ValueError("expected a sensing time with a time zone, found none")

    # -- location and times

    @cached_property
    def place(self) -> Tile:
        """The tile's coordinate reference system and upper-left corner."""
        return locate(self.tile)

    @cached_property
    def field(self) -> Field:
        """The landscape that the rasters show."""
        swath = 0.7 * self.extent if self.nodata else inf
        return Field(self.place.ulx, self.place.uly, self.seed, swath)

    @property
    def extent(self) -> int:
        """Width and height of the rasters, in metres."""
        return self.pixels * 10

    @property
    def outline(self) -> tuple[tuple[float, float], ...]:
        """Corners of the area with data, as a closed ring of UTM (x, y) in metres.

        The ring is counter-clockwise, as RFC 7946 requires. Real ones are clockwise, and the
        antimeridian library warns about those (FixWindingWarning).
        """
        north = south = float(self.extent)
        if self.nodata:
            north = self.field.swath
            south = north - SWATH_SLOPE * self.extent
        left, top = self.place.ulx, self.place.uly
        bottom = top - self.extent
        upper_left = (left, top)
        return (upper_left, (left, bottom), (left + south, bottom), (left + north, top), upper_left)

    @property
    def generation(self) -> datetime:
        """Time of processing, which is the discriminator in the product's name."""
        return (self.sensing + timedelta(hours=1, minutes=52)).replace(microsecond=0)

    @property
    def datastrip_sensing(self) -> datetime:
        """Time of the datastrip's first line."""
        return self.sensing + timedelta(minutes=4, seconds=11)

    @property
    def tile_sensing(self) -> datetime:
        """Time of the tile's first line, minutes after the datatake's start."""
        return self.sensing + timedelta(minutes=6, seconds=15, microseconds=242_543)

    @property
    def orbit(self) -> int:
        """Absolute orbit number: relative = (absolute + 3) modulo 143, as for Sentinel-2A."""
        cycles = max(1, (self.sensing - _FIRST_ORBIT) // _CYCLE)
        return _ORBITS * cycles + self.relative_orbit - 3

    # -- contents that depend on the baseline

    @property
    def modern(self) -> bool:
        """Whether the product has CAMS data and snow statistics, as from baseline 04.00."""
        return self.baseline >= "04.00"

    @property
    def schema(self) -> str:
        """Namespace of the product specification."""
        return f"psd-{15 if self.baseline >= '05.11' else 14}.sentinel2.eo.esa.int"

    def offset(self, band: str) -> int:
        """Return RADIO_ADD_OFFSET of a band, 0 if the product has none."""
        return 0 if self.offsets is None else self.offsets[BANDS.index(band)]

    # -- names (S2-PDGS-TAS-DI-PSD, "Products naming convention", compact format)

    @property
    def name(self) -> str:
        """Name of the product, with .SAFE."""
        return (
            f"S2{self.satellite}_MSIL1C_{compact(self.sensing)}_N{self.baseline.replace('.', '')}"
            f"_R{self.relative_orbit:03}_T{self.tile}_{compact(self.generation)}.SAFE"
        )

    @property
    def datatake_id(self) -> str:
        """Identifier of the datatake."""
        return f"GS2{self.satellite}_{compact(self.sensing)}_{self.orbit:06}_N{self.baseline}"

    @property
    def station(self) -> str:
        """Four-letter code of the processing centre."""
        return f"2{self.satellite}PS" if self.modern else "EPAE"

    @property
    def datastrip_id(self) -> str:
        """Identifier of the datastrip."""
        return self._identifier("DS", f"S{compact(self.datastrip_sensing)}", self.baseline)

    @property
    def granule_id(self) -> str:
        """Identifier of the granule."""
        return self._identifier("TL", f"A{self.orbit:06}_T{self.tile}", self.baseline)

    @property
    def tile_id(self) -> str:
        """TILE_ID of MTD_TL.xml, which is the granule's identifier unless its baseline differs."""
        baseline = self.tile_id_baseline or self.baseline
        return self._identifier("TL", f"A{self.orbit:06}_T{self.tile}", baseline)

    def _identifier(self, kind: str, what: str, baseline: str) -> str:
        return (
            f"S2{self.satellite}_OPER_MSI_L1C_{kind}_{self.station}_{compact(self.generation)}"
            f"_{what}_N{baseline}"
        )

    # -- paths below the SAFE folder

    @property
    def datastrip(self) -> str:
        """Path of the datastrip's folder."""
        times = f"{compact(self.generation)}_S{compact(self.datastrip_sensing)}"
        return f"DATASTRIP/DS_{self.station}_{times}"

    @property
    def granule(self) -> str:
        """Path of the granule's folder."""
        time = compact(self.datastrip_sensing)
        return f"GRANULE/L1C_T{self.tile}_A{self.orbit:06}_{time}"

    def image(self, band: str) -> str:
        """Return the path of a raster (a band or TCI) without .jp2, as in IMAGE_FILE."""
        return f"{self.granule}/IMG_DATA/T{self.tile}_{compact(self.sensing)}_{band}"

    def mask(self, kind: str, band: str = "B00") -> str:
        """Return the path of a mask; B00 stands for all bands."""
        return f"{self.granule}/QI_DATA/MSK_{kind}_{band}.{self.masks}"

    @property
    def preview(self) -> str:
        """Path of the preview image, without .jp2."""
        return f"{self.granule}/QI_DATA/T{self.tile}_{compact(self.sensing)}_PVI"


def compact(time: datetime) -> str:
    """Write a time as in product names: 20240814T100031, in UTC."""
    return f"{time.astimezone(UTC):%Y%m%dT%H%M%S}"


NEW = Recipe()
"""A current product: JPEG 2000 masks, offsets, SHA3-256 in upper case, 59 listed files."""

OLD = Recipe(
    baseline="02.09",
    sensing=datetime(2020, 8, 15, 10, 0, 31, 24_000, tzinfo=UTC),
    masks="gml",
    checksum="MD5",
    upper_case_digests=False,
    offsets=None,
)
"""A product of 2020: GML masks, no offsets, MD5, 97 listed files."""
