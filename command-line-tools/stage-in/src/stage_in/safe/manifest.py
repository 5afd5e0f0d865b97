"""What must be in a product: its manifest.safe read, checked for completeness."""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from stage_in.errors import VerificationError
from stage_in.safe.bands import BANDS, TRUE_COLOR
from stage_in.safe.xml import MAX_XML_SIZE, parse_xml

NAME = "manifest.safe"
PRODUCT_METADATA = "MTD_MSIL1C.xml"
# `checksumName` of the manifest to the name that hashlib knows it by.
_ALGORITHMS = {"MD5": "md5", "SHA3-256": "sha3_256"}

# A whole tile is about 0.9 GB; this only stops numbers that no product can mean.
MAX_PRODUCT_SIZE = 10 * 1000**3  # bytes
MAX_FILES = 10_000  # about 110 of today's products, 130 of those of 2015
_MAX_PATH_LENGTH = 1000  # bytes; about 150 in products
_IMAGE = re.compile(r"GRANULE/(?P<granule>[^/]+)/IMG_DATA/[^/]+_(?P<band>B\d[\dA]|TCI)\.jp2")
_OF_A_BAND = re.compile(
    r"GRANULE/[^/]+/"
    r"(?:IMG_DATA/[^/]+_(?P<image>B\d[\dA]|TCI)\.jp2|QI_DATA/MSK_[^/]+_(?P<mask>B(?!00)\d[\dA])\.\w+)"
)


@dataclass(frozen=True)
class Entry:
    """One file of a product.

    Attributes:
        path: where it is below the SAFE folder, with forward slashes.
        size: bytes.
        algorithm: what hashlib calls the algorithm of the digest; None where none is checked, as
            of files that the manifest doesn't list.
        digest: in lower-case hexadecimal digits.
    """

    path: str
    size: int
    algorithm: str | None = None
    digest: str | None = None


def read(document: bytes) -> dict[str, Entry]:
    """Read the manifest of a Level-1C product, and check that it lists all of one.

    Returns:
        What `parse` does.

    Raises:
        VerificationError: as `parse` and `check_complete` have it.
    """
    entries = parse(document)
    check_complete(entries)
    return entries


def parse(document: bytes) -> dict[str, Entry]:
    """Read the entries of a manifest.safe, by path, in the manifest's order.

    The algorithm is read for each entry, as products mix baselines and algorithms
    (SAFE, PGSI-GSEG-EOPG-FS-05-0001, "byteStream" and its "checksum").

    Raises:
        VerificationError: it is no manifest, lists nothing, a file twice, or more files or bytes
            than a product can have, or an entry lacks a path that stays inside, a size, or a digest
            by a known algorithm.
    """
    objects = parse_xml(document, NAME).findall("dataObjectSection/dataObject")
    if not 0 < len(objects) <= MAX_FILES:
        raise VerificationError(f"expected 1 to {MAX_FILES} files in {NAME}, found {len(objects)}")
    entries = [_read_entry(data_object) for data_object in objects]
    check_distinct([NAME, *(entry.path for entry in entries)])
    check_size(entries)
    return {entry.path: entry for entry in entries}


def _read_entry(data_object: Element) -> Entry:
    stream = data_object.find("byteStream")
    location = data_object.find("byteStream/fileLocation")
    checksum = data_object.find("byteStream/checksum")
    if stream is None or location is None or checksum is None:
        raise VerificationError(
            f"expected byteStream, fileLocation and checksum of each file in {NAME}, found "
            f"dataObject {data_object.get('ID', '')[:80]!r} without one of them"
        )
    path = check_path(location.get("href", "").removeprefix("./"), NAME)
    size = stream.get("size", "")
    if re.fullmatch("[0-9]{1,15}", size) is None:
        raise VerificationError(f"expected the size of {path} in {NAME}, found {size[:40]!r}")
    name = checksum.get("checksumName", "")
    if name not in _ALGORITHMS:
        raise VerificationError(
            f"expected one of {', '.join(_ALGORITHMS)} as checksumName of {path} in {NAME}, "
            f"found {name[:40]!r}"
        )
    algorithm = _ALGORITHMS[name]
    digest = (checksum.text or "").strip().lower()
    length = 2 * hashlib.new(algorithm).digest_size
    if re.fullmatch(f"[0-9a-f]{{{length}}}", digest) is None:
        raise VerificationError(
            f"expected {length} hexadecimal digits as {name} of {path} in {NAME}, "
            f"found {digest[:80]!r}"
        )
    return Entry(path, int(size), algorithm, digest)


