"""The logger of this package: no message or field holds a secret or a control character.

It works in other programs as well, whose sinks are not ours. Fields are the keyword arguments of a
call and what `contextualize` adds; docs/log.md describes them.
"""

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import loguru

from stage_in.secrets import clean

if TYPE_CHECKING:
    from loguru import Record


def _clean(record: "Record") -> None:
    record["message"] = clean(record["message"])
    record["extra"] = _clean_field(record["extra"])


def _clean_field(value: Any) -> Any:
    """Return a field that is safe to print; objects of other programs stay as they are."""
    if isinstance(value, str | PurePath | BaseException):
        return clean(str(value))
    if isinstance(value, dict):
        return {name: _clean_field(field) for name, field in value.items()}
    if isinstance(value, list | tuple):
        return [_clean_field(field) for field in value]
    return value


logger = loguru.logger.patch(_clean)
