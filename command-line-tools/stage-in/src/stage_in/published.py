"""The catalog that an earlier run has left in the output folder."""

from collections.abc import Collection, Sequence
from pathlib import Path

from stage_in.disk import check_plain, writing
from stage_in.errors import OutputError
from stage_in.safe.folder import SafeFolder
from stage_in.safe.name import ProductName
from stage_in.safe.verification import check_safe_folder
from stage_in.sources.item_reference import find_name


def find_published(
    names: Sequence[ProductName], path: Path, bands: Collection[str] | None = None
) -> list[SafeFolder] | None:
    """Return the verified products that an earlier run has left in the output folder.

    Args:
        names: the products that must be there, and no others.
        path: the output folder.
        bands: files of other bands may be missing; None if all files must be there.

    Returns:
        The SAFE folders, in the order of the names; None if the output folder does not exist or is
        empty.

    Raises:
        OutputError: something else is there, or a file of a product is missing or changed.
    """
    with writing(path):
        is_free = not path.exists() or (path.is_dir() and not any(path.iterdir()))
        if is_free and (path.is_symlink() or path.is_mount()):
            raise OutputError(
                f"the output folder {path} is a link or a mounted folder, which can't be replaced. "
                "Choose an --output-dir inside of it"
            )
        if is_free:
            return None
        check_plain(path)
        found = {entry.name for entry in path.iterdir()}
        found = {name for name in found if find_name(name, whole=True) == name}
        if found != {name.id for name in names} or not all(
            (path / name.catalog_path).is_dir() for name in names
        ):
            products = names[0] if len(names) == 1 else f"these {len(names)} products"
            raise OutputError(
                f"there is something else at {path} than the catalog of {products}. Move it away, "
                "or choose another --output-dir"
            )
    return [check_safe_folder(path / name.catalog_path, name, bands) for name in names]
