"""The libraries that read images and coordinate systems, checked before anything is downloaded.

Environment variables of other programs (QGIS, PostGIS, another GDAL) can make them fail, as can a
low limit of memory. Such a failure must not be blamed on the product.
"""

import os
from collections.abc import MutableMapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from stage_in.errors import OutputError, UsageError
from stage_in.safe.images import Images
from stage_in.secrets import excerpt

# Prefixes of the variables that GDAL, OpenJPEG and PROJ read.
_PREFIXES = ("GDAL_", "OGR_", "CPL_", "OPJ_", "PROJ_", "JP2")
_NO_FILE = {"GDAL_CONFIG_FILE": os.devnull}  # otherwise GDAL reads ~/.gdal/gdalrc


def isolate(environment: MutableMapping[str, str]) -> None:
    """Remove other programs' settings of the libraries from the environment of this process.

    The wheels of rasterio bring their own data. Other builds, such as conda's, may find theirs by
    these variables, which then stay.

    pystac would write the version that a variable names into each item. OpenBLAS gets one thread,
    because nothing here uses it. Otherwise it allocates memory for each core, and ends the process
    if it can't.
    """
    environment.pop("PYSTAC_STAC_VERSION_OVERRIDE", None)
    environment["OPENBLAS_NUM_THREADS"] = "1"
    spec = find_spec("rasterio")
    folders = (spec.submodule_search_locations if spec is not None else None) or []
    if any((Path(folder) / "proj_data").is_dir() for folder in folders):
        for name in _list_settings(environment):
            del environment[name]
        environment.update(_NO_FILE)


def check_path(path: Path) -> None:
    """Check that libraries can open files in a folder.

    Raises:
        UsageError: its path is not UTF-8, which GDAL and JSON need.
        OutputError: the working directory, which pystac needs, has been removed.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise OutputError(
            f"the working directory can't be used: {error.strerror}. Change to another one"
        ) from error
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"--output-dir must be a path in UTF-8, but is {os.fsencode(path.absolute())!r}. "
            "Choose another --output-dir or working directory"
        ) from error


class Libraries:
    """Checks the libraries, which the process that reads images loads for a test.

    This process loads them later, while files arrive.
    """

    def __init__(self, images: Images) -> None:
        self._images = images
        self._failure: Exception | None = None
        self._settings = _list_settings(os.environ)  # rasterio adds some when it is imported
        try:
            # Its imports are circular: two threads that import it at once may find half of it.
            import_module("pystac")
        except Exception as error:
            self._failure = error

    def check(self) -> None:
        """Wait until the libraries are loaded.

        Raises:
            UsageError: they can't be loaded, or don't work.
        """
        if self._failure is None:
            try:
                self._images.check()
            except UsageError:
                raise
            except Exception as error:  # whatever it is, it is this machine's fault
                self._failure = error
        if self._failure is not None:
            remedy = "Install the tool again"
            if self._settings:
                remedy = f"Unset {', '.join(self._settings)}, which may belong to another program"
            raise UsageError(
                f"the libraries that read images can't be used: {type(self._failure).__name__} "
                f"{excerpt(self._failure, 300)}. {remedy}"
            ) from self._failure


def _list_settings(environment: MutableMapping[str, str]) -> list[str]:
    return [
        name
        for name, value in sorted(environment.items())
        if name.startswith(_PREFIXES) and (name, value) not in _NO_FILE.items()
    ]
