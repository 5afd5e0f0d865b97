"""The log of the command as JSON, one object per line; docs/log.md describes the fields."""

import json
import sys
import time
from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING, Any

from stage_in.secrets import clean

if TYPE_CHECKING:
    from loguru import Message, Record

_LEVELS = {"success": "info", "critical": "error"}  # all others have the names that openEO uses
# What the last line repeats of each product that was verified.
_OF_PRODUCT = ("product", "source", "files", "kept", "bytes", "by_digest", "by_size")


class JsonLog:
    """A sink of loguru that writes each record as a JSON object.

    A record with an `exit_code` is the last one. It also gets a summary of the run, which is made
    of the records before it, whether they are shown or not.

    Attributes:
        threshold: the number of the least severe level that is shown.
    """

    def __init__(self) -> None:
        self.threshold = 0
        self._started = time.monotonic()
        self._retries = 0
        self._too_many_requests = 0
        self._products: dict[str, dict[str, Any]] = {}
        self._has_ended = False

    def __call__(self, message: "Message") -> None:
        """Write a record; loguru calls this for one record at a time."""
        record = message.record
        fields = record["extra"]
        self._count(fields)
        is_last = "exit_code" in fields
        if is_last:
            fields = {**fields, **self._summarize()}
        if record["level"].no >= self.threshold and (is_last or not self._has_ended):
            self._has_ended |= is_last
            with suppress(OSError, ValueError):  # the reader may have gone away
                sys.stderr.write(f"{_to_json(record, fields)}\n")  # a whole line at once
                sys.stderr.flush()

    def _count(self, fields: dict[str, Any]) -> None:
        event = fields.get("event")
        self._retries += event == "retry"
        self._too_many_requests += event == "refused"
        if event in {"verified", "complete"}:
            known = {name: fields.get(name) for name in _OF_PRODUCT}
            self._products[str(fields.get("product"))] = known

    def _summarize(self) -> dict[str, Any]:
        return {
            "products": [*self._products.values()],
            "seconds": round(time.monotonic() - self._started, 3),
            "retries": self._retries,
            "too_many_requests": self._too_many_requests,
        }


def _to_json(record: "Record", fields: dict[str, Any]) -> str:
    level = record["level"].name.lower()
    line = {
        "time": f"{record['time'].astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
        "level": _LEVELS.get(level, level),
        "message": record["message"],
    }
    # ASCII, so that no encoding of the terminal or reader can make a line invalid.
    return json.dumps({**line, **fields}, default=lambda value: clean(str(value)))
