"""Zips of products, for tests."""

import io
import zipfile

NAME = "S2A_MSIL1C_20240116T000741_N0510_R130_T51CVP_20240116T010505.SAFE"
MANIFEST = f"{NAME}/manifest.safe"

Member = tuple[str | zipfile.ZipInfo, bytes]


def pack(*members: Member, method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip with these members."""
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", method) as archive:
            for member, content in members:
                archive.writestr(member, content)
        return file.getvalue()
