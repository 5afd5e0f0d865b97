"""The images of a product, read in a process whose memory and time are limited.

A small file can make GDAL and OpenJPEG use any amount of both, or crash. Only that process is then
ended, and the product refused.
"""

import base64
import json
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from stage_in.errors import ProductError, UsageError
from stage_in.safe.image_process import MAX_MEMORY, MAX_SECONDS
from stage_in.safe.raster import Raster

_MAX_WAIT = 600  # seconds for one image; the limit of processor time ends most images earlier
_MAX_ANSWER = 16 * 1024 * 1024  # bytes
_SECRETS = ("CDSE_", "AWS_")  # prefixes of variables that the process does not get
_FAILURES = {
    "ImportError": ImportError,
    "ModuleNotFoundError": ImportError,
    "MemoryError": MemoryError,
}
_SIGNALS_OF_OTHERS = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


class LimitError(ProductError):
    """An image takes more memory or time than any image of a product, or crashes the libraries."""


class Images:
    """Reads images in another process, which loads its libraries while this one continues.

    It may be used from several threads. As a context manager it ends that process.
    """

    def __init__(self) -> None:
        self._failure: Exception | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._ahead: dict[tuple[Path, int | None], dict[str, Any] | Exception] = {}
        self._lock = threading.RLock()
        self._start()

    def _start(self) -> None:
        path = [str(entry) for entry in sys.path if isinstance(entry, str)]  # imports skip others
        code = (
            f"import sys; sys.path[:] = {path!r}; "
            "from stage_in.safe.image_process import main; main()"
        )
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)
        }
        try:
            self._process = subprocess.Popen(  # noqa: S603 -- no part of it comes from outside
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**environment, "OPENBLAS_NUM_THREADS": "1"},
            )
        except BlockingIOError as error:
            self._failure = UsageError(
                "this machine allows no more processes, and images are read in one of their own "
                f"({error.strerror}). Raise the limit (ulimit -u)"
            )
        except OSError as error:
            self._failure = error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._failure = RuntimeError("the process that reads images has been ended")
            self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        self._ready = False
        if process is not None:
            process.kill()
            process.communicate()

    def check(self) -> None:
        """Wait until the process has loaded its libraries.

        Raises:
            Exception: they can't be loaded, or don't work, on this machine.
        """
        with self._lock:
            if self._failure is None and not self._ready and self._process is not None:
                failure = self._receive("one pixel").get("failure")
                self._ready = failure is None
                if failure is not None:
                    kind, text = failure
                    self._failure = _FAILURES.get(kind, RuntimeError)(text)
        if self._failure is not None:
            raise self._failure

    def read_ahead(self, path: Path, name: str, size: int | None = None) -> None:
        """Ask for what a later call of `read_raster` or, with a size, `draw_picture` will need.

        That call will raise what this one fails with.
        """
        try:
            self._ahead[path, size] = self._request(path, name, size)
        except Exception as error:
            self._ahead[path, size] = error

    def read_raster(self, path: Path, name: str) -> Raster:
        """Read the header of a JPEG 2000 file, as `Raster.read` does.

        Raises:
            ProductError: it is not such a file.
            LimitError: reading it takes too much memory or time.
        """
        answer = self._ask(path, name, None)
        answer["shape"] = tuple(answer["shape"])
        answer["transform"] = answer["transform"] and tuple(answer["transform"])
        return Raster(**answer)

    def draw_picture(self, path: Path, name: str, size: int) -> tuple[bytes, tuple[int, int]]:
        """Draw a small picture of a true colour image, as `picture.draw_picture` does.

        Raises:
            ProductError: it is not such an image, or can't be read.
            LimitError: reading it takes too much memory or time.
        """
        answer = self._ask(path, name, size)
        rows, columns = answer["shape"]
        return base64.b64decode(answer["content"]), (rows, columns)

    def _ask(self, path: Path, name: str, size: int | None) -> dict[str, Any]:
        known = self._ahead.pop((path, size), None)
        if isinstance(known, Exception):
            raise known
        return known or self._request(path, name, size)

    def _request(self, path: Path, name: str, size: int | None) -> dict[str, Any]:
        request = {"path": str(path.absolute()), "name": name, "size": size}
        with self._lock:
            if self._process is None and self._failure is None:  # the last image has ended it
                self._start()
            self.check()
            with suppress(BrokenPipeError):  # it has ended, and _receive says why
                stream = cast("IO[bytes]", cast("subprocess.Popen[bytes]", self._process).stdin)
                stream.write(f"{json.dumps(request)}\n".encode())
                stream.flush()
            answer = self._receive(name)
        if "bug" in answer:
            raise RuntimeError(answer["bug"])
        if "limit" in answer:
            raise LimitError(f"{answer['limit']}. It takes more memory than images of products do")
        if "error" in answer:
            raise ProductError(answer["error"])
        return answer

    def _receive(self, name: str) -> dict[str, Any]:
        process = cast("subprocess.Popen[bytes]", self._process)
        stream = cast("IO[bytes]", process.stdout)
        poll = select.poll()
        poll.register(stream, select.POLLIN)
        if not poll.poll(_MAX_WAIT * 1000):
            self._end()
            raise LimitError(f"the image {name} can't be read in {_MAX_WAIT} seconds")
        line = stream.readline(_MAX_ANSWER)
        if line.endswith(b"\n"):
            answer: dict[str, Any] = json.loads(line)
            return answer
        error = self._explain_end(process.wait(), name)
        if self._ready:
            self._end()
        else:
            self._failure = error
        raise error

    def _explain_end(self, code: int, name: str) -> Exception:
        if code > 0 and not self._ready:
            return UsageError(
                f"the process that reads images exited with {code} before it was ready. Install "
                "the tool again"
            )
        if -code in _SIGNALS_OF_OTHERS or not self._ready:
            return UsageError(
                f"the process that reads images was killed (exit status {code}) while it read "
                f"{name}. It may use {MAX_MEMORY} bytes: raise the memory limit of this machine, "
                "container or job"
            )
        if -code == signal.SIGXCPU:
            return LimitError(
                f"the image {name} can't be read in {MAX_SECONDS} seconds of processor time"
            )
        return LimitError(
            f"the image {name} can't be read: that takes more than {MAX_MEMORY} bytes of memory, "
            f"or crashes the library, with {code}"
        )
