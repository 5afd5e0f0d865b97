"""What --input-item accepts."""

import errno
from pathlib import Path

import pytest

from stage_in.errors import ProductError, UsageError
from stage_in.sources.item_reference import STAC_ITEMS, parse_reference

NAME = "S2A_MSIL1C_20230216T044851_N0509_R076_T46UEU_20230216T063628"
URL = f"{STAC_ITEMS}/{NAME}"


@pytest.mark.parametrize(
    "text",
    [
        URL,
        f"  {URL}\r\n",
        f'"{URL}"',
        f"'{URL}'",
        f"<{URL}>",
        f" \N{LEFT DOUBLE QUOTATION MARK}{URL}\N{RIGHT DOUBLE QUOTATION MARK} ",
        NAME,
        f"{NAME}.SAFE",
        f"{NAME}.zip",
        f"{NAME}.SAFE.zip",
        f"s3://eodata/Sentinel-2/MSI/L1C/2023/02/16/{NAME}.SAFE/",
        f"https://browser.dataspace.copernicus.eu/?zoom=5&productId={NAME}%2ESAFE",
        f"https://browser.stac.dataspace.copernicus.eu/collections/sentinel-2-l1c/items/{NAME}",
        "https://radiantearth.github.io/stac-browser/#/external/"
        f"{URL.removeprefix('https://')}?.language=en",
    ],
)
def test_every_form_means_the_same_item(text: str) -> None:
    assert parse_reference(text) == [URL]


def test_a_name_is_looked_up_at_stand_ins_first() -> None:
    stand_ins = ["https://one.example", "https://two.example:8443"]
    path = URL.removeprefix("https://stac.dataspace.copernicus.eu")
    expected = [*(f"{origin}{path}" for origin in stand_ins), URL]
    page = f"https://browser.dataspace.copernicus.eu/?productId={NAME}.SAFE"
    assert parse_reference(NAME, stand_ins) == parse_reference(page, stand_ins) == expected
    assert parse_reference(URL, stand_ins) == [URL]


@pytest.mark.parametrize("url", ["http://[::1", "https://browser.dataspace.copernicus.eu]/[x"])
def test_a_malformed_url_is_left_to_the_request(url: str) -> None:
    assert parse_reference(url) == [url]


def test_other_urls_stay_as_they_are() -> None:
    url = f"http://127.0.0.1:8080/v1/collections/sentinel-2-l1c/items/{NAME}?x=1"
    assert parse_reference(url) == [url]


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/user")
    assert parse_reference("-") == Path("/dev/stdin")
    assert parse_reference("file:///data/my%20item.json") == Path("/data/my item.json")
    assert parse_reference("items/x.json") == Path("items/x.json")
    assert parse_reference("~/x.json") == Path("/home/user/x.json")
    monkeypatch.chdir(tmp_path)
    Path("item").touch()
    assert parse_reference("item") == Path("item")
    assert parse_reference(".") == Path()


def test_a_path_in_a_folder_that_the_user_must_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The message of the read says so; root may read all folders, so the refusal is made up."""

    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    assert parse_reference(str(tmp_path / "item")) == tmp_path / "item"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "item",
        "stac.dataspace.copernicus.eu/v1/collections/sentinel-2-l1c/items/x",
        "127.0.0.1:8080/v1/x",
        "s3://eodata/Sentinel-2/MSI/L1C/x.SAFE",
        NAME.replace("T46UEU", "T46IEU"),
        "ftp://example.org/item.json",
        "file://[::1/item.json",
        "~no-such-user/item.json",
        "x" * 300,
        "x/" * 3000,
        '"' * 3000,
    ],
    ids=lambda text: text[:40],
)
def test_anything_else_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(UsageError, match=f"must be the URL of a STAC item .{STAC_ITEMS}/S2A_"):
        parse_reference(text)


@pytest.mark.parametrize("level", ["L1B", "L2A"])
def test_products_of_other_levels(level: str) -> None:
    with pytest.raises(ProductError, match=f"is a Level-{level[1:]} product"):
        parse_reference(NAME.replace("L1C", level))


def test_a_page_that_names_no_product() -> None:
    with pytest.raises(UsageError, match=r"a page of browser\.dataspace\.copernicus\.eu"):
        parse_reference("https://browser.dataspace.copernicus.eu/?zoom=5&lat=50")
