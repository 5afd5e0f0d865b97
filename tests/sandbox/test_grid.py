import pytest

from sandbox.grid import locate


@pytest.mark.parametrize(
    ("name", "epsg", "ulx", "uly"),
    [
        # Real products
        ("46UEU", 32646, 499980, 5400000),
        ("46RER", 32646, 499980, 3100020),
        ("51CVP", 32751, 399960, 1400020),
        ("32VKR", 32632, 199980, 7100040),
        # The limits of the grid
        ("01KAB", 32701, 99960, 8200000),
        ("60KYF", 32760, 699960, 8100040),
        ("33XWJ", 32633, 499980, 8900040),
    ],
)
def test_corner_of_a_tile(name: str, epsg: int, ulx: int, uly: int):
    tile = locate(name)

    assert (tile.epsg, tile.ulx, tile.uly) == (epsg, ulx, uly)


@pytest.mark.parametrize("name", ["32TQ", "32IQM", "32TAM", "00TAM", "61TAM", "32TQA"])
def test_unknown_tile(name: str):
    with pytest.raises(ValueError, match=name):
        locate(name)
