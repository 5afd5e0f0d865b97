"""One run, step by step: item, product, source, files, catalog, rename."""

from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from stage_in.disk import check_plain, writing
from stage_in.errors import OutputError, ProductError, StageInError
from stage_in.libraries import Libraries, check_path
from stage_in.logger import logger
from stage_in.output import Output
from stage_in.safe.folder import SafeFolder
from stage_in.safe.images import Images
from stage_in.safe.name import EXAMPLE, ProductName
from stage_in.safe.verification import check_safe_folder, restore_folders
from stage_in.secrets import register_url
from stage_in.settings import Settings
from stage_in.sources.candidates import Candidates, get_patience, may_fall_back
from stage_in.sources.download import Download
from stage_in.sources.item_reference import parse_reference
from stage_in.sources.platform_item import find_item, load_item
from stage_in.sources.product import Product
from stage_in.sources.removal import explained
from stage_in.sources.zip import ZipSource, get_part
from stage_in.stac.catalog import CATALOG, find_differing, make_catalog, write_files
from stage_in.stac.item import read_item
from stage_in.transfer.access import Access
from stage_in.transfer.arrivals import Arrivals, OnNews
from stage_in.transfer.auth import NoTokens
from stage_in.transfer.client import Client
from stage_in.transfer.pacing import MAX_WAIT, Pacing
from stage_in.transfer.quota import MAX_CONNECTIONS
from stage_in.transfer.response import STALL_TIMEOUT
from stage_in.transfer.retries import retry_until_answered, wait_for_answer

if TYPE_CHECKING:
    import pystac

T = TypeVar("T")