def check_path(path: str, source: str) -> str:
    """Return a path that stays below its folder on any system; refuse any other.

    Refused rather than mended: a rewritten name is a file that nobody listed.

    Args:
        path: with forward slashes, as another has written it.
        source: who has, for the error.

    Raises:
        VerificationError: it is absolute, has `..`, a back-slash, a drive, a control character, is
            longer than systems take, …
    """
    parts = path.split("/")
    plain = path.isprintable() and not re.search(r'[\\:*?"<>|#%]', path)
    plain = plain and len(path.encode()) <= _MAX_PATH_LENGTH
    if not plain or any(
        part in {"", ".", ".."} or part != part.strip() or len(part.encode()) > 255
        for part in parts
    ):
        raise VerificationError(f"expected a plain relative path in {source}, found {path[:200]!r}")
    return str(PurePosixPath(path))


def check_distinct(paths: Collection[str]) -> None:
    """Refuse paths that would be one file on a system that folds case or Unicode forms.

    Raises:
        VerificationError: two of them are the same but for that, or one is a folder of the other.
    """
    seen: dict[str, str] = {}
    for path in paths:
        key = unicodedata.normalize("NFC", path).casefold()
        if key in seen:
            raise VerificationError(f"expected distinct paths, found {seen[key]!r} and {path!r}")
        seen[key] = path
    for key, path in seen.items():
        for parent in PurePosixPath(key).parents:
            if str(parent) in seen:
                raise VerificationError(
                    f"expected files, found {seen[str(parent)]!r} to be a folder of {path!r} too"
                )


def check_size(entries: Iterable[Entry]) -> None:
    """Refuse more bytes than a product can have.

    Raises:
        VerificationError: the sizes add up to more than 10 GB.
    """
    total = sum(entry.size for entry in entries)
    if total > MAX_PRODUCT_SIZE:
        # A listing may announce a number that Python refuses to write out.
        found = total if total < 10**15 else "far more"
        raise VerificationError(
            f"expected a product of at most {MAX_PRODUCT_SIZE} bytes, found {found} announced"
        )


def check_complete(entries: Mapping[str, Entry]) -> None:
    """Check that the files make up a Level-1C product of one granule.

    Raises:
        VerificationError: a band, the true colour image or one of the metadata files is missing,
            or one of those that are read whole is larger than such files are.
    """
    images = [match for path in entries if (match := _IMAGE.fullmatch(path))]
    granules = {match["granule"] for match in images}
    if len(granules) != 1:
        raise VerificationError(
            f"expected images of one granule in {NAME}, found {len(granules)} granules"
        )
    missing = {*BANDS, TRUE_COLOR} - {match["band"] for match in images}
    required = {PRODUCT_METADATA, f"GRANULE/{granules.pop()}/MTD_TL.xml"}
    missing |= required - entries.keys()
    if missing:
        raise VerificationError(
            f"expected 13 bands, the true colour image and the metadata in {NAME}, "
            f"found none of {', '.join(sorted(missing))}"
        )
    if len(images) != len(BANDS) + 1:
        raise VerificationError(f"expected {len(BANDS) + 1} images in {NAME}, found {len(images)}")
    for path in required:
        if entries[path].size > MAX_XML_SIZE:
            raise VerificationError(
                f"expected at most {MAX_XML_SIZE} bytes of {path}, found {entries[path].size} in "
                f"{NAME}"
            )


def select(entries: Mapping[str, Entry], bands: Collection[str]) -> dict[str, Entry]:
    """Leave out the images, and the masks of single bands, that are not of the bands wanted.

    All else always comes: the metadata, the preview (PVI), the masks of all bands together
    (`MSK_CLASSI_B00`, `MSK_CLOUDS_B00`).

    Args:
        entries: the files of a product, by path.
        bands: the bands wanted, `TCI` for the true colour image.
    """
    return {
        path: entry
        for path, entry in entries.items()
        if (match := _OF_A_BAND.fullmatch(path)) is None
        or (match["image"] or match["mask"]) in bands
    }


def get_folders(entries: Iterable[str]) -> set[str]:
    """Return the folders that readers of SAFE products insist on, even where they are empty.

    A zip without folder entries loses them (grass-addons PR 1809, sen2r issue 348).
    """
    granules = {path.split("/")[1] for path in entries if _IMAGE.fullmatch(path)}
    return {"HTML", "rep_info", *(f"GRANULE/{granule}/AUX_DATA" for granule in granules)}
