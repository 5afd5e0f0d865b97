"""One run, step by step: items, products, sources, files, catalog, rename."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stage_in.disk import check_disk_space, find_differing
from stage_in.errors import NotFoundError, ProductError, StageInError
from stage_in.libraries import Libraries, check_path
from stage_in.logger import logger
from stage_in.machine import check_umask
from stage_in.output import Output
from stage_in.published import find_published
from stage_in.safe.folder import SafeFolder
from stage_in.safe.images import Images
from stage_in.safe.unlisted import make_keepers
from stage_in.safe.verification import check_safe_folder, restore_folders
from stage_in.settings import Settings
from stage_in.sources.candidates import Candidates
from stage_in.sources.delivery import Delivery
from stage_in.sources.order import Order, Reference, read_orders
from stage_in.sources.product import Product
from stage_in.sources.zip import get_part
from stage_in.stac.catalog import (
    CATALOG,
    make_catalog_file,
    make_item_files,
    write_files,
)
from stage_in.stac.item import Draft, read_image_ahead, read_item
from stage_in.transfer.access import Access
from stage_in.transfer.arrivals import Arrivals, OnNews, Totals
from stage_in.transfer.auth import NoTokens
from stage_in.transfer.client import Client
from stage_in.transfer.pacing import MAX_WAIT, Pacing
from stage_in.transfer.quota import MAX_CONNECTIONS
from stage_in.transfer.response import STALL_TIMEOUT
from stage_in.transfer.workers import Workers

if TYPE_CHECKING:
    import pystac

# While one product is described and another one's last file arrives, a third fills the connections.
MAX_PRODUCTS = 3  # at a time


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
        self._totals = Totals(on_news)
        self._arrivals = self._totals.make_uncounted()  # of items and lists
        self._client = Client(
            access.trust,
            access.credentials or NoTokens(),
            Pacing(min(settings.connections, MAX_CONNECTIONS), min(MAX_WAIT, settings.patience)),
            stall_timeout=min(STALL_TIMEOUT, settings.patience / 3),  # leaves time to retry
            arrivals=self._arrivals,
        )
        self._candidates = Candidates(access, self._client, settings)

    def stage_catalog(
        self, references: "Sequence[Reference]", output_dir: Path, images: Images
    ) -> Path:
        """Leave a verified, self-contained STAC catalog of products in a folder, or nothing.

        Args:
            references: the platform's STAC items, as objects, dictionaries or ItemCollections, or
                references that `parse_reference` accepts; at least one.
            output_dir: the folder of the catalog, which appears complete, by one rename.
            images: reads the images.

        Returns:
            The file catalog.json.

        Raises:
            StageInError: the kind depends on the failure.
        """
        check_umask()
        check_path(output_dir)
        libraries = Libraries(images)
        orders = read_orders(
            references, self._access, self._client, self._arrivals, self._settings.patience
        )
        names = [order.product.name for order in orders]
        what = names[0].id if len(names) == 1 else f"{len(names)} products"
        with Output(output_dir) as output:
            path = output.path / CATALOG
            published = find_published(names, output.path, self._settings.bands)
            if published is not None:
                libraries.check()
                self._repair(published, output, orders, images)
                verb = "is" if len(names) == 1 else "are"
                for name in names:
                    logger.debug("{product} is verified again", event="complete", product=name.id)
                logger.success(
                    "{} {} complete already: {catalog}",
                    *(what, verb),
                    event="catalog",
                    catalog=path,
                )
                return path
            self._stage(orders, output, images, libraries)
            write_files(output.catalog, {CATALOG: make_catalog_file(names)})
            output.publish(output.catalog)
        logger.success("Staged {}: {catalog}", what, event="catalog", catalog=path)
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
                safe = output.catalog / product.name.folder
                archive = output.staging / f"{product.id}.zip"
                output.keep_only([safe, archive, get_part(archive)])
                delivery = Delivery(
                    self._access.trust, self._client, self._candidates, self._settings
                )
                delivery.deliver(item, product, safe, archive, self._totals.add())
                output.publish(safe)
        return output.path

    def _stage(
        self, orders: Sequence[Order], output: Output, images: Images, libraries: Libraries
    ) -> None:
        """Write the SAFE folder, item and thumbnail of each product into the unfinished catalog.

        A few products are staged at the same time. The first of them gets all connections that it
        can use, the next ones the rest. So the connections are busy while an item is made or one
        large file is left, and memory does not grow with the number of products.
        """
        names = [order.product.name for order in orders]
        safes = [output.catalog / name.catalog_path for name in names]
        archives = [output.staging / f"{name.id}.zip" for name in names]
        output.keep_only([*safes, *archives, *map(get_part, archives)])
        sizes = [0 if self._settings.bands else order.size for order in orders]
        check_disk_space(output.staging, sum(sizes) - output.measure())
        drafts: dict[str, Draft] = {}

        def read_metadata(folder: SafeFolder) -> None:
            drafts[folder.name.id] = read_item(folder)

        delivery = Delivery(
            self._access.trust,
            self._client,
            self._candidates,
            self._settings,
            libraries.check,
            read_metadata,
            partial(read_image_ahead, images),
        )
        workers = Workers(min(len(orders), MAX_PRODUCTS))

        def stage(order: Order, safe: Path, archive: Path, arrivals: Arrivals) -> None:
            try:
                folder = delivery.deliver(
                    order.item, order.product, safe, archive, arrivals, workers
                )
                draft = drafts.pop(order.product.id, None)
                files = make_item_files(folder, order.item, images, names, draft)
                files |= self._make_keepers(folder)
            except StageInError as error:
                if len(orders) > 1 and isinstance(error, ProductError | NotFoundError):
                    error.add_note(f"This is the failure of {order.product.id}.")
                raise
            write_files(output.catalog, files)

        for order, safe, archive, size in zip(orders, safes, archives, sizes, strict=True):
            arrivals = self._totals.add(size)
            workers.add(partial(stage, order, safe, archive, arrivals), -arrivals.turn)
        workers.run()

    def _repair(
        self,
        published: Sequence[SafeFolder],
        output: Output,
        orders: Sequence[Order],
        images: Images,
    ) -> None:
        """Write again what is missing beside verified SAFE folders, or differs from what they say.

        A machine that lost its power may leave empty files; a run with `--no-verify` leaves an item
        that says so.
        """
        names = [folder.name for folder in published]
        for folder, order in zip(published, orders, strict=True):
            restore_folders(folder)
            files = make_item_files(folder, order.item, images, names)
            self._replace(output, files | self._make_keepers(folder))
        self._replace(output, {CATALOG: make_catalog_file(names)})

    def _make_keepers(self, folder: SafeFolder) -> dict[str, bytes]:
        """Return the files that keep empty folders, if wanted, by path in the catalog."""
        if not self._settings.keep_folders:
            return {}
        name = folder.name
        keepers = make_keepers(folder.path, folder.entries)
        if keepers:
            logger.info(
                "Keeping empty folders of {product} with {}", ", ".join(keepers), product=name.id
            )
        return {f"{name.catalog_path}/{path}": text for path, text in keepers.items()}

    def _replace(self, output: Output, files: Mapping[str, bytes]) -> None:
        for name, content in find_differing(output.path, files).items():
            logger.warning("Writing {} again: it is missing or differs", output.path / name)
            output.replace(name, content)