class Staging:
    """One run: what the user chose, and the connection to the platform."""

    def __init__(
        self,
        access: Access,
        settings: Settings,
        on_news: OnNews = lambda received, expected: None,
    ) -> None:
        """Prepare a run; nothing is requested yet.

        Args:
            access: what the environment grants access to.
            settings: what the user chose.
            on_news: called with the bytes received and expected whenever they change.
        """
        self._access = access
        self._settings = settings
        self._arrivals = Arrivals(on_news)
        self._client = Client(
            access.trust,
            access.credentials or NoTokens(),
            Pacing(min(settings.connections, MAX_CONNECTIONS), min(MAX_WAIT, settings.patience)),
            stall_timeout=min(STALL_TIMEOUT, settings.patience / 3),  # leaves time to retry
            on_bytes=self._arrivals.record,
        )
        self._candidates = Candidates(access, self._client, settings, self._arrivals)

    def stage_catalog(self, item: "pystac.Item | str", output_dir: Path) -> Path:
        """Leave a verified, self-contained STAC catalog of a product in a folder, or nothing.

        Args:
            item: the platform's STAC item, or a reference that `parse_reference` accepts.
            output_dir: the folder of the catalog, which appears complete, by one rename.

        Returns:
            The file catalog.json.

        Raises:
            StageInError: the kind depends on the failure.
        """
        check_path(output_dir)
        with Images() as images:
            return self._stage_catalog(item, output_dir, images)

    def _stage_catalog(self, item: "pystac.Item | str", output_dir: Path, images: Images) -> Path:
        libraries = Libraries(images)
        if isinstance(item, str):
            item = self._read_item(item)
        product = Product.from_item(item, self._access.trust.origins)
        with Output(output_dir) as output:
            path = output.path / CATALOG
            published = find_published(product.name, output.path, self._settings.bands)
            if published is not None:
                libraries.check()
                self._repair(published, output, item, images)
                logger.success("{} is complete already: {}", product.id, path)
                return path
            parent = output.catalog / product.id
            folder = self._download(item, product, output, parent, libraries.check, read_item)
            write_files(output.catalog, make_catalog(folder, item, images))
            output.publish(output.catalog)
        logger.success("Staged {}: {}", product.id, path)
        return path

    def stage_safe_folder(self, item: "pystac.Item", parent: Path) -> Path:
        """Download the files of a product, verified, without a catalog.

        Args:
            item: the platform's STAC item.
            parent: the folder that will hold the SAFE folder.

        Returns:
            The SAFE folder.

        Raises:
            StageInError: the kind depends on the failure.
        """
        product = Product.from_item(item, self._access.trust.origins)
        with Output(parent / product.name.folder) as output:
            if output.path.exists():
                check_safe_folder(output.path, product.name)
            else:
                folder = self._download(item, product, output, output.catalog)
                output.publish(folder.path)
        return output.path

    def _repair(
        self, folder: SafeFolder, output: Output, item: "pystac.Item", images: Images
    ) -> None:
        """Write again what is missing beside a verified SAFE folder, or differs from what it says.

        A machine that lost its power may leave empty files; a run with `--no-verify` leaves an item
        that says so.
        """
        restore_folders(folder)
        differing = find_differing(output.path, make_catalog(folder, item, images))
        for name, content in differing.items():
            logger.warning("Writing {} again: it is missing or differs", output.path / name)
            output.replace(name, content)

    def _read_item(self, text: str) -> "pystac.Item":
        reference = parse_reference(text, self._access.trust.stand_ins)
        if self._access.credentials is not None:
            self._retry(self._access.credentials.use_one_time_code)
        if isinstance(reference, Path):
            # A pipe that delivers nothing ends the run like a server.
            item = wait_for_answer(
                partial(load_item, reference), self._arrivals, self._settings.patience
            )
            try:
                Product.from_item(item, self._access.trust.origins)
            except ProductError as error:  # its message quotes the file
                raise ProductError(
                    f"expected the STAC item of a Sentinel-2 Level-1C product at {reference}, with "
                    f"an id such as {EXAMPLE} and a Product asset at a host of the platform or one "
                    "named in CDSE_TRUSTED_HOSTS, found another id, asset or host"
                ) from error
            return item
        for url in reference:
            register_url(url)
        with explained(reference, self._access.trust):
            stand_ins = self._access.trust.stand_ins
            return self._retry(partial(find_item, reference, self._client, stand_ins))

    def _download(
        self,
        item: "pystac.Item",
        product: Product,
        output: Output,
        parent: Path,
        check_libraries: Callable[[], object] = lambda: None,
        check_metadata: Callable[[SafeFolder], object] = lambda folder: None,
    ) -> SafeFolder:
        """Download the files of a product from the first source that can deliver it.

        What an earlier run has left is kept where this run can use it: files of the same product,
        and its zip, which is as good as any source.
        """
        safe = parent / product.name.folder
        archive = output.staging / f"{product.id}.zip"
        output.keep_only(safe, [archive, get_part(archive)])
        with (
            explained(product, self._access.trust),
            closing(ZipSource(product, self._client, archive, self._arrivals)) as zip_source,
        ):
            sources = self._candidates.list_sources(item, product, zip_source)
            logger.info("Staging {} from {}", product.id, sources[0].label)
            for source, following in zip(sources, [*sources[1:], None], strict=True):
                if source is zip_source and self._settings.bands is not None:
                    logger.info(
                        "The zip holds the whole product; files that are not selected stay packed"
                    )
                patience = get_patience(source, self._settings.patience, is_last=following is None)
                settings = replace(self._settings, patience=patience)
                try:
                    if source is zip_source:  # it downloads the whole product for the manifest
                        check_libraries()
                    return Download(
                        source,
                        product.name,
                        safe,
                        settings,
                        self._arrivals,
                        check_libraries,
                        check_metadata,
                    ).run()
                except StageInError as error:
                    if following is None or not may_fall_back(source, error):
                        raise
                    logger.warning("Falling back to {}: {}", following.label, error)
                self._candidates.start_over()
        raise AssertionError("the last source has neither delivered nor failed")

    def _retry(self, request: Callable[[], T]) -> T:
        return retry_until_answered(request, self._arrivals, self._settings.patience)


def find_published(
    product: ProductName, path: Path, bands: Collection[str] | None = None
) -> SafeFolder | None:
    """Return the verified product that an earlier run has left in the output folder.

    Returns:
        The SAFE folder; None if the output folder does not exist or is empty.

    Raises:
        OutputError: something else is there, or a file of the product is missing or changed.
    """
    safe = path / product.id / product.folder
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
        if not safe.is_dir():
            raise OutputError(
                f"expected nothing at {path}, or the catalog of {product}, found something else. "
                "Move it away, or choose another --output-dir"
            )
    return check_safe_folder(safe, product, bands)
