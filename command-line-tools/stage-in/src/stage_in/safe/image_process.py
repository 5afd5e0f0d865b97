"""The process that reads images within limits of memory and time. `images` starts it.

It reads one request per line from standard input and writes one answer per line to standard output,
both in JSON.
"""

import base64
import json
import math
import mmap
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from stage_in.errors import ProductError
from stage_in.safe.picture import draw_picture
from stage_in.safe.raster import Raster

# Beyond what the libraries take. The images of a real product take 0.05 GB, and an image takes 0.02
# seconds or, where a preview has to be drawn from the whole of it, two.
MAX_MEMORY = 256 * 1024 * 1024  # bytes
MAX_SECONDS = 10  # of processor time, for one image

# One georeferenced pixel in JPEG 2000.
_IMAGE = base64.b64decode(
    "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAAAAQAAAAEAAQcHAAAAAAAP"
    "Y29scgEAAAAAABEAAAEsdXVpZLFL+L0IPUtDpa6M19WmzgNJSSoACgAAAAAADQAAAQMAAQAAAAEAAAABAQMAAQAA"
    "AAEAAAACAQMAAQAAAAgAAAADAQMAAQAAAAEAAAAGAQMAAQAAAAEAAAARAQQAAQAAAAgAAAAVAQMAAQAAAAEAAAAW"
    "AQMAAQAAAAEAAAAXAQQAAQAAAAEAAAAcAQMAAQAAAAEAAAAOgwwAAwAAAMwAAACChAwABgAAAOQAAACvhwMAEAAA"
    "AKwAAAAAAAAAAQABAAAAAwABBAAAAQABAAYIAAABAI4jBAwAAAEAKSMAAAAAAADwPwAAAAAAAPA/AAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADwPwAAAAAAAABAAAAAAAAAAAAAAACeanAyY/9P/1EAKQACAAAA"
    "AQAAAAEAAAAAAAAAAAAAAAEAAAABAAAAAAAAAAAAAQcBAf9SAA0BAAABAAAEBAABmf9cAARAQP9kAD0AAUNyZWF0"
    "ZWQgYnkgT3BlbkpQRUcgdmVyc2lvbiAyLjUuMy4gTE9TU0xFU1Mgc2V0dGluZ3MgdXNlZP+QAAoAAAAAABMAAf+T"
    "z7QICZ//2Q=="
)


def main() -> None:
    """Answer requests until the input ends."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the parent has blocked those it waits for
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    output = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # no library can write between the answers
    for answer in _answer():
        output.write(f"{json.dumps(answer)}\n")
        output.flush()


def _answer() -> Iterator[dict[str, Any]]:
    try:
        _try_out()
        _set_limits()
    except Exception as error:  # whatever it is, it is this machine's fault
        yield {"failure": [type(error).__name__, str(error)[:300]]}
        return
    yield {}
    start = _read_status("VmHWM")
    for line in sys.stdin.buffer:
        request = json.loads(line)
        path, name, size = Path(request["path"]), request["name"], request["size"]
        _limit(resource.RLIMIT_CPU, math.ceil(time.process_time()) + MAX_SECONDS)
        try:
            if size is None:
                yield asdict(Raster.read(path, name))
            else:
                content, shape = draw_picture(path, name, size)
                yield {"content": base64.b64encode(content).decode(), "shape": shape}
        except ProductError as error:
            is_large = _read_status("VmHWM") > start + MAX_MEMORY / 2
            yield {"limit" if is_large else "error": str(error)}
        except MemoryError:
            os.abort()
        except Exception:
            yield {"bug": traceback.format_exc()}


def _try_out() -> None:
    """Load the libraries, resolve one EPSG code, and open one tiny JPEG 2000 image.

    The libraries that make items are loaded only to find out whether they can be. The parent
    process loads them later, while it downloads files.
    """
    from rasterio.crs import CRS
    from rasterio.io import MemoryFile

    import_module("stactools.sentinel2.stac")
    CRS.from_epsg(32632)
    with MemoryFile(_IMAGE, ext=".jp2") as file, file.open(driver="JP2OpenJPEG") as image:
        image.read()


def _set_limits() -> None:
    """Limit this process, after a check that the machine itself grants as much memory."""
    try:
        mmap.mmap(-1, MAX_MEMORY, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError as error:
        raise MemoryError(f"less than {MAX_MEMORY} bytes are left for images") from error
    _limit(resource.RLIMIT_DATA, _read_status("VmData") + MAX_MEMORY)
    _limit(resource.RLIMIT_CORE, 0)


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    lower = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (lower, hard))


def _read_status(name: str) -> int:
    """Return a number of bytes from proc_pid_status(5); 0 on systems that do not have it."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_bytes().splitlines():
            if line.startswith(f"{name}:".encode()):
                return int(line.split()[1]) * 1024
    return 0
