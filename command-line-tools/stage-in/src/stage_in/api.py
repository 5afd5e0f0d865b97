"""The functions that other Python code calls."""

import functools
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from stage_in.errors import StageInError, UsageError
from stage_in.machine import iterate_causes, machine_faults_named
from stage_in.secrets import register_environment, strike
from stage_in.settings import PATIENCE, TRANSPORTS, Settings
from stage_in.transfer.arrivals import OnNews
from stage_in.transfer.quota import MAX_CONNECTIONS, MAX_OTHER_CONNECTIONS

if TYPE_CHECKING:
    import pystac

    from stage_in.sources.order import Reference

P = ParamSpec("P")
T = TypeVar("T")


class _CallbackError(BaseException):
    """What the caller's own function has raised.

    Not an Exception, because nothing may take it for a failure of the server or the disk.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def _guard(progress: OnNews) -> OnNews:
    """Return a function that calls this one and wraps its exceptions."""

    def call(received: int, expected: int) -> None:
        try:
            progress(received, expected)
        except Exception as error:
            raise _CallbackError(error) from None

    return call


def _without_secrets(function: Callable[P, T]) -> Callable[P, T]:
    """Keep secrets out of the exceptions that a function raises.

    The causes of an error may quote a server, and the frames of its traceback hold the token, which
    some loggers print. The message says everything, so both are removed. A bug keeps them.
    """

    @functools.wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> T:
        register_environment(os.environ)
        failure: Exception
        try:
            return function(*arguments, **options)
        except _CallbackError as wrapped:
            failure = wrapped.error
        except StageInError as error:
            error.__cause__ = error.__context__ = None
            failure = error.with_traceback(None)
        except Exception as bug:
            for link in iterate_causes(bug):
                link.args = tuple(strike(arg) if isinstance(arg, str) else arg for arg in link.args)
            raise
        raise failure

    return call


def _check_folder(folder: Path) -> None:
    """Check that pystac can open files in a folder.

    Raises:
        UsageError: pystac would take a part of the path for the query or fragment of a URL.
    """
    with suppress(FileNotFoundError):  # the working directory, which is checked later
        folder = folder.absolute()
    if re.search(r"[#?\\]", str(folder)):
        raise UsageError(
            f"output_dir must be a path without #, ? and backslashes, because pystac can't open "
            f"others, but is {folder}. Choose another folder"
        )


@_without_secrets
@machine_faults_named()
def stage(
    items: "Reference | Iterable[Reference]",
    output_dir: str | os.PathLike[str] = "catalog",
    *,
    assets: Iterable[str] | None = None,
    transport: str = "auto",
    connections: int = MAX_CONNECTIONS,
    patience: float = PATIENCE,
    verify: bool = True,
    access_token: str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> "pystac.Catalog":
    """Stage Sentinel-2 Level-1C products: write one verified STAC catalog of them to a folder.

    A second call for a complete catalog verifies it and downloads nothing. After a failure, the
    next call resumes from the files on disk. Credentials and trusted hosts come from the same
    environment variables as for the command. Messages are logged with loguru;
    `loguru.logger.disable("stage_in")` silences them.

    Args:
        items: what to stage: the platform's STAC item, as an object or a dictionary, its URL or
            path, the name of a product, an ItemCollection such as the result of a search, its URL
            or path; or several of these. Each product is staged once.
        output_dir: the folder of the catalog; it appears complete or not at all. pystac can't open
            a path that contains #, ? or a backslash.
        assets: bands to stage, such as `["B04", "nir"]`; None for the whole product. Metadata,
            meteorology (`AUX_DATA`), preview and the masks of these bands are included.
        transport: `auto`, `mount` (a mounted archive), `s3`, `nodes` (single files in parallel) or
            `zip`.
        connections: maximum number of parallel downloads, 1 to 4; up to 32 to an S3 endpoint that
            the environment names.
        patience: seconds without new data after which TemporaryError is raised.
        verify: whether digests are checked; sizes always are.
        access_token: used in place of the credentials in the environment.
        progress: called with the bytes received and expected whenever they change, from several
            threads, but never by two at once. If it raises an exception, this function ends with
            that.

    Returns:
        The staged catalog, with one item for each product.

    Raises:
        UsageError: an argument or an environment variable has a value that can't be used.
        ProductError: the item or the product is invalid, incomplete or damaged.
        NotFoundError: there is no such item or product.
        OutputError: the output can't be written.
        TemporaryError: no new data arrived for `patience` seconds.
        CredentialsError: there are no credentials, or they are refused.

    Examples:
        >>> from stage_in import StageInError, stage
        >>> try:
        ...     catalog = stage(item_url, "my-catalog", assets=["B04", "B08"])
        ... except StageInError as error:
        ...     print(f"not staged: {error}")
        >>> [item] = catalog.get_items()
        >>> item.assets["red"].extra_fields["raster:bands"][0]["scale"]
        0.0001
    """
    import pystac

    from stage_in.safe.bands import read_selection
    from stage_in.safe.images import Images
    from stage_in.sources.order import list_references
    from stage_in.staging import Staging
    from stage_in.transfer.access import Access
    from stage_in.transfer.environment import check_certificates

    try:
        names = [assets] if isinstance(assets, str) else assets
        bands = None if names is None else read_selection(",".join(names))
    except ValueError as error:
        raise UsageError(f"assets: {error}") from error
    if transport not in TRANSPORTS:
        raise UsageError(
            f"the transport must be one of {', '.join(TRANSPORTS)}, but is {transport!r}"
        )
    if not 1 <= connections <= MAX_OTHER_CONNECTIONS:
        raise UsageError(
            f"the number of connections must be 1 to {MAX_OTHER_CONNECTIONS}, but is {connections}"
        )
    if not patience > 0:
        raise UsageError(f"the patience must be more than 0 seconds, but is {patience}")
    check_certificates(os.environ)
    _check_folder(Path(output_dir))
    access = Access.from_environment(os.environ, transport, access_token)
    access.check_connections(connections)
    settings = Settings(bands, transport, connections, patience, verify)
    on_news = _guard(progress) if progress else (lambda received, expected: None)
    staging = Staging(access, settings, on_news)
    with Images() as images:
        path = staging.stage_catalog(list_references(items), Path(output_dir), images)
    return pystac.Catalog.from_file(str(path))


@_without_secrets
@machine_faults_named()
def download_and_extract_file(item: "pystac.Item", access_token: str) -> str:
    """Download the zip of a product and unpack it, verified, in the current folder.

    A SAFE folder that is there already is verified and returned. No credentials are read from the
    environment, but proxies, certificates, `CDSE_TRUSTED_HOSTS` and `CDSE_IDENTITY_URL` are.

    Args:
        item: the platform's STAC item.
        access_token: a token of an account of the platform.

    Returns:
        The path of the SAFE folder, relative to the current folder.

    Raises:
        StageInError: the kind depends on the failure.
    """
    from stage_in.staging import Staging
    from stage_in.transfer.access import Access

    access = Access.from_environment(os.environ, "zip", access_token)
    staging = Staging(access, Settings(transport="zip"))
    return str(staging.stage_safe_folder(item, Path()))
