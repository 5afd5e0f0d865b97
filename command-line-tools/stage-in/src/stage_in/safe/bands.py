"""The images of a product: the names of the bands, and the user's selection of them."""

# In the order of the specification, which is how metadata count the bands from 0: `bandId` 8 is
# B8A, 9 is B09 (S2-PDGS-TAS-DI-PSD, "Spectral_Information").
BANDS = (
    *("B01", "B02", "B03", "B04", "B05", "B06", "B07"),
    *("B08", "B8A", "B09", "B10", "B11", "B12"),
)
TRUE_COLOR = "TCI"
# The band of each image, by the key of its asset in the staged item.
BAND_OF_ASSET = dict(
    zip(
        [
            *("coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3"),
            *("nir", "nir08", "nir09", "cirrus", "swir16", "swir22", "visual"),
        ],
        [*BANDS, TRUE_COLOR],
        strict=True,
    )
)


def read_selection(names: str) -> frozenset[str]:
    """Read a selection such as `B04,red,visual`.

    Args:
        names: bands, or keys of image assets in the staged item, separated by commas.

    Returns:
        Bands, `TCI` for the true colour image.

    Raises:
        ValueError: a name is unknown, or there is none.
    """
    selected = set()
    for name in filter(None, (part.strip() for part in names.split(","))):
        band = BAND_OF_ASSET.get(name.lower(), name.upper())
        if band not in BAND_OF_ASSET.values():
            known = ", ".join(f"{band} or {asset}" for asset, band in BAND_OF_ASSET.items())
            raise ValueError(f"{name!r} is not a band. The bands are {known}")
        selected.add(band)
    if not selected:
        raise ValueError("the list contains no band")
    return frozenset(selected)


def is_complete(bands: frozenset[str] | None) -> bool:
    """Tell whether a selection means the whole product; None means that nothing was selected."""
    return bands is None or len(bands) == len(BAND_OF_ASSET)
