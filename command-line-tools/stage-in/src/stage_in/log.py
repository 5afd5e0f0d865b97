"""The log of the command on standard error."""

import logging
import os
import sys
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING

from stage_in.json_log import JsonLog

if TYPE_CHECKING:
    import loguru

# Held while the log is set up, so that the message about a signal waits until the log is ready.
setting_up_log = threading.Lock()


class _Forwarder(logging.Handler):
    """Passes on what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record as a warning."""
        from stage_in.logger import logger

        logger.warning("{}", record.getMessage(), library=record.name)


class _Format:
    """The format of the log of this process, which outlives changes of the level.

    Attributes:
        json: the log in JSON; None for text.
    """

    json: JsonLog | None = None


def log_json() -> None:
    """Write JSON from now on, instead of text."""
    _Format.json = JsonLog()


def is_json() -> bool:
    """Tell whether the log is in JSON."""
    return _Format.json is not None


def set_up_log(level: str) -> "loguru.Logger":
    """Log to standard error.

    Text has short lines on a terminal, and long ones with date and level elsewhere.

    Args:
        level: the least severe level that is shown.
    """
    forget_settings()
    from stage_in.logger import logger

    # What libraries say goes the same way, as they quote what others wrote.
    logging.captureWarnings(True)
    logging.basicConfig(handlers=[_Forwarder(logging.WARNING)])
    logger.remove()
    if _Format.json is not None:
        _Format.json.threshold = logger.level(level).no
        logger.add(_Format.json, level="DEBUG", format="{message}", diagnose=False, backtrace=False)
        return logger
    layout = (
        "\r\x1b[K<green>{time:HH:mm:ss}</green> <level>{message}</level>"
        if sys.stderr.isatty()
        else "{time:YYYY-MM-DDTHH:mm:ss.SSSZZ} {level: <8} {message}"
    )
    logger.add(sys.stderr, level=level, format=layout, diagnose=False, backtrace=False)
    return logger


def forget_settings() -> None:
    """Remove the variables that loguru reads when it is imported, and a time zone it can't use.

    They may belong to another program, and a malformed one would end the process.
    """
    for name in [name for name in os.environ if name.startswith("LOGURU_")]:
        del os.environ[name]
    try:
        datetime.now().astimezone()
    except ValueError:  # it is a day or more from UTC
        os.environ["TZ"] = "UTC0"
        time.tzset()
