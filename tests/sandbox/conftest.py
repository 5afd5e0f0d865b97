"""A small SAFE folder, a sandbox that serves it, and a client."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.server import Sandbox
from tests.sandbox.client import BAND, Client

NAME = "S2A_MSIL1C_20200815T100031_N0500_R122_T32TQM_20230414T115231"
BANDS = [*(f"B{number:02}" for number in range(1, 13)), "B8A", "TCI"]
IMAGES = "GRANULE/L1C_T32TQM_A026889_20200815T100442/IMG_DATA"

PRODUCT_METADATA = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-1C_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/L1C.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>2020-08-15T10:00:31.024Z</PRODUCT_START_TIME>
      <PRODUCT_STOP_TIME>2020-08-15T10:00:31.024Z</PRODUCT_STOP_TIME>
      <PROCESSING_BASELINE>05.00</PROCESSING_BASELINE>
      <Datatake datatakeIdentifier="GS2A_20200815T100031_026889_N05.00">
        <SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME>
        <SENSING_ORBIT_NUMBER>122</SENSING_ORBIT_NUMBER>
      </Datatake>
    </Product_Info>
  </n1:General_Info>
  <n1:Geometric_Info>
    <EXT_POS_LIST>45.1 11.8 45.2 13.2 44.2 13.1 44.1 11.7 45.1 11.8</EXT_POS_LIST>
  </n1:Geometric_Info>
</n1:Level-1C_User_Product>
"""

TILE_METADATA = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-1C_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/Tile.xsd">
  <HORIZONTAL_CS_CODE>EPSG:32632</HORIZONTAL_CS_CODE>
  <Size resolution="60"><NROWS>1830</NROWS><NCOLS>1830</NCOLS></Size>
  <Geoposition resolution="60"><ULX>699960</ULX><ULY>5000040</ULY></Geoposition>
</n1:Level-1C_Tile_ID>
"""


def data_object(path: str, content: bytes) -> str:
    """Return a file's entry in the manifest."""
    digest = hashlib.sha3_256(content).hexdigest().upper()
    return (
        f'<dataObject><byteStream size="{len(content)}"><fileLocation href="./{path}"/>'
        f'<checksum checksumName="SHA3-256">{digest}</checksum></byteStream></dataObject>'
    )


@pytest.fixture(scope="session")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / f"{NAME}.SAFE"
    noise = random.Random(1)
    tile = IMAGES.rpartition("/")[0]
    contents = {
        f"{IMAGES}/T32TQM_20200815T100031_{band}.jp2": noise.randbytes(20_000 + 1000 * number)
        for number, band in enumerate(BANDS)
    }
    contents |= {
        "MTD_MSIL1C.xml": PRODUCT_METADATA.encode(),
        "INSPIRE.xml": b"<gmd:MD_Metadata/>",
        f"{tile}/MTD_TL.xml": TILE_METADATA.encode(),
        "DATASTRIP/DS_2APS_20230414T115231_S20200815T100442/MTD_DS.xml": b"<DataStrip/>",
    }
    objects = "".join(data_object(path, content) for path, content in contents.items())
    contents["manifest.safe"] = f"<xfdu>{objects}</xfdu>".encode()
    contents[f"{NAME}-ql.jpg"] = noise.randbytes(500)
    contents["rep_info/empty.xsd"] = b""
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    (folder / "HTML").mkdir()
    return folder


@pytest.fixture
def sandbox(safe: Path) -> Iterator[Sandbox]:
    with Sandbox([safe]) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Client:
    return Client(sandbox)


@pytest.fixture
def content(safe: Path) -> bytes:
    """Content of the band that the client downloads."""
    return (safe / BAND).read_bytes()
