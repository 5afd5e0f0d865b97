"""The delivery of one product: the first source that can deliver it is used."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stage_in.errors import StageInError
from stage_in.logger import logger
from stage_in.safe.folder import SafeFolder
from stage_in.settings import Settings
from stage_in.sources.candidates import Candidates, get_patience, may_fall_back
from stage_in.sources.completion import Completion
from stage_in.sources.download import Download
from stage_in.sources.product import Product
from stage_in.sources.removal import explained
from stage_in.sources.zip import ZipSource
from stage_in.transfer.arrivals import Arrivals
from stage_in.transfer.client import Client
from stage_in.transfer.trust import Trust
from stage_in.transfer.workers import Workers

if TYPE_CHECKING:
    import pystac


class Delivery:
    """Downloads the files of products, each from the sources that the environment allows."""

    def __init__(
        self,
        trust: Trust,
        client: Client,
        candidates: Candidates,
        settings: Settings,
        check_libraries: Callable[[], object] = lambda: None,
        check_metadata: Callable[[SafeFolder], object] = lambda folder: None,
        on_file: Callable[[Path, str], object] = lambda path, name: None,
    ) -> None:
        """Prepare; nothing is requested yet.

        Args:
            trust: which hosts may be queried about a missing product.
            client: makes the requests to the platform.
            candidates: makes the sources of a product.
            settings: what the user chose.
            check_libraries: as for `Download`.
            check_metadata: as for `Completion`.
            on_file: as for `Completion`.
        """
        self._trust = trust
        self._client = client
        self._candidates = candidates
        self._settings = settings
        self._check_libraries = check_libraries
        self._check_metadata = check_metadata
        self._on_file = on_file

    def deliver(
        self,
        item: "pystac.Item",
        product: Product,
        safe: Path,
        archive: Path,
        arrivals: Arrivals,
        parent: Workers | None = None,
    ) -> SafeFolder:
        """Download the files of one product.

        What an earlier run has left is kept where this run can use it: files of the same product,
        and its zip, which is as good as any source.

        Args:
            item: the platform's STAC item.
            product: the product.
            safe: the SAFE folder to write.
            archive: the file to which its zip is downloaded.
            arrivals: counts the bytes of the product.
            parent: the workers one of whose tasks makes this call.

        Raises:
            StageInError: the kind depends on the failure of the last source.
        """
        with (
            explained(product, self._trust),
            closing(ZipSource(product, self._client, archive, arrivals)) as zip_source,
        ):
            sources = self._candidates.list_sources(item, product, zip_source, arrivals)
            logger.info(
                "Staging {product} from {}",
                sources[0].label,
                event="staging",
                product=product.id,
                source=sources[0].name,
            )
            for source, following in zip(sources, [*sources[1:], None], strict=True):
                if source is zip_source and self._settings.bands is not None:
                    logger.info(
                        "The zip contains the whole product; only the selected files are unpacked"
                    )
                patience = get_patience(source, self._settings.patience, is_last=following is None)
                settings = replace(self._settings, patience=patience)
                try:
                    if source is zip_source:  # it downloads the whole product for the manifest
                        self._check_libraries()
                    return Download(
                        source,
                        product.name,
                        safe,
                        settings,
                        arrivals,
                        self._check_libraries,
                        Completion(self._check_metadata, self._on_file),
                        parent,
                    ).run()
                except StageInError as error:
                    if following is None or not may_fall_back(source, error):
                        raise
                    logger.warning(
                        "Falling back to {}: {error}",
                        following.label,
                        event="fallback",
                        product=product.id,
                        source=following.name,
                        error=error,
                    )
                    self._candidates.start_over(source, error)
                    arrivals.restart_silence()
        raise AssertionError("the last source has neither delivered nor failed")
