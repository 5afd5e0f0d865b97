"""The logger of this package: no message holds a secret or a control character.

It works in other programs as well, whose sinks are not ours.
"""

from typing import TYPE_CHECKING

import loguru

from stage_in.secrets import clean

if TYPE_CHECKING:
    from loguru import Record


def _clean(record: "Record") -> None:
    record["message"] = clean(record["message"])


logger = loguru.logger.patch(_clean)
