"""The thumbnail, compared with the images of the product."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from sandbox.product import NEW, make_product
from stage_in.errors import ProductError
from stage_in.safe.images import Images
from stage_in.stac.thumbnail import Thumbnail
from tests.conftest import slow_after
from tests.editing import find

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{NotGeoreferencedWarning.__module__}.{NotGeoreferencedWarning.__name__}"
)


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product that the edge of the swath crosses."""
    return make_product(tmp_path_factory.mktemp("half"), replace(NEW, pixels=960, nodata=True))


def make_thumbnail(safe: Path, paths: list[str]) -> Thumbnail:
    with Images() as images:
        return Thumbnail.make(safe, paths, images)


def read_pixels(thumbnail: Thumbnail, folder: Path) -> np.ndarray:
    path = folder / "thumbnail.png"
    path.write_bytes(thumbnail.content)
    with rasterio.open(path) as picture:
        assert picture.driver == "PNG"
        assert picture.count == 4
        assert set(picture.dtypes) == {"uint8"}
        return picture.read()


@pytest.mark.parametrize("image", slow_after(1, ["*_PVI.jp2", "*_TCI.jp2"]))
def test_picture(half: Path, tmp_path: Path, image: str) -> None:
    before = sorted(half.rglob("*"))
    thumbnail = make_thumbnail(half, [find(half, image)])
    assert thumbnail.shape == (343, 343)
    *colours, alpha = read_pixels(thumbnail, tmp_path)
    assert alpha.shape == (343, 343)
    assert set(np.unique(alpha)) == {0, 255}
    # There are no data beyond the edge, which the sandbox has at 0.7 of the width in the north
    # and at 0.5 of it in the south.
    # Where bright snow ends beside a dark wood, a coarse level of JPEG 2000 may be black.
    assert (alpha[:, :170] == 255).mean() > 0.9999
    assert (alpha[:, 245:] == 0).all()
    assert all(colour[alpha == 255].std() > 10 for colour in colours)
    assert all((colour[alpha == 0] == 0).all() for colour in colours)
    assert sorted(half.rglob("*")) == before
    assert make_thumbnail(half, [find(half, image)]) == thumbnail


def test_the_colours_are_those_of_the_image(half: Path, tmp_path: Path) -> None:
    path = find(half, "*_TCI.jp2")
    picture = read_pixels(make_thumbnail(half, [path]), tmp_path)
    with rasterio.open(half / path) as image:
        expected = image.read(out_shape=(3, 343, 343))
    assert (picture[:3] == expected).all()


def test_the_next_image_is_used_if_one_cannot_be_read(half: Path, tmp_path: Path) -> None:
    for name, content in {"none.jp2": None, "text.jp2": b"no image", "empty.jp2": b""}.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ProductError, match=name):
            make_thumbnail(tmp_path, [name])
        (tmp_path / "good.jp2").write_bytes((half / find(half, "*_PVI.jp2")).read_bytes())
        assert make_thumbnail(tmp_path, [name, "good.jp2"]).shape == (343, 343)


def test_a_truncated_image(half: Path, tmp_path: Path) -> None:
    content = (half / find(half, "*_PVI.jp2")).read_bytes()
    (tmp_path / "short.jp2").write_bytes(content[: len(content) // 3])
    with pytest.raises(ProductError, match=r"short\.jp2"):
        make_thumbnail(tmp_path, ["short.jp2"])


def test_a_band_is_not_a_true_colour_image(half: Path) -> None:
    with pytest.raises(ProductError, match="red, green and blue"):
        make_thumbnail(half, [find(half, "T*_B04.jp2")])
