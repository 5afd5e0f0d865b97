"""Names of products."""

import pytest

from stage_in.errors import ProductError
from stage_in.safe.name import ProductName

NAME = "S2B_MSIL1C_20240116T000741_N0510_R030_T51CVP_20240116T010505"


@pytest.mark.parametrize("suffix", ["", ".SAFE"])
def test_what_a_name_says(suffix: str) -> None:
    name = ProductName.parse(NAME + suffix)
    assert name == ProductName(NAME, "Sentinel-2B", "05.10", 30, "51CVP")
    assert str(name) == NAME
    assert name.folder == f"{NAME}.SAFE"


@pytest.mark.parametrize(
    ("tile", "epsg"), [("51CVP", 32751), ("01MAA", 32701), ("01NAA", 32601), ("60XWN", 32660)]
)
def test_zone(tile: str, epsg: int) -> None:
    assert ProductName.parse(NAME.replace("51CVP", tile)).epsg == epsg


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("S2B", "S2E"),
        ("MSIL1C", "MSIL2A"),
        ("N0510", "N05.10"),
        ("T51CVP", "T51IVP"),
        ("T51CVP", "T51cvp"),
        ("T51CVP", "T5\u0661CVP"),
        ("S2B", "../S2B"),
        ("010505", "010505/x"),
        ("010505", "010505\n"),
        ("010505", "010505.SAFE.SAFE"),
        (NAME, ""),
    ],
)
def test_other_names_are_refused(old: str, new: str) -> None:
    with pytest.raises(
        ProductError, match="the name of a Sentinel-2 Level-1C product must look like S2A"
    ):
        ProductName.parse(NAME.replace(old, new))
