"""The manifest.safe of a product: which files it must have, with their sizes and digests."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from stage_in.errors import VerificationError
from stage_in.safe.bands import BANDS, TRUE_COLOR
from stage_in.safe.paths import check_distinct, check_path
from stage_in.safe.xml import MAX_XML_SIZE, parse_xml
from stage_in.secrets import excerpt

MANIFEST = "manifest.safe"
PRODUCT_METADATA = "MTD_MSIL1C.xml"
GRANULE_METADATA = "MTD_TL.xml"

# From `checksumName` in the manifest to the name of the algorithm in hashlib.
_ALGORITHMS = {"MD5": "md5", "SHA3-256": "sha3_256"}

# A full tile has about 0.9 GB and 110 files (130 in 2015); only impossible numbers are refused.
MAX_PRODUCT_SIZE = 10 * 1000**3  # bytes
MAX_FILES = 10_000
_IMAGE = re.compile(r"GRANULE/(?P<granule>[^/]+)/IMG_DATA/[^/]+_(?P<band>B\d[\dA]|TCI)\.jp2")
_OF_ONE_BAND = re.compile(
    r"GRANULE/[^/]+/"
    r"(?:IMG_DATA/[^/]+_(?P<image>B\d[\dA]|TCI)\.jp2|QI_DATA/MSK_[^/]+_(?P<mask>B(?!00)\d[\dA])\.\w+)"
)


@dataclass(frozen=True)
class Entry:
    """One file of a product.

    Attributes:
        path: relative to the SAFE folder, with forward slashes.
        size: bytes.
        algorithm: the hashlib name of the digest's algorithm; None if no digest is checked, as for
            files that the manifest does not list.
        digest: lower-case hexadecimal digits.
    """

    path: str
    size: int
    algorithm: str | None = None
    digest: str | None = None


def read_manifest(document: bytes) -> dict[str, Entry]:
    """Read the manifest of a Level-1C product, and check that it lists a complete product.

    Returns:
        The entries, as `parse` returns them.

    Raises:
        VerificationError: as for `parse` and `check_complete`.
    """
    entries = parse(document)
    check_complete(entries)
    return entries


def parse(document: bytes) -> dict[str, Entry]:
    """Parse the entries of a manifest.safe.

    The algorithm is read for each entry, because products combine baselines and algorithms
    (SAFE, PGSI-GSEG-EOPG-FS-05-0001, "byteStream" and its "checksum").

    Returns:
        The entries by path, in the order of the manifest.

    Raises:
        VerificationError: the document is not a manifest; it lists no file, a file twice, or more
            files or bytes than a product can have; or an entry has no valid path, size or digest.
    """
    objects = parse_xml(document, MANIFEST).findall("dataObjectSection/dataObject")
    if not 0 < len(objects) <= MAX_FILES:
        raise VerificationError(
            f"the file {MANIFEST} must list 1 to {MAX_FILES} files, but lists {len(objects)}"
        )
    entries = [_parse_entry(data_object) for data_object in objects]
    check_distinct([MANIFEST, *(entry.path for entry in entries)])
    check_size(entries)
    return {entry.path: entry for entry in entries}


def _parse_entry(data_object: Element) -> Entry:
    stream = data_object.find("byteStream")
    location = data_object.find("byteStream/fileLocation")
    checksum = data_object.find("byteStream/checksum")
    if stream is None or location is None or checksum is None:
        raise VerificationError(
            f"each file in {MANIFEST} must have byteStream, fileLocation and checksum, but "
            f"dataObject {excerpt(data_object.get('ID', ''), 80)!r} lacks one of them"
        )
    path = check_path(location.get("href", "").removeprefix("./"), MANIFEST)
    size = stream.get("size", "")
    if re.fullmatch("[0-9]{1,15}", size) is None:
        raise VerificationError(
            f"the size of {path} in {MANIFEST} must be a number, but is {excerpt(size, 40)!r}"
        )
    name = checksum.get("checksumName", "")
    if name not in _ALGORITHMS:
        raise VerificationError(
            f"the checksumName of {path} in {MANIFEST} must be one of {', '.join(_ALGORITHMS)}, "
            f"but is {excerpt(name, 40)!r}"
        )
    algorithm = _ALGORITHMS[name]
    digest = (checksum.text or "").strip().lower()
    length = 2 * hashlib.new(algorithm).digest_size
    if re.fullmatch(f"[0-9a-f]{{{length}}}", digest) is None:
        raise VerificationError(
            f"the {name} of {path} in {MANIFEST} must have {length} hexadecimal digits, but is "
            f"{excerpt(digest, 80)!r}"
        )
    return Entry(path, int(size), algorithm, digest)


def check_size(entries: Iterable[Entry]) -> None:
    """Check that files are not larger than a product can be.

    Raises:
        VerificationError: their sizes add up to more than 10 GB.
    """
    total = sum(entry.size for entry in entries)
    if total > MAX_PRODUCT_SIZE:
        # A listing may announce a number that is too long for Python to print.
        found = total if total < 10**15 else "far more"
        raise VerificationError(
            f"the product must have at most {MAX_PRODUCT_SIZE} bytes, but {found} are announced"
        )


def check_complete(entries: Mapping[str, Entry]) -> None:
    """Check that the files make up a Level-1C product of one granule.

    Raises:
        VerificationError: a band, the true colour image or a metadata file is missing, or a
            metadata file is larger than such files are.
    """
    images = [match for path in entries if (match := _IMAGE.fullmatch(path))]
    granules = {match["granule"] for match in images}
    if len(granules) != 1:
        raise VerificationError(
            f"the images in {MANIFEST} must be of one granule, but are of {len(granules)}"
        )
    missing = {*BANDS, TRUE_COLOR} - {match["band"] for match in images}
    required = {PRODUCT_METADATA, f"GRANULE/{granules.pop()}/{GRANULE_METADATA}"}
    missing |= required - entries.keys()
    if missing:
        raise VerificationError(
            "the product must have 13 bands, the true colour image and the metadata, but "
            f"{MANIFEST} lists none of {', '.join(sorted(missing))}"
        )
    if len(images) != len(BANDS) + 1:
        raise VerificationError(
            f"the file {MANIFEST} must list {len(BANDS) + 1} images, but lists {len(images)}"
        )
    for path in required:
        if entries[path].size > MAX_XML_SIZE:
            raise VerificationError(
                f"the file {path} must have at most {MAX_XML_SIZE} bytes, but has "
                f"{entries[path].size} in {MANIFEST}"
            )


def select(entries: Mapping[str, Entry], bands: Collection[str]) -> dict[str, Entry]:
    """Return the entries without the images and masks of the other bands.

    Everything that does not belong to one band stays: the metadata, the preview (PVI), the masks of
    all bands together (`MSK_CLASSI_B00`, `MSK_CLOUDS_B00`), and the meteorology that atmospheric
    correction needs (`AUX_ECMWFT`, `AUX_CAMSFO`).

    Args:
        entries: the files of a product, by path.
        bands: the selected bands, `TCI` for the true colour image.
    """
    return {
        path: entry
        for path, entry in entries.items()
        if (match := _OF_ONE_BAND.fullmatch(path)) is None
        or (match["image"] or match["mask"]) in bands
    }


def get_folders(entries: Iterable[str]) -> set[str]:
    """Return the folders that readers of SAFE products require even if they are empty.

    A zip without entries for folders loses them (grass-addons PR 1809, sen2r issue 348).
    """
    granules = {path.split("/")[1] for path in entries if _IMAGE.fullmatch(path)}
    return {"HTML", "rep_info", *(f"GRANULE/{granule}/AUX_DATA" for granule in granules)}
