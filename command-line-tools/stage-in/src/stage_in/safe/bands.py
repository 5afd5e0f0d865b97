"""The images of a product: what the bands are called, and which of them a user wants."""

# In the specification's order, by which metadata count them from 0: `bandId` 8 is B8A, 9 is B09
# (S2-PDGS-TAS-DI-PSD, "Spectral_Information").
BANDS = (
    *("B01", "B02", "B03", "B04", "B05", "B06", "B07"),
    *("B08", "B8A", "B09", "B10", "B11", "B12"),
)
TRUE_COLOR = "TCI"
# The band of each image by the key of its asset in the staged item.
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
        names: bands, or names of images in the staged item, separated by commas.

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
            raise ValueError(f"expected some of {known}; found {name!r}")
        selected.add(band)
    if not selected:
        raise ValueError("expected at least one band")
    return frozenset(selected)
